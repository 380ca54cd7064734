"""A model of the hardware graph in cycles: beats without values, queues, forks, and components that stall at random.

Components hold less than in hardware (no pipeline registers), so what does not deadlock here does not there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from qcompile.ir import hardware
from qcompile.ir.graph import Graph, Node
from qcompile.schedule.trace import folded_scan, operand_beats

_STUCK = 400  # cycles without a beat anywhere, which no run of random stalls takes


class Stuck(Exception):
    """No beat moves any more."""


@dataclass
class _Part:
    """A component: beats made, and per operand those taken and those that wait at it."""

    node: Node
    needed: np.ndarray
    beats_in: int
    beats: int
    limits: list[int] | None
    taken: int = 0
    made: int = 0
    waiting: list[int] = field(default_factory=list)
    users: list[tuple[_Part, int]] = field(default_factory=list)

    def needs(self, beat: int) -> int:
        frame, place = divmod(beat, self.beats)
        return frame * self.beats_in + int(self.needed[place])

    def takes(self, depth: float) -> bool:
        """Whether the component has room for another beat of its operands."""
        if isinstance(self.node.op, hardware.Fifo):
            return self.taken - self.made < depth
        if self.limits is not None:
            frame, place = divmod(self.made, self.beats)
            window = place * len(self.limits) // self.beats
            return self.taken < frame * self.beats_in + self.limits[window]
        return self.taken < self.needs(self.made)


def run(
    graph: Graph, frames: int, stall: float = 0.0, seed: int = 0, depths: Mapping[str, float] | None = None
) -> tuple[int, dict[str, int]]:
    """Cycles for some frames, and the most beats that each FIFO held; `Stuck` where it deadlocks.

    ``depths`` replaces those of FIFOs.
    """
    depths = depths or {}
    parts = _parts(graph)
    high: dict[str, int] = {n.name: 0 for n in graph.nodes if isinstance(n.op, hardware.Fifo)}
    rng = np.random.default_rng(seed)
    sink = parts[-1]
    quiet = cycle = 0
    while sink.taken < frames * sink.beats_in:
        cycle += 1
        moved = False
        runs = rng.random(len(parts)) >= stall
        for part, runs_now in zip(reversed(parts), reversed(runs), strict=True):
            op = part.node.op
            if isinstance(op, hardware.Output):
                if runs_now and part.waiting[0]:
                    part.waiting[0] -= 1
                    part.taken += 1
                    moved = True
                continue
            room = all(user.waiting[k] == 0 for user, k in part.users)
            if isinstance(op, hardware.Input):
                if runs_now and room and part.made < frames * part.beats:
                    _make(part)
                    moved = True
                continue
            if runs_now and room and part.made < frames * part.beats and part.taken >= part.needs(part.made):
                _make(part)
                moved = True
            own = depths.get(part.node.name, getattr(op, "depth", None) or 0)
            if runs_now and all(part.waiting) and part.takes(own):
                part.waiting = [count - 1 for count in part.waiting]
                part.taken += 1
                moved = True
                if part.node.name in high:
                    high[part.node.name] = max(high[part.node.name], part.taken - part.made)
        quiet = 0 if moved else quiet + 1
        if quiet > _STUCK:
            raise Stuck(f"cycle {cycle}: {sink.taken} beats came out")
    return cycle, high


def _make(part: _Part) -> None:
    part.made += 1
    for user, k in part.users:
        user.waiting[k] += 1


def _parts(graph: Graph) -> list[_Part]:
    types = graph.types
    by_name: dict[str, _Part] = {}
    for node in graph.nodes:
        beats = types[node.name].beats
        first = types[node.inputs[0]].beats if node.inputs else 0
        needed = operand_beats(node.op, beats) if node.inputs else np.zeros(beats)  # type: ignore[arg-type]
        limits = folded_scan(node.op)._limits if isinstance(node.op, hardware.FoldedWindow) else None
        part = _Part(node, needed, first, beats, limits, waiting=[0] * len(node.inputs))
        for k, name in enumerate(node.inputs):
            by_name[name].users.append((part, k))
        by_name[node.name] = part
    return list(by_name.values())
