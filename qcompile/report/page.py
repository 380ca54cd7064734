"""report.html: one file made for reading, from the report's dict alone. The templates hold its text and form."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from qcompile import templates
from qcompile.report import figures
from qcompile.report.formats import format_chart
from qcompile.report.rails import Row, rails
from qcompile.report.schema import INPUT
from qcompile.report.verdict import verdict
from qcompile.report.verification import verification_rows

OUTPUT = "output"
RESOURCES = {"lut": "LUT", "ff": "FF", "bram18": "BRAM18"}
_NAMED = 3  # layers under the bar of a resource
_TAGGED = 2  # bottlenecks; where many layers are equally busy, bold is enough


def render_html(report: Mapping[str, Any]) -> str:
    """The whole page: no reference to another file, no script."""
    return templates.render(
        "report/page.html.j2",
        report=report,
        verdict=verdict(report),
        facts=_facts(report),
        network=_network(report),
        resources=_resources(report),
        schedule=_schedule(report),
        quality=_quality(report),
        accuracy=_accuracy(report),
        formats=format_chart(report),
        verification=verification_rows(report),
        synthesis=_synthesis(report),
        figures=figures,
    )


def _facts(report: Mapping[str, Any]) -> list[str]:
    """What the network is, in a few words under its name."""
    layers = report["layers"]
    if not layers:
        return []
    weights = sum(sum(layer["weights"]["counts"]) for layer in layers if "weights" in layer)
    products = sum(layer.get("macs", 0) for layer in layers)
    facts = [f"{len(layers)} layers"]
    facts += [f"{figures.compact(weights)} weights"] if weights else []
    facts += [f"{figures.compact(products)} multiply-accumulates per sample, no multiplier"] if products else []
    asked = ", ".join(f"{key} {value}" for key, value in report.get("asked", {}).items())
    return [*facts, f"asked for {asked}"] if asked else facts


def _network(report: Mapping[str, Any]) -> dict[str, Any]:
    """Rows of the map, each with its layer (None: the pins), and the largest figures for the bars."""
    layers = {layer["name"]: layer for layer in report["layers"]}
    read = {source for layer in layers.values() for source in layer["inputs"]}
    inputs = {name: layer["inputs"] for name, layer in layers.items()}
    inputs[OUTPUT] = [name for name in layers if name not in read]
    rows = rails([INPUT, *layers, OUTPUT], inputs)
    lanes = 1 + max((lane for row in rows for lane in (row.lane, *row.passing, *row.leaving)), default=0)
    first = next((layer for layer in layers.values() if layer["inputs"] == [INPUT]), None)
    return {
        "rows": [_station(row, layers.get(row.name), inputs) for row in rows] if layers else [],
        "width": 26 + 20 * (lanes - 1),
        "input_format": "" if first is None else first["input_format"],
        "most_lut": max((layer["lut"] for layer in layers.values()), default=0) or 1,
        "interval": report["totals"]["ii_cycles"] or 1,
        "bram": any(layer["bram18"] for layer in layers.values()),
    }


def _station(row: Row, layer: Mapping[str, Any] | None, inputs: Mapping[str, Any]) -> dict[str, Any]:
    return {"row": row, "name": row.name, "layer": layer, "takes": " and ".join(inputs.get(row.name, ()))}


def _resources(report: Mapping[str, Any]) -> list[dict[str, Any]]:
    """For each resource its layers' shares of what the part has, in percent of the wider of used and available."""
    available = report.get("available")
    if not available:
        return []
    found = []
    for key, title in RESOURCES.items():
        used, most = report["totals"][key], available[key]
        whole = max(used, most) or 1
        parts = [(layer["name"], layer[key]) for layer in report["layers"] if layer[key]]
        parts += [("streams and pins", used - sum(count for _, count in parts))]
        at, segments = 0.0, []
        for name, count in parts:
            if count > 0:
                segments.append({"name": name, "count": count, "at": at, "wide": 100 * count / whole})
                at += 100 * count / whole
        largest = sorted(segments, key=lambda segment: -segment["count"])[:_NAMED]
        found.append(
            {
                "title": title,
                "used": used,
                "available": most,
                "share": used / most if most else 0.0,
                "segments": segments,
                "limit": 100 * most / whole,
                "largest": largest,
                "measured": report.get("synth", {}).get(key),
            }
        )
    return found


def _schedule(report: Mapping[str, Any]) -> dict[str, Any] | None:
    """Bars in percent of the time from a frame's first input to its last result."""
    layers = [layer for layer in report["layers"] if "schedule" in layer]
    if not layers:
        return None
    totals = report["totals"]
    whole = max(totals["latency_cycles"], 1)
    busiest = max(layer["schedule"]["busy"] for layer in layers)
    equally_busy = sum(layer["schedule"]["busy"] == busiest for layer in layers)
    rows = []
    for layer in layers:
        s = layer["schedule"]
        rows.append(
            {
                "name": layer["name"],
                "fill": (100 * s["start"] / whole, 100 * (s["first"] - s["start"]) / whole),
                "work": (100 * s["first"] / whole, max(0.4, 100 * (s["last"] + 1 - s["first"]) / whole)),
                "busy": s["busy"],
                "share": s["busy"] / totals["ii_cycles"],
                "bottleneck": s["busy"] == busiest,
                "tag": s["busy"] == busiest and equally_busy <= _TAGGED,
                **{key: s[key] for key in ("start", "first", "last")},
            }
        )
    interval = 100 * totals["ii_cycles"] / whole
    return {"rows": rows, "interval": interval if interval < 100 else None}


def _quality(report: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Layers with anything to show, the worst first."""
    shown = [layer for layer in report["layers"] if "weights" in layer or "activations" in layer]
    return sorted(shown, key=lambda layer: float("inf") if layer.get("sqnr_db") is None else layer["sqnr_db"])


def _accuracy(report: Mapping[str, Any]) -> list[tuple[str, float]]:
    """The accuracy of each form of the network that was measured."""
    verify = report.get("verify", {})
    formats = list(dict.fromkeys(layer["weight_format"] for layer in report["layers"] if layer["weight_format"]))
    this = f"this design, weights {', '.join(formats[:3])}{' …' if len(formats) > 3 else ''}" if formats else "emulator"
    titles = {"accuracy_float": "the ONNX model", "accuracy_emulator": this}
    return [(title, verify[key]) for key, title in titles.items() if key in verify]


def _synthesis(report: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Measured beside estimated LUTs, layer by layer."""
    synth = report.get("synth")
    if not synth:
        return []
    layers = {layer.get("module"): layer for layer in report["layers"]}
    rows = [
        {"name": layers[name]["name"], "measured": counts, "estimate": layers[name]}
        for name, counts in synth["modules"].items()
        if name in layers
    ]
    return [*rows, {"name": "total", "measured": synth, "estimate": report["totals"]}]
