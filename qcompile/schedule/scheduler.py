"""The scheduler: which engine every layer gets, and the streams between them."""

from __future__ import annotations

from collections.abc import Callable

from qcompile.errors import Collector
from qcompile.ir import hardware, integer
from qcompile.ir.graph import Graph
from qcompile.lower.build import Effort
from qcompile.schedule.balance import balance
from qcompile.schedule.design import Design, Layer
from qcompile.schedule.estimate import Cost, layer_costs
from qcompile.schedule.fold import fold, layer_shape, slowest
from qcompile.schedule.folded import FoldedLayer, can_fold
from qcompile.schedule.network import Network
from qcompile.schedule.partition import Group, partition
from qcompile.schedule.search import fastest
from qcompile.schedule.spatial import SpatialLayer, collect_or_distribute
from qcompile.targets import Target, fit

Progress = Callable[[str, float], None]


def schedule(
    graph: Graph,
    target: Target,
    clock_mhz: float,
    effort: Effort,
    progress: Progress = lambda layer, done: None,
    cycles: int | None = None,
) -> Design:
    """The design of a realised integer graph; CompileError (QC401) where an operation has no engine.

    ``cycles`` None: every layer is unrolled. Else layers are folded so that a frame takes about so many cycles.
    """
    return _Scheduler(graph, target, clock_mhz, effort, cycles).run(progress)


def schedule_fastest(
    graph: Graph,
    target: Target,
    clock_mhz: float,
    effort: Effort,
    progress: Progress = lambda layer, done: None,
) -> Design:
    """The folded design with the highest rate whose estimate fits the target; the smallest where none fits."""

    def build(cycles: int) -> Design:
        progress(f"{cycles:,} cycles a frame", 0.0)
        return schedule(graph, target, clock_mhz, effort, cycles=cycles)

    def fits(design: Design) -> bool:
        total = sum(layer_costs(design, target).values(), Cost())
        return not fit({"lut": total.lut, "ff": total.ff, "bram18": total.bram18, "dsp": 0}, target)

    groups = [g for g in partition(graph) if can_fold(graph, g)]
    return fastest(build, fits, slowest(graph, groups))


class _Scheduler:
    def __init__(self, graph: Graph, target: Target, clock_mhz: float, effort: Effort, cycles: int | None) -> None:
        self.graph = graph
        self.effort = effort
        self.cycles = cycles
        self.net = Network(graph, target, clock_mhz)
        self.found = Collector()
        self.groups = partition(graph)

    def run(self, progress: Progress) -> Design:
        net = self.net
        outputs: list[str] = []
        for done, group in enumerate(self.groups):
            progress(group.result, done / len(self.groups))
            match group.anchor.op:
                case integer.Input():
                    self.input(group)
                case integer.Output():
                    source = net.carrier[group.operands[0]]
                    outputs.append(net.emit(group, hardware.Output("output"), (source,)))
                case integer.Reshape() if self.cycles is not None:
                    net.alias(group.result, group.operands[0])
                case integer.Reshape():
                    collect_or_distribute(net, group, net.names.layer(group))
                case _:
                    self.layer(group)
        if len(outputs) != 1:
            way_out = "hardware has one output stream; export one output, or concatenate them"
            self.found.error("QC401", ", ".join(self.graph.outputs), f"{len(outputs)} outputs", way_out)
        self.found.check()
        result = Graph(hardware.HARDWARE, self.graph.name, tuple(net.nodes), tuple(outputs))
        return Design(self.graph.name, balance(result), tuple(net.layers), net.datapaths, net.clock_mhz, net.memories)

    def input(self, group: Group) -> None:
        """The input arrives in beats of all channels, or of as many as its (folded) reader takes at once."""
        kind = self.net.types[group.result]
        lanes = kind.channels if self.cycles is None else self.lanes_read(group.result)
        spans = kind.spans if lanes == kind.channels else (kind.span,) * lanes
        beats = kind.positions * kind.channels // lanes
        self.net.emit(group, hardware.Input("input", beats, spans), ())
        self.net.lanes[group.result] = lanes

    def lanes_read(self, value: str) -> int:
        """How many lanes the first reader of ``value`` takes."""
        assert self.cycles is not None
        for group in self.groups:
            if value in group.operands:
                if isinstance(group.anchor.op, integer.Reshape):
                    return self.lanes_read(group.result)
                if can_fold(self.graph, group):
                    return fold(layer_shape(self.graph, group), self.cycles).simd
        return self.net.types[value].channels

    def layer(self, group: Group) -> None:
        net = self.net
        layer = net.names.layer(group)
        if self.cycles is None or not can_fold(self.graph, group):
            SpatialLayer(net, group, layer, self.effort, uniform=self.cycles is not None).build(self.found)
            return
        folding = FoldedLayer(net, group, layer, self.cycles).build()
        names = tuple(node.name for node in group.nodes)
        reason = f"{folding.pe} results and {folding.simd} operands at a time, {folding.cycles:,} cycles a frame"
        net.layers.append(
            Layer(layer, f"folded {_KINDS.get(group.anchor.op.mnemonic, 'engine')}", names, group.origin, reason)
        )


_KINDS = {"conv": "convolution", "matmul": "matrix", "max_pool": "maximum", "sum_pool": "sum"}
