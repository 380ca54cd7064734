"""What nextpnr measured of a routed design: clock, cells, and the slowest path by layer."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

_LAYER = re.compile(r"\bnetwork\.core\.(?:([A-Za-z_]\w*?)_fork\b|([A-Za-z_]\w*)\b)")
SERIAL_LINE = "serial line"
BETWEEN_LAYERS = "between layers"


@dataclass(frozen=True)
class Path:
    """The slowest path between two registers. ``layer`` is where most of its delay is; "" outside of all layers.

    ``place``: the layer, or what else it is.
    """

    layer: str
    place: str
    start: str
    end: str
    logic_ns: float
    routing_ns: float

    @property
    def ns(self) -> float:
        return self.logic_ns + self.routing_ns


@dataclass(frozen=True)
class Measured:
    """``fmax_mhz`` of the design's clock; ``used`` and ``available`` by nextpnr's names of the cells."""

    fmax_mhz: float
    used: dict[str, int]
    available: dict[str, int]
    slowest: Path


def read_measured(found: Mapping[str, Any], layers: Iterable[str]) -> Measured:
    """``found`` is nextpnr's report as JSON, ``layers`` are the names of the network's layers."""
    known = set(layers)
    inside = [path for path in found["critical_paths"] if _clock(path["from"]) and path["from"] == path["to"]]
    worst = max(inside, key=lambda path: sum(step["delay"] for step in path["path"]))
    cells = {name: cell for name, cell in found["utilization"].items() if cell["used"]}
    return Measured(
        round(min(clock["achieved"] for clock in found["fmax"].values()), 2),
        {name: cell["used"] for name, cell in cells.items()},
        {name: cell["available"] for name, cell in cells.items()},
        _path(worst["path"], known),
    )


def _clock(event: str) -> bool:
    return event.startswith(("posedge ", "negedge "))


def _path(steps: list[Mapping[str, Any]], layers: set[str]) -> Path:
    logic = routing = 0.0
    shares: dict[str, float] = {}
    for step in steps:
        if step["type"] == "routing":
            routing += step["delay"]
        else:
            logic += step["delay"]
        place = _place(step["to"]["cell"], layers)
        shares[place] = shares.get(place, 0.0) + step["delay"]
    place = max(shares, key=lambda name: shares[name])
    return Path(
        place if place in layers else "",
        place,
        _readable(steps[0]["from"]["cell"]),
        _readable(steps[-1]["to"]["cell"]),
        round(logic, 2),
        round(routing, 2),
    )


def _place(cell: str, layers: set[str]) -> str:
    """The layer whose module holds the cell."""
    if "network." not in cell:
        return SERIAL_LINE
    found = _LAYER.search(cell)
    name = "" if found is None else found[1] or found[2]
    return name if name in layers else BETWEEN_LAYERS


def _readable(cell: str) -> str:
    """The register behind a cell: nextpnr and Yosys append what they made of it."""
    name = cell.partition("network.core.")[2] or cell.rpartition("network.")[2]
    return re.sub(r"_(?:TRELLIS_FF|SB_DFF\w*|DFF\w*|LUT\d|CCU2C|SB_LUT4|SB_CARRY|ALU)_.*$|\$.*$", "", name)
