"""When each layer works on a frame: what a chart of the pipeline shows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from qcompile.ir import hardware
from qcompile.schedule.design import Design
from qcompile.schedule.trace import Timing, cycles_per_frame


@dataclass(frozen=True)
class Occupancy:
    """Cycles, counted from a frame's first input beat, of a frame that nothing stalls.

    ``start``: its first operand arrives; ``first``, ``last``: its first and last result appear. ``busy``: cycles
    per frame that its slowest component takes, its own initiation interval.
    """

    start: int
    first: int
    last: int
    busy: int


def occupancy(design: Design, timing: Mapping[str, Timing]) -> dict[str, Occupancy]:
    """By layer; ``timing`` is the trace of the design's graph."""
    graph = design.graph
    found: dict[str, Occupancy] = {}
    for node in graph.nodes:
        op = node.op
        assert isinstance(op, hardware.HardwareOp)
        if isinstance(op, hardware.Input | hardware.Output):
            continue
        outside = [name for name in node.inputs if getattr(graph.by_name[name].op, "layer", None) != op.layer]
        cycle = timing[node.name].cycle
        busy = cycles_per_frame(op, graph.types[node.name].beats)
        before = found.get(op.layer)
        arrives = [int(timing[name].cycle[0]) for name in outside] + ([] if before is None else [before.start])
        found[op.layer] = Occupancy(
            start=min(arrives),
            first=int(cycle[0]),  # of the layer's last component, whose beats leave it
            last=int(cycle[-1]),
            busy=busy if before is None else max(busy, before.busy),
        )
    return found
