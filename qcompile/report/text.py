"""report.txt: the verdict first, then layers, totals, verification and synthesis, within 100 columns.

Everything comes from the report's dict, so that `qcompile report` renders a folder again; nothing in it depends
on when, where or how fast it ran.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from qcompile.report.routed import routed_text
from qcompile.report.table import Column, bar, table
from qcompile.report.verdict import verdict_lines
from qcompile.report.verification import verification_rows

WIDTH = 100
_RESOURCES = {"lut": "LUT", "ff": "FF", "bram18": "BRAM18", "dsp": "DSP"}


def render_text(report: Mapping[str, Any]) -> str:
    """The whole report.txt, ending in one newline."""
    parts = [_title(report), "\n".join(verdict_lines(report)), _layers(report), _totals(report)]
    parts += [_verification(report), _synthesis(report), routed_text(report, WIDTH), _warnings(report)]
    return "\n\n".join(part for part in parts if part) + "\n"


def _title(report: Mapping[str, Any]) -> str:
    part = f" ({report['part']})" if report.get("part") else ""
    place = f"for {report['target']}{part}" if report.get("target") else "without a target: the integer graph only"
    return f"{report['model']} {place}"


def _layers(report: Mapping[str, Any]) -> str:
    layers, totals = report["layers"], report["totals"]
    if not layers:
        return ""
    counted = {"adders": "adders", "lut": "LUT", "ff": "FF", "bram18": "BRAM18", "latency_cycles": "cycles"}
    if not totals["bram18"]:
        del counted["bram18"]
    columns = [Column("layer", 28), Column("engine", 20), Column("in, weights -> out", 40)]
    columns += [Column(title, right=True) for title in counted.values()]
    rows = [
        [layer["name"], layer["engine"], _formats(layer), *(f"{layer[key]:,}" for key in counted)] for layer in layers
    ]
    rows.append(["total", "", "", *(f"{totals[key]:,}" for key in counted)])
    return table(columns, rows, WIDTH, rule_before_last=True)


def _formats(layer: Mapping[str, Any]) -> str:
    weights = f", {layer['weight_format']}" if layer["weight_format"] else ""
    return f"{layer['input_format']}{weights} -> {layer['output_format']}".replace(" x 2^", "*2^")


def _totals(report: Mapping[str, Any]) -> str:
    available = report.get("available")
    if not available:
        return ""
    synth = report.get("synth")
    columns = [Column("resource"), Column("estimated", right=True)]
    columns += [Column("measured", right=True)] if synth else []
    columns += [Column("available", right=True), Column("share", right=True), Column("")]
    rows = []
    for key, title in _RESOURCES.items():
        used = synth[key] if synth else report["totals"][key]
        share = used / available[key] if available[key] else 0.0
        measured = [f"{synth[key]:,}"] if synth else []
        rows.append(
            [title, f"{report['totals'][key]:,}", *measured, f"{available[key]:,}", f"{share:.1%}", bar(share, 30)]
        )
    return table(columns, rows, WIDTH)


def _verification(report: Mapping[str, Any]) -> str:
    rows = verification_rows(report)
    return table([Column("verification"), Column("", right=True)], rows, WIDTH) if rows else ""


def _synthesis(report: Mapping[str, Any]) -> str:
    synth = report.get("synth")
    if not synth:
        return ""
    estimates = {layer.get("module", layer["name"]): layer for layer in report["layers"]}
    columns = [
        Column("module, measured", 40),
        *(Column(title, right=True) for title in ("LUT", "estimate", "FF", "estimate", "carry", "BRAM18", "DSP")),
    ]
    rows = []
    for name, measured in synth["modules"].items():
        layer = estimates.get(name)
        rows.append(
            [
                name,
                f"{measured['lut']:,}",
                f"{layer['lut']:,}" if layer else "",
                f"{measured['ff']:,}",
                f"{layer['ff']:,}" if layer else "",
                *(f"{measured[key]:,}" for key in ("carry", "bram18", "dsp")),
            ]
        )
    totals = report["totals"]
    rows.append(
        ["total", f"{synth['lut']:,}", f"{totals['lut']:,}", f"{synth['ff']:,}", f"{totals['ff']:,}"]
        + [f"{synth[key]:,}" for key in ("carry", "bram18", "dsp")]
    )
    return f"{table(columns, rows, WIDTH, rule_before_last=True)}\nby {synth['tool']}: {synth['command']}"


def _warnings(report: Mapping[str, Any]) -> str:
    lines = []
    for warning in report.get("warnings", ()):
        place = f"{warning['where']}: " if warning["where"] else ""
        lines += [f"warning[{warning['code']}]: {place}{warning['found']}", f"  = help: {warning['help']}"]
    return "\n".join(lines)
