"""When every beat of every stream appears, and which beats of an earlier stream it needs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from qcompile.ir import hardware
from qcompile.ir.graph import Graph
from qcompile_hdl.fifo import StreamFifo
from qcompile_hdl.folded_scan import FoldedScan, Order
from qcompile_hdl.reorder_scan import ReorderScan
from qcompile_hdl.window_scan import WindowScan


@dataclass(frozen=True, eq=False)
class Timing:
    """For each beat of a stream's frame the cycle it appears in.

    Cycles count from the first input beat, with one input beat per cycle and no stalls. ``latency`` is the part
    of a beat's way that is spent in pipelines: cycles that no input beat shortens.
    """

    cycle: npt.NDArray[np.int64]
    latency: int


def window_scan(op: hardware.SlidingWindow) -> WindowScan:
    window = op.window
    return WindowScan(op.height, op.width, window.kernel, window.strides, window.pads, window.dilations)


def folded_scan(op: hardware.FoldedWindow) -> FoldedScan:
    window = op.window
    order: Order = "channel" if op.order == "channel" else "window"
    return FoldedScan(
        op.folds, op.height, op.width, window.kernel, window.strides, window.pads, window.dilations, order, op.depth
    )


@lru_cache(maxsize=256)
def reorder_scan(op: hardware.Reorder) -> ReorderScan:
    return ReorderScan(op.inputs, tuple(op.order.values.tolist()))


def trace(graph: Graph, latencies: Mapping[str, int] = MappingProxyType({})) -> dict[str, Timing]:
    """When every beat of every stream appears in a frame that nothing stalls.

    ``latencies``: register stages of datapaths by name, for engines whose node does not hold them.
    """
    return _frame(graph, latencies)


def steady(graph: Graph, latencies: Mapping[str, int], interval: int) -> dict[str, Timing]:
    """Like `trace`, for one of many frames whose input beats are spread evenly over ``interval`` cycles each.

    ``interval`` is at least `initiation_interval`. Cycles count from this frame's first input beat.
    """
    before, frame = None, _frame(graph, latencies, interval)
    while before is None or any((frame[name].cycle != before[name].cycle).any() for name in frame):
        before, frame = frame, _frame(graph, latencies, interval, frame)
    return frame


def _frame(
    graph: Graph,
    latencies: Mapping[str, int],
    interval: int | None = None,
    before: Mapping[str, Timing] = MappingProxyType({}),
) -> dict[str, Timing]:
    """One frame; with ``interval`` its input is spread over so many cycles, and the frame ``before`` was so much
    earlier.
    """
    timing: dict[str, Timing] = {}
    types = graph.types
    for node in graph.nodes:
        op = node.op
        assert isinstance(op, hardware.HardwareOp)
        beats = types[node.name].beats
        sources = [timing[name] for name in node.inputs]
        if isinstance(op, hardware.Input):
            timing[node.name] = Timing(np.arange(beats) * (interval or beats) // beats, 0)
            continue
        needed = operand_beats(op, beats)
        pace, latency = _pace(op, beats, latencies)
        if isinstance(op, hardware.Alternate):
            shares = [operand_beats(op, beats, k) for k in range(len(sources))]
            held = [np.where(share > 0, s.cycle[share - 1], 0) for share, s in zip(shares, sources, strict=True)]
            arrival = np.max(held, axis=0) + latency
        else:
            arrival = np.max([s.cycle[needed - 1] for s in sources], axis=0) + latency
        ahead = int((needed == 0).sum())  # padding before the first operand holds nothing up
        arrival[:ahead] = -beats
        if isinstance(op, hardware.FoldedEngine):
            arrival = arrival + (np.arange(beats) % op.repeats) * op.vector
        if interval is not None and node.name in before:
            busy = beats if isinstance(op, hardware.FoldedWindow) else cycles_per_frame(op, beats)  # may wait for input
            arrival = np.maximum(arrival, before[node.name].cycle[-1] - interval + busy - pace[-1] + pace)
        cycle = np.maximum.accumulate(arrival - pace) + pace
        cycle[:ahead] = cycle[ahead] - np.arange(ahead, 0, -1)
        timing[node.name] = Timing(cycle, max(s.latency for s in sources) + latency)
    return timing


def _pace(op: hardware.HardwareOp, beats: int, latencies: Mapping[str, int]) -> tuple[npt.NDArray[np.int64], int]:
    """How many cycles after the first of its beats each can appear, and how many after the operand it needs."""
    count = np.arange(beats)
    match op:
        case hardware.SlidingWindow():
            scan = window_scan(op)  # without line memory nothing waits for a read
            return np.array([scan.step_of(k) for k in range(beats)]), 1 if op.window.kernel[0] == 1 else 2
        case hardware.FoldedWindow() | hardware.Reorder():
            return count, 2
        case hardware.Fifo(depth=depth):
            return count, 1 if depth <= StreamFifo.DISTRIBUTED_DEPTH else 2
        case hardware.FoldedEngine(vector=vector):
            return count * vector, engine_latency(op, latencies)
        case hardware.Pipeline():
            return count, op.latency
    return count, 0 if isinstance(op, hardware.Output) else 1


def backlog(op: hardware.HardwareOp, arrival: npt.NDArray[np.int64], beats: int, interval: int) -> int:
    """The most beats of its operand that wait at a component, the one being taken included.

    They arrive in these cycles of every frame, ``interval`` cycles after those of the frame before. The component
    makes ``beats`` beats of them and is never held up.
    """
    count = np.arange(len(arrival))
    match op:
        case hardware.SlidingWindow():
            pace = count // op.width * window_scan(op).row_steps + count % op.width
        case hardware.FoldedEngine(vector=vector, repeats=repeats):
            pace = count // vector * vector * repeats + count % vector
        case hardware.Distribute(count=parts):
            pace = count * parts
        case _:
            return 1
    still_busy = int((arrival - pace).max()) + cycles_per_frame(op, beats) - interval
    taken = np.maximum.accumulate(np.maximum(arrival - pace, still_busy)) + pace
    arrived = (arrival + interval * np.arange(-1, 2)[:, None]).ravel()
    return int((np.searchsorted(arrived, taken, side="right") - len(arrival) - count).max())


def engine_latency(op: hardware.FoldedEngine, latencies: Mapping[str, int]) -> int:
    """Cycles from the last word of a vector to its result: a word register, a replay memory, a running sum."""
    sums, replays = op.vector > 1, op.vector > 1 and op.repeats > 1
    return 1 + replays + latencies.get(op.partial, 0) + sums + latencies.get(op.finish, 0)


def needs(graph: Graph, source: str, ahead: bool = False) -> dict[str, npt.NDArray[np.int64]]:
    """For every stream behind ``source``: the beats of ``source`` that each of its own beats needs.

    ``ahead``: every folded window has a row of input more, so that the layer before it can make the next row
    while this one is read.
    """
    types = graph.types
    needed = {source: np.arange(1, types[source].beats + 1)}
    for node in graph.nodes:
        operands = [needed[name] for name in node.inputs if name in needed]
        if operands and isinstance(node.op, hardware.Alternate):
            beats = types[node.name].beats
            shares = {name: operand_beats(node.op, beats, k) for k, name in enumerate(node.inputs) if name in needed}
            held = [np.where(share > 0, needed[name][share - 1], 0) for name, share in shares.items()]
            needed[node.name] = np.maximum.accumulate(np.max(held, axis=0))
        elif operands:
            assert isinstance(node.op, hardware.HardwareOp)
            last = np.maximum(operand_beats(node.op, types[node.name].beats), 1) - 1
            if ahead and isinstance(node.op, hardware.FoldedWindow):
                row = node.op.width * node.op.folds * node.op.window.strides[0]
                last = np.minimum(last + row, types[node.inputs[0]].beats - 1)
            needed[node.name] = np.max([beats[last] for beats in operands], axis=0)
    return needed


def operand_beats(op: hardware.HardwareOp, beats: int, operand: int = 0) -> npt.NDArray[np.int64]:
    """For each of ``beats`` beats of a result, how many of its operand's must have arrived."""
    count = np.arange(beats)
    match op:
        case hardware.SlidingWindow():
            scan = window_scan(op)
            return np.array([scan.needed_inputs(k) for k in range(beats)])
        case hardware.FoldedWindow():
            return _folded_window_beats(op)
        case hardware.FoldedEngine(vector=vector, repeats=repeats):
            return (count // repeats + 1) * vector
        case hardware.Reorder():
            return np.array(reorder_scan(op).needed)
        case hardware.Alternate():
            return np.array([op.needed_of(operand, k) for k in range(beats)])
    return np.array([op.needed(k) for k in range(beats)])


def _folded_window_beats(op: hardware.FoldedWindow) -> npt.NDArray[np.int64]:
    """A tap is read as soon as it is there, whatever comes behind it in the window."""
    window = op.window
    rows, columns = window.output_size(op.height, op.width)
    top, left = window.pads[:2]
    row = np.arange(rows)[:, None] * window.strides[0] + np.arange(window.kernel[0]) * window.dilations[0] - top
    column = np.arange(columns)[:, None] * window.strides[1] + np.arange(window.kernel[1]) * window.dilations[1] - left
    # axes: row, column, kernel row, kernel column, fold
    at = (row[:, None, :, None, None] * op.width + column[None, :, None, :, None]) * op.folds + np.arange(op.folds) + 1
    inside = (row >= 0) & (row < op.height)
    within = (column >= 0) & (column < op.width)
    at = np.where(inside[:, None, :, None, None] & within[None, :, None, :, None], at, 0)
    if op.order == "channel":
        at = at.transpose(0, 1, 4, 2, 3)
    return np.maximum.accumulate(at.ravel())


def initiation_interval(graph: Graph) -> int:
    """Cycles from one frame's first input beat to the next one's, nothing stalling."""
    return slowest(graph)[1]


def slowest(graph: Graph) -> tuple[str, int]:
    """The first of the nodes that take the most cycles per frame, and these cycles."""
    paces = {node.name: cycles_per_frame(node.op, graph.types[node.name].beats) for node in graph.nodes}
    name = max(paces, key=lambda name: paces[name])
    return name, paces[name]


def cycles_per_frame(op: object, beats: int) -> int:
    """How long a component that makes ``beats`` beats is busy with a frame, nothing stalling."""
    match op:
        case hardware.SlidingWindow():
            return max(beats, window_scan(op).steps)
        case hardware.FoldedWindow():
            return max(beats, folded_scan(op).cycles_per_frame)
        case hardware.FoldedEngine(vector=vector):
            return beats * vector
    return beats
