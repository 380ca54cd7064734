"""Accuracy over LUTs of a network in many formats: a chart with the points that no other beats."""

from __future__ import annotations

from collections.abc import Mapping
from math import log
from typing import Any

LEFT, RIGHT, TOP, BOTTOM = 52, 620, 12, 230  # of the chart in its 640 x 270 units


def format_chart(report: Mapping[str, Any]) -> dict[str, Any] | None:
    """Places of the points, the steps along the best of them, and the ends of both axes; None without a sweep."""
    points = report.get("formats")
    if not points:
        return None
    labelled = all("accuracy" in point for point in points)
    key = "accuracy" if labelled else "agreement"
    sizes, shares = [point["lut"] for point in points], [point[key] for point in points]
    small, large, worst, best = min(sizes), max(sizes), min(shares), max(shares)
    asked = report.get("asked", {})

    def place(point: Mapping[str, Any]) -> dict[str, Any]:
        across = log(max(point["lut"], 1) / max(small, 1)) / (log(max(large, 1) / max(small, 1)) or 1)
        up = (point[key] - worst) / ((best - worst) or 1)
        names = [point["weights"], point["activations"]]
        return {
            "x": LEFT + across * (RIGHT - LEFT),
            "y": BOTTOM - up * (BOTTOM - TOP),
            "name": names[0] if names[0] == names[1] else " / ".join(names),
            "share": point[key],
            "lut": point["lut"],
            "here": names == [asked.get("weights"), asked.get("activations")],
        }

    placed = [place(point) for point in points]
    front = _front(placed)
    steps = "".join(f"H{point['x']:.1f}V{point['y']:.1f}" for point in front[1:])
    return {
        "points": placed,
        "front": front,
        "line": f"M{front[0]['x']:.1f} {front[0]['y']:.1f}{steps}",
        "sizes": (small, large),
        "shares": (worst, best),
        "what": "share of the labels" if labelled else "share of the float network's classes",
    }


def _front(points: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Those that no other point beats in LUTs and share at once, the smallest first."""
    front: list[dict[str, Any]] = []
    for point in sorted(points, key=lambda point: (point["lut"], -point["share"])):
        if not front or point["share"] > front[-1]["share"]:
            front.append(point)
    return front
