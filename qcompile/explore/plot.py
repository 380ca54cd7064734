"""A sweep as a picture: accuracy over LUTs, with the Pareto front."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from qcompile.errors import fail
from qcompile.explore.point import Point
from qcompile.explore.sweep import pareto, quality


def require_matplotlib() -> None:
    """QC503 where it is missing: a sweep takes minutes, and should not end in that."""
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        raise fail("QC503", "--plot", "matplotlib is not installed", "pip install qcompile[plot]") from None


def plot(points: Sequence[Point], title: str, path: Path) -> None:
    """Write the picture to ``path``; its ending (.png, .svg, .pdf) is the format."""
    from matplotlib.figure import Figure

    figure = Figure((8, 5), layout="constrained")
    axes = figure.subplots()
    for kind in dict.fromkeys(point.weights.partition(":")[0] for point in points):
        own = [point for point in points if point.weights.partition(":")[0] == kind]
        axes.scatter([p.lut for p in own], [quality(p) for p in own], s=18, label=kind)
    front = pareto(points)
    axes.plot([p.lut for p in front], [quality(p) for p in front], color="grey", linewidth=1, drawstyle="steps-post")
    for point in front:
        label = point.weights if point.weights == point.activations else f"{point.weights} / {point.activations}"
        axes.annotate(label, (point.lut, quality(point)), (3, -9), textcoords="offset points", fontsize=7)
    axes.set_xscale("log")
    axes.set_xlabel("LUTs (estimate)")
    axes.set_ylabel("% of labels" if points and points[0].accuracy is not None else "% of the float network's classes")
    axes.set_title(title)
    axes.grid(alpha=0.3)
    axes.legend()
    # No date: the same sweep gives the same file.
    figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)
