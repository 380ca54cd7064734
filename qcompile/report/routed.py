"""What place and route measured, as text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from qcompile.report.table import Column, table


def routed_text(report: Mapping[str, Any], width: int) -> str:
    """The bitstream's clock, slowest path and cells; nothing where none was made."""
    made = report.get("bitstream")
    if not made:
        return ""
    slowest = made["slowest"]
    nodes = f" ({', '.join(slowest['onnx_nodes'])})" if slowest["onnx_nodes"] else ""
    total = slowest["logic_ns"] + slowest["routing_ns"]
    rows = [
        [name, f"{cell['used']:,}", f"{cell['available']:,}", f"{cell['used'] / cell['available']:.1%}"]
        for name, cell in made["cells"].items()
    ]
    columns = [Column("cell, routed"), *(Column(title, right=True) for title in ("used", "available", "share"))]
    return "\n".join(
        [
            f"bitstream {made['image']}: {made['clock_mhz']:g} MHz, up to {made['fmax_mhz']:.1f} MHz by {made['tool']}",
            f"slowest   {slowest['place']}{nodes}: {total:.1f} ns, {slowest['routing_ns']:.1f} of them routing,",
            f"          from {slowest['start']} to {slowest['end']}",
            "",
            table(columns, rows, width),
        ]
    )
