"""The network as a map of rails: one row per layer, one lane per stream that is under way.

Rows are in the order of the data, so every edge leads down. The first reader of a value stays on its lane; any other
reader's edge runs beside it, as a residual branch does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """One station: its ``lane``, lanes that pass it by, and where edges come from and leave to."""

    name: str
    lane: int
    passing: tuple[int, ...]
    arriving: tuple[int, ...]
    leaving: tuple[int, ...]


def rails(names: Sequence[str], inputs: Mapping[str, Sequence[str]]) -> list[Row]:
    """A row for each of ``names``, in this order; ``inputs`` names earlier rows."""
    readers: dict[str, list[str]] = {name: [] for name in names}
    for name in names:
        for source in dict.fromkeys(inputs.get(name, ())):
            readers[source].append(name)
    under_way: dict[tuple[str, str], int] = {}  # the lane of each edge (source, reader)
    rows = []
    for name in names:
        arriving = tuple(lane for (_, reader), lane in under_way.items() if reader == name)
        under_way = {edge: lane for edge, lane in under_way.items() if edge[1] != name}
        passing = tuple(under_way.values())
        station = min(arriving, default=_free(passing, 0))
        leaving: list[int] = []
        for position, reader in enumerate(readers[name]):
            lane = station if position == 0 else _free((*passing, *leaving), station + 1)
            leaving.append(lane)
            under_way[name, reader] = lane
        rows.append(Row(name, station, passing, arriving, tuple(leaving)))
    return rows


def _free(taken: Sequence[int], least: int) -> int:
    """The first lane from ``least`` on that nothing runs on."""
    while least in taken:
        least += 1
    return least
