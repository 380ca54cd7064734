"""FIFOs before joins, deep enough that neither side can starve the other, and register slices on long chains."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from qcompile.ir import hardware
from qcompile.ir.graph import Graph, Node
from qcompile_hdl.window_scan import WindowScan

_CHAIN = 3  # pipelines in a row whose ready signals may be combined
_MARGIN = 2  # beats that sit in a fork and at the join itself


def balance(graph: Graph) -> Graph:
    """The graph with a FIFO on every operand of a join that must wait for another, and with register slices."""
    timing = trace(graph)
    interval = initiation_interval(graph)
    nodes: list[Node] = []
    source: dict[str, str] = {}  # the node whose stream stands for a value
    chain: dict[str, int] = {}
    for node in graph.nodes:
        inputs = [source.get(name, name) for name in node.inputs]
        if len(inputs) > 1:
            for k, name in enumerate(node.inputs):
                others = [timing[other] for other in node.inputs if other != name]
                depth = _depth(timing[name], others, interval)
                if depth:
                    fifo = Node(f"{node.name}.fifo{k}", hardware.Fifo(node.op.layer, depth), (inputs[k],), node.origin)  # type: ignore[attr-defined]
                    nodes.append(fifo)
                    inputs[k] = fifo.name
        nodes.append(replace(node, inputs=tuple(inputs)))
        links = max((chain.get(name, 0) for name in node.inputs), default=0)
        chain[node.name] = links + isinstance(node.op, hardware.Pipeline | hardware.SlidingWindow)
        if isinstance(node.op, hardware.Pipeline) and chain[node.name] >= _CHAIN:
            part = hardware.RegisterSlice(node.op.layer)
            nodes.append(Node(f"{node.name}.slice", part, (node.name,), node.origin))
            source[node.name] = f"{node.name}.slice"
            chain[node.name] = 0
    return replace(graph, nodes=tuple(nodes)).verify()


@dataclass(frozen=True, eq=False)
class Timing:
    """For each beat of a stream's frame: the network input beats it needs, and the cycle it appears in.

    Cycles count from the first input beat, with one input beat per cycle and no stalls.
    """

    needed: npt.NDArray[np.int64]
    cycle: npt.NDArray[np.int64]


def window_scan(op: hardware.SlidingWindow) -> WindowScan:
    window = op.window
    return WindowScan(op.height, op.width, window.kernel, window.strides, window.pads, window.dilations)


def trace(graph: Graph) -> dict[str, Timing]:
    """When every beat of every stream appears in a frame that nothing stalls."""
    timing: dict[str, Timing] = {}
    types = graph.types
    for node in graph.nodes:
        op = node.op
        assert isinstance(op, hardware.HardwareOp)
        beats = types[node.name].beats
        if isinstance(op, hardware.Input):
            timing[node.name] = Timing(np.arange(1, beats + 1), np.arange(beats))
            continue
        sources = [timing[name] for name in node.inputs]
        if isinstance(op, hardware.SlidingWindow):
            scan = window_scan(op)
            last = np.array([scan.needed_inputs(k) for k in range(beats)]) - 1
            pace = np.array([scan.step_of(k) for k in range(beats)])
            cycle = np.maximum.accumulate(sources[0].cycle[last] + 2 - pace) + pace
        else:
            last = np.array([op.needed(k) for k in range(beats)]) - 1
            pace = np.arange(beats)
            latency = op.latency if isinstance(op, hardware.Pipeline) else 1
            latency = 0 if isinstance(op, hardware.Output) else latency
            arrival = np.max([s.cycle[last] for s in sources], axis=0) + latency
            cycle = np.maximum.accumulate(arrival - pace) + pace
        needed = np.max([s.needed[last] for s in sources], axis=0)
        timing[node.name] = Timing(needed, cycle)
    return timing


def initiation_interval(graph: Graph) -> int:
    """Cycles from one frame's first input beat to the next one's, nothing stalling."""
    types = graph.types
    paces = [1]
    for node in graph.nodes:
        paces.append(types[node.name].beats)
        if isinstance(node.op, hardware.SlidingWindow):
            paces.append(window_scan(node.op).steps)
    return max(paces)


def _depth(own: Timing, others: list[Timing], interval: int) -> int:
    """Beats of ``own`` that can have arrived, and not left, when a join beat becomes complete.

    Counted both in network input beats (so that the input never has to stop for a full FIFO while the other
    side still needs it: no deadlock) and in cycles over successive frames (so that the join runs at full rate).
    """
    count = np.arange(len(own.needed))
    by_beats = np.searchsorted(own.needed, np.max([o.needed for o in others], axis=0), side="right") - count
    complete = np.max([o.cycle for o in others], axis=0)
    frames = 2 + max(0, int((complete - own.cycle).max())) // interval
    cycles = (own.cycle[None, :] + interval * np.arange(frames)[:, None]).ravel()
    by_cycles = np.searchsorted(cycles, complete, side="right") - count
    depth = int(max(by_beats.max(), by_cycles.max()))
    return depth + _MARGIN if depth > 1 else 0
