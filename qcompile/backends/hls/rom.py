"""ROMs of folded engines as C++ arrays: the fields of a word, packed into integers of the language."""

from __future__ import annotations

from dataclasses import dataclass

from qcompile.ir import datapath
from qcompile.ir.graph import Graph
from qcompile.schedule.design import Memory

_SIZES = (32, 64)  # bits of an entry: the first that holds every field


@dataclass(frozen=True)
class Field:
    """Where an input lane lies in a word: bit ``shift`` of entry ``entry``."""

    entry: int
    shift: int


@dataclass(frozen=True)
class Rom:
    """``words`` of ``entries`` integers of C++ type ``entry``; ``fields`` by input lane, none across two entries."""

    name: str
    entry: str
    entries: int
    words: tuple[tuple[int, ...], ...]
    fields: dict[int, Field]


def rom(name: str, graph: Graph, stream: int, memory: Memory) -> Rom:
    """``memory`` as the lanes of operand ``stream`` in ``graph`` read it; a lane is its field's lowest bit."""
    widths = {
        node.op.lane: graph.types[node.name].width
        for node in graph.nodes
        if isinstance(node.op, datapath.Input) and node.op.stream == stream
    }
    size = next(size for size in _SIZES if max(widths.values()) <= size)
    fields: dict[int, Field] = {}
    entry, used = 0, 0
    for lane, width in sorted(widths.items()):
        if used + width > size:
            entry, used = entry + 1, 0
        fields[lane] = Field(entry, used)
        used += width
    words = []
    for word in memory.words:
        packed = [0] * (entry + 1)
        for lane, place in fields.items():
            packed[place.entry] |= ((word >> lane) & ((1 << widths[lane]) - 1)) << place.shift
        words.append(tuple(packed))
    return Rom(name, f"uint{size}_t", entry + 1, tuple(words), fields)
