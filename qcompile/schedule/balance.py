"""FIFOs where beats must wait, before joins and behind bursts, as deep as it takes; register slices on long chains."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from qcompile.ir import hardware
from qcompile.ir.graph import Graph, Node
from qcompile.schedule.trace import Timing, backlog, initiation_interval, needs, operand_beats, steady, trace

_CHAIN = 3  # pipelines in a row whose ready signals may be combined
_STALLING = (
    hardware.Pipeline,
    hardware.Alternate,
    hardware.SlidingWindow,
    hardware.FoldedEngine,
    hardware.FoldedWindow,
)
_HOLDING = (hardware.Input, hardware.FoldedWindow, hardware.Reorder, hardware.Fifo)  # beats wait there for nothing
_MARGIN = 2  # beats that sit in a fork and at the join itself, or in the registers of what makes them


def balance(graph: Graph, latencies: Mapping[str, int] = MappingProxyType({})) -> Graph:
    """The graph with register slices, and a FIFO on every operand that must wait: for another one of a join, or in a
    burst.
    """
    graph = _with_burst_fifos(_with_slices(graph), latencies)
    # A FIFO delays its beats by a cycle, for which the joins behind it may need deeper ones.
    for _ in range(2):
        graph = _with_fifos(graph, latencies)
    return graph.verify()


def _with_slices(graph: Graph) -> Graph:
    nodes: list[Node] = []
    source: dict[str, str] = {}  # the node whose stream stands for a value
    chain: dict[str, int] = {}
    for node in graph.nodes:
        nodes.append(replace(node, inputs=tuple(source.get(name, name) for name in node.inputs)))
        links = max((chain.get(name, 0) for name in node.inputs), default=0)
        chain[node.name] = links + isinstance(node.op, _STALLING)
        if isinstance(node.op, hardware.Pipeline | hardware.FoldedEngine) and chain[node.name] >= _CHAIN:
            part = hardware.RegisterSlice(node.op.layer)
            nodes.append(Node(f"{node.name}.slice", part, (node.name,), node.origin))
            source[node.name] = f"{node.name}.slice"
            chain[node.name] = 0
    return replace(graph, nodes=tuple(nodes))


def _with_burst_fifos(graph: Graph, latencies: Mapping[str, int]) -> Graph:
    """FIFOs before components that take beats no faster than they come on average, but slower than in bursts.

    Without them what gives in bursts, a window with a stride for one, is held up, and cannot make up for it later.
    """
    interval = initiation_interval(graph)
    timing = steady(graph, latencies, interval)
    nodes: list[Node] = []
    for node in graph.nodes:
        if len(node.inputs) == 1 and not isinstance(graph.by_name[node.inputs[0]].op, _HOLDING):
            assert isinstance(node.op, hardware.HardwareOp)
            depth = backlog(node.op, timing[node.inputs[0]].cycle, graph.types[node.name].beats, interval)
            if depth > _MARGIN:
                fifo = hardware.Fifo(node.op.layer, depth)
                nodes.append(Node(f"{node.name}.buffer", fifo, node.inputs, node.origin))
                node = replace(node, inputs=(f"{node.name}.buffer",))
        nodes.append(node)
    return replace(graph, nodes=tuple(nodes))


def _with_fifos(graph: Graph, latencies: Mapping[str, int]) -> Graph:
    """FIFOs before joins, as deep as the graph's timing asks for; those that are there already count in it."""
    joins = _Joins(graph, latencies)
    wanted: dict[tuple[str, int], Node] = {}  # by the operand that it stands before
    for node in graph.nodes:
        for k in range(len(node.inputs) if len(node.inputs) > 1 else 0):
            (user, operand), source, depth = joins.place_and_depth(node, k)
            if depth:
                fifo = hardware.Fifo(graph.by_name[user].op.layer, depth)  # type: ignore[attr-defined]
                wanted[user, operand] = Node(f"{user}.fifo{operand}", fifo, (source,), node.origin)
    nodes: list[Node] = []
    for node in graph.nodes:
        if node.name not in joins.behind:
            fifos = [wanted.get((node.name, k)) for k in range(len(node.inputs))]
            nodes += [fifo for fifo in fifos if fifo is not None]
            inputs = [joins.own(i) if f is None else f.name for i, f in zip(node.inputs, fifos, strict=True)]
            nodes.append(replace(node, inputs=tuple(inputs)))
    return replace(graph, nodes=tuple(nodes))


class _Joins:
    """How many beats wait for others of a join, in a graph that may have FIFOs there already."""

    def __init__(self, graph: Graph, latencies: Mapping[str, int]) -> None:
        self.graph = graph
        self.timing = trace(graph, latencies)
        self.interval = initiation_interval(graph)
        self.full_rate = not any(isinstance(node.op, hardware.FoldedEngine) for node in graph.nodes)
        branching = [node.name for node in graph.nodes if len(graph.users[node.name]) > 1]
        self.forks = [needs(graph, name, ahead=not self.full_rate) for name in branching]
        made = {f"{node.name}.fifo{k}" for node in graph.nodes for k in range(len(node.inputs))}
        self.behind = {node.name: node.inputs[0] for node in graph.nodes if node.name in made}

    def own(self, stream: str) -> str:
        """The stream, or what its FIFO holds."""
        return self.behind.get(stream, stream)

    def place_and_depth(self, node: Node, k: int) -> tuple[tuple[str, int], str, int]:
        """Before which operand of which node a FIFO for operand ``k`` of a join stands, of which stream, how deep."""
        graph = self.graph
        own = self.own(node.inputs[k])
        others = [other for other in node.inputs if other != node.inputs[k]]
        place, taken = (node.name, k), np.arange(graph.types[own].beats)
        if isinstance(node.op, hardware.Alternate):
            return place, own, self._turns(node, own, others)
        source = graph.by_name[own]
        repeats = isinstance(source.op, hardware.Reorder) and graph.types[own].beats > source.op.inputs
        if repeats and len(graph.users[own]) == 1:  # before that there are fewer beats to wait
            taken = operand_beats(source.op, len(taken))  # type: ignore[arg-type]
            place, own = (own, 0), self.own(source.inputs[0])
        return place, own, self._depth(own, others, self.forks, self.timing, taken)

    def _turns(self, node: Node, own: str, others: list[str]) -> int:
        """Whole turns of all operands: what each gives in one is taken without a pause, and what it gives meanwhile in
        the others' turns waits.
        """
        assert isinstance(node.op, hardware.Alternate)
        turns = dict(zip(map(self.own, node.inputs), node.op.counts, strict=True))
        turns |= dict(zip(node.inputs, node.op.counts, strict=True))
        forks = [{i: f[i][n - 1 :: n] for i, n in turns.items() if i in f} for f in self.forks]
        timing = {i: Timing(self.timing[i].cycle[n - 1 :: n], self.timing[i].latency) for i, n in turns.items()}
        return max(1, self._depth(own, others, forks, timing, np.arange(len(timing[own].cycle)))) * turns[own]

    def _depth(
        self,
        own: str,
        others: list[str],
        forks: Sequence[Mapping[str, npt.NDArray[np.int64]]],
        timing: Mapping[str, Timing],
        taken: npt.NDArray[np.int64],
    ) -> int:
        """Room for the beats of ``own`` that can be there, and not ``taken``, when each of a join's beats is complete.

        Where both sides come from one fork, the fork passes a beat only if both take it: what ``own`` makes of the
        beats that the other side needs must find room, or the other side never gets them: deadlock. Beats that
        arrive while the other side's last one is on its way through pipelines come on top, so that the join runs
        at full rate.
        """
        held = 1
        for needed in forks:
            reached = [needed[other] for other in others if other in needed]
            if own in needed and reached:
                complete = np.max(reached, axis=0)
                held = max(held, int((np.searchsorted(needed[own], complete, side="right") - taken).max()))
        arrived = np.max([timing[other].cycle for other in others], axis=0)
        cycles = timing[own].cycle
        if self.full_rate:  # nothing is folded, so cycles are known to the beat: the join never waits
            ahead = arrived - cycles[np.minimum(taken, len(cycles) - 1)]
            frames = 2 + max(0, int(ahead.max())) // self.interval
            every = (cycles[None, :] + self.interval * np.arange(frames)[:, None]).ravel()
            held = max(held, int((np.searchsorted(every, arrived, side="right") - taken).max()))
        else:
            behind = max(0, max(timing[other].latency for other in others) - timing[own].latency)
            count = np.arange(len(cycles))
            held += int((np.searchsorted(cycles, cycles + behind) - count).max())  # the densest ``behind`` cycles
        return held + _MARGIN if held > 1 else 0
