"""FIFOs before joins, deep enough that neither side can starve the other, and register slices on long chains."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import ceil
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from qcompile.ir import hardware
from qcompile.ir.graph import Graph, Node
from qcompile_hdl.folded_scan import FoldedScan, Order
from qcompile_hdl.window_scan import WindowScan

_CHAIN = 3  # pipelines in a row whose ready signals may be combined
_STALLING = (hardware.Pipeline, hardware.SlidingWindow, hardware.FoldedEngine, hardware.FoldedWindow)
_MARGIN = 2  # beats that sit in a fork and at the join itself


def balance(graph: Graph, latencies: Mapping[str, int] = MappingProxyType({})) -> Graph:
    """The graph with a FIFO on every operand of a join that must wait for another, and with register slices."""
    timing = trace(graph, latencies)
    interval = initiation_interval(graph)
    full_rate = not any(isinstance(node.op, hardware.FoldedEngine) for node in graph.nodes)
    nodes: list[Node] = []
    source: dict[str, str] = {}  # the node whose stream stands for a value
    chain: dict[str, int] = {}
    for node in graph.nodes:
        inputs = [source.get(name, name) for name in node.inputs]
        if len(inputs) > 1:
            for k, name in enumerate(node.inputs):
                others = [timing[other] for other in node.inputs if other != name]
                depth = _depth(timing[name], others, interval, full_rate)
                if depth:
                    fifo = Node(f"{node.name}.fifo{k}", hardware.Fifo(node.op.layer, depth), (inputs[k],), node.origin)  # type: ignore[attr-defined]
                    nodes.append(fifo)
                    inputs[k] = fifo.name
        nodes.append(replace(node, inputs=tuple(inputs)))
        links = max((chain.get(name, 0) for name in node.inputs), default=0)
        chain[node.name] = links + isinstance(node.op, _STALLING)
        if isinstance(node.op, hardware.Pipeline | hardware.FoldedEngine) and chain[node.name] >= _CHAIN:
            part = hardware.RegisterSlice(node.op.layer)
            nodes.append(Node(f"{node.name}.slice", part, (node.name,), node.origin))
            source[node.name] = f"{node.name}.slice"
            chain[node.name] = 0
    return replace(graph, nodes=tuple(nodes)).verify()


@dataclass(frozen=True, eq=False)
class Timing:
    """For each beat of a stream's frame: the network input beats it needs, and the cycle it appears in.

    Cycles count from the first input beat, with one input beat per cycle and no stalls. ``latency`` is the part
    of a beat's way that is spent in pipelines: cycles that no input beat shortens.
    """

    needed: npt.NDArray[np.int64]
    cycle: npt.NDArray[np.int64]
    latency: int


def window_scan(op: hardware.SlidingWindow) -> WindowScan:
    window = op.window
    return WindowScan(op.height, op.width, window.kernel, window.strides, window.pads, window.dilations)


def folded_scan(op: hardware.FoldedWindow) -> FoldedScan:
    window = op.window
    order: Order = "channel" if op.order == "channel" else "window"
    return FoldedScan(
        op.folds, op.height, op.width, window.kernel, window.strides, window.pads, window.dilations, order
    )


def trace(graph: Graph, latencies: Mapping[str, int] = MappingProxyType({})) -> dict[str, Timing]:
    """When every beat of every stream appears in a frame that nothing stalls.

    ``latencies``: register stages of datapaths by name, for engines whose node does not hold them.
    """
    timing: dict[str, Timing] = {}
    types = graph.types
    for node in graph.nodes:
        op = node.op
        assert isinstance(op, hardware.HardwareOp)
        beats = types[node.name].beats
        sources = [timing[name] for name in node.inputs]
        match op:
            case hardware.Input():
                timing[node.name] = Timing(np.arange(1, beats + 1), np.arange(beats), 0)
                continue
            case hardware.SlidingWindow():
                scan = window_scan(op)
                last = np.array([scan.needed_inputs(k) for k in range(beats)]) - 1
                pace = np.array([scan.step_of(k) for k in range(beats)])
                latency = 1 if op.window.kernel[0] == 1 else 2  # without line memory nothing waits for a read
            case hardware.FoldedWindow():
                last = folded_window_needs(op) - 1
                pace, latency = np.arange(beats), 3
            case hardware.FoldedEngine(vector=vector, repeats=repeats):
                last = (np.arange(beats) // repeats + 1) * vector - 1
                pace = np.arange(beats) * vector
                latency = latencies.get(op.partial, 0) + latencies.get(op.finish, 0) + 3
            case _:
                last = np.array([op.needed(k) for k in range(beats)]) - 1
                pace = np.arange(beats)
                latency = op.latency if isinstance(op, hardware.Pipeline) else 1
                latency = 0 if isinstance(op, hardware.Output) else latency
        arrival = np.max([s.cycle[last] for s in sources], axis=0) + latency
        if isinstance(op, hardware.FoldedEngine):
            arrival = arrival + (np.arange(beats) % op.repeats) * op.vector
        cycle = np.maximum.accumulate(arrival - pace) + pace
        needed = np.max([s.needed[last] for s in sources], axis=0)
        timing[node.name] = Timing(needed, cycle, max(s.latency for s in sources) + latency)
    return timing


def folded_window_needs(op: hardware.FoldedWindow) -> npt.NDArray[np.int64]:
    """Operand beats that must have arrived for each beat of the result: those up to its own tap."""
    window = op.window
    rows, columns = window.output_size(op.height, op.width)
    top, left = window.pads[:2]
    row = np.arange(rows)[:, None] * window.strides[0] + np.arange(window.kernel[0]) * window.dilations[0] - top
    column = np.arange(columns)[:, None] * window.strides[1] + np.arange(window.kernel[1]) * window.dilations[1] - left
    # axes: row, column, kernel row, kernel column, fold
    at = (row[:, None, :, None, None] * op.width + column[None, :, None, :, None]) * op.folds + np.arange(op.folds) + 1
    inside = (row >= 0) & (row < op.height)
    within = (column >= 0) & (column < op.width)
    at = np.where(inside[:, None, :, None, None] & within[None, :, None, :, None], at, 1)
    if op.order == "channel":
        at = at.transpose(0, 1, 4, 2, 3)
    return np.maximum.accumulate(at.ravel())


def initiation_interval(graph: Graph) -> int:
    """Cycles from one frame's first input beat to the next one's, nothing stalling."""
    types = graph.types
    paces = [1]
    for node in graph.nodes:
        paces.append(types[node.name].beats)
        match node.op:
            case hardware.SlidingWindow():
                paces.append(window_scan(node.op).steps)
            case hardware.FoldedWindow():
                paces.append(folded_scan(node.op).cycles_per_frame)
            case hardware.FoldedEngine(vector=vector):
                paces.append(types[node.name].beats * vector)
            case _:
                pass
    return max(paces)


def _depth(own: Timing, others: list[Timing], interval: int, full_rate: bool) -> int:
    """Beats of ``own`` that can have arrived, and not left, when a join beat becomes complete.

    Those that arrive before the last network input beat that the other side needs must find room, or the input
    stops for a full FIFO and the other side never gets its beat: deadlock. The beats that arrive while the
    other side's last one is on its way through pipelines come on top, so that the join runs at full rate.
    """
    beats = len(own.needed)
    complete = np.max([o.needed for o in others], axis=0)
    arrived = np.max([o.cycle for o in others], axis=0)
    held = int((np.searchsorted(own.needed, complete, side="left") - np.arange(beats)).max())
    if full_rate:  # nothing is folded, so cycles are known to the beat: the join never waits
        frames = 2 + max(0, int((arrived - own.cycle).max())) // interval
        cycles = (own.cycle[None, :] + interval * np.arange(frames)[:, None]).ravel()
        held = max(held, int((np.searchsorted(cycles, arrived, side="right") - np.arange(beats)).max()) - 1)
        return held + 1 + _MARGIN if held > 0 else 0
    behind = max(0, max(o.latency for o in others) - own.latency)
    depth = max(0, held) + ceil(behind * beats / interval)
    return depth + _MARGIN if depth else 0
