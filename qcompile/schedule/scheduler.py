"""The scheduler: which engine every layer gets, and the streams between them."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from qcompile.errors import Collector
from qcompile.ir import hardware, integer
from qcompile.ir.graph import Graph
from qcompile.lower.build import Effort
from qcompile.schedule.balance import balance
from qcompile.schedule.choice import Choice, check_choices
from qcompile.schedule.design import Design, Layer
from qcompile.schedule.estimate import total_cost
from qcompile.schedule.fold import Folding, fold, layer_shape, slowest
from qcompile.schedule.folded import FoldedLayer, can_fold
from qcompile.schedule.moves import MoveLayer, moves_apart, needs_memory
from qcompile.schedule.network import Network
from qcompile.schedule.partition import Group, partition
from qcompile.schedule.pointwise import PointwiseLayer, can_join, joined_pointwise
from qcompile.schedule.search import fastest
from qcompile.schedule.sharing import lane_costs, requantizing_lanes, split, splits
from qcompile.schedule.small import least_luts, unroll_small_layers
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
    choices: Mapping[str, Choice] | None = None,
) -> Design:
    """The design of a realised integer graph; CompileError (QC401) where an operation has no engine.

    ``cycles`` None: every layer is unrolled. Else layers are folded so that a frame takes about so many cycles.
    ``choices`` overrule that for the layers they name (QC505 for lanes that are impossible).
    """
    return _Scheduler(graph, target, clock_mhz, effort, cycles, choices).run(progress)


def schedule_fastest(
    graph: Graph,
    target: Target,
    clock_mhz: float,
    effort: Effort,
    progress: Progress = lambda layer, done: None,
) -> Design:
    """The design with the highest rate whose estimate fits the target; the smallest where none fits.

    Layers that no folding makes fast enough are unrolled, which is tried only where their adders could fit.
    """
    groups = _grouped(graph, True)
    shapes = {group: layer_shape(graph, group) for group in groups if foldable(graph, group)}

    def build(cycles: int, unrolled: Mapping[str, Choice] | None = None) -> Design:
        progress(f"{cycles:,} cycles a frame", 0.0)
        return schedule(graph, target, clock_mhz, effort, cycles=cycles, choices=unrolled)

    def fits(cycles: int) -> Design | None:
        unrolled = [group for group, shape in shapes.items() if fold(shape, cycles).cycles > cycles]
        if sum(least_luts(graph, group.anchor) for group in unrolled) > target.max_lut * target.luts:
            return None
        design = build(cycles)
        total = total_cost(design, target)
        exceeded = fit({"lut": total.lut, "ff": total.ff, "bram18": total.bram18, "dsp": 0}, target)
        return None if exceeded else design

    if not shapes:
        return build(1)
    least = max(graph.types[name].positions for group in groups for name in group.operands)  # a word a cycle
    best, cycles = fastest(build, fits, least, slowest(graph, list(shapes)))
    return unroll_small_layers(lambda unrolled: build(cycles, unrolled), best, graph, target)


class _Scheduler:
    def __init__(
        self,
        graph: Graph,
        target: Target,
        clock_mhz: float,
        effort: Effort,
        cycles: int | None,
        choices: Mapping[str, Choice] | None = None,
    ) -> None:
        self.graph = graph
        self.effort = effort
        self.folds = cycles is not None or bool(choices)
        self.net = Network(graph, target, clock_mhz)
        self.found = Collector()
        self.cycles = cycles
        self.groups = _grouped(graph, self.folds)
        self.layer_names = self._named()
        self.requantize_names = {
            group.result: self.net.names.free(f"{self.layer_names[group.result]}_requantize")
            for group in self.groups
            if self.folds and splits(group) and can_fold(graph, group)
        }
        self.foldings = self._foldings(cycles, choices or {})
        self.requantized: set[str] = set()  # sums that another layer requantizes
        self.groups = [part for group in self.groups for part in self._parts(group, choices or {})]

    def _named(self) -> dict[str, str]:
        """The layer of every group that becomes one, by the group's value."""
        wires = (integer.Input, integer.Output, integer.Reshape) if self.folds else (integer.Input, integer.Output)
        named = [g for g in self.groups if not isinstance(g.anchor.op, wires)]
        return {group.result: self.net.names.layer(group) for group in named}

    def _foldings(self, cycles: int | None, choices: Mapping[str, Choice]) -> dict[str, Folding]:
        """The folding of every layer that gets one, by the group's value."""
        shapes = {g.result: layer_shape(self.graph, g) for g in self.groups if foldable(self.graph, g)}
        if choices:
            known = {self.layer_names[v]: (s.ins, s.outs, s.separate) for v, s in shapes.items()}
            known |= {name: (shapes[v].outs, shapes[v].outs, True) for v, name in self.requantize_names.items()}
            every = set(self.layer_names.values())
            check_choices({n: c for n, c in choices.items() if n in known or n not in every or c.simd}, known)
        result: dict[str, Folding] = {}
        group_of = {g.result: g for g in self.groups}
        for value, shape in shapes.items():
            choice = choices.get(self.layer_names[value])
            if choice is not None and choice.simd and choice.pe:
                busy = shape.cycles(choice.simd, choice.pe)
                result[value] = Folding(choice.simd, choice.pe, busy)
            elif choice is None and cycles is not None:
                folding = fold(shape, cycles, lane_costs(self.graph, group_of[value]))
                if folding.cycles <= cycles:  # else not even all its lanes keep up: the layer is unrolled
                    result[value] = folding
        return result

    def _parts(self, group: Group, choices: Mapping[str, Choice]) -> tuple[Group, ...]:
        """The group, or its sums and, on fewer lanes, what requantizes them."""
        folding = self.foldings.get(group.result)
        if folding is None or not splits(group):
            return (group,)
        layer, behind = self.layer_names[group.result], self.requantize_names[group.result]
        chosen = choices.get(behind)
        if chosen is not None and chosen.pe:
            lanes: int | None = chosen.pe
        else:
            lanes = None if layer in choices else requantizing_lanes(self.graph, group, folding)
        if lanes is None:
            return (group,)
        sums, requantize = split(group)
        self.foldings[sums.result] = folding
        self.layer_names[sums.result] = layer
        cycles = layer_shape(self.graph, requantize).cycles(lanes, lanes)
        self.foldings[requantize.result] = Folding(lanes, lanes, cycles)
        self.layer_names[requantize.result] = behind
        self.requantized.add(sums.result)
        return sums, requantize

    def run(self, progress: Progress) -> Design:
        net = self.net
        outputs: list[str] = []
        for done, group in enumerate(self.groups):
            progress(group.result, done / len(self.groups))
            if any(name not in net.carrier for name in group.operands):
                continue  # behind a layer that was refused; one cause, one diagnostic
            match group.anchor.op:
                case integer.Input():
                    self.input(group)
                case integer.Output():
                    source = net.carrier[group.operands[0]]
                    outputs.append(net.emit(group, hardware.Output("output"), (source,)))
                case integer.Reshape() if self.folds:
                    net.alias(group.result, group.operands[0])
                case integer.Reshape():
                    collect_or_distribute(net, group, self.layer_names[group.result])
                case _:
                    self.layer(group)
        if len(outputs) != 1 and not self.found.errors:
            way_out = "hardware has one output stream; export one output, or concatenate them"
            self.found.error("QC401", ", ".join(self.graph.outputs), f"{len(outputs)} outputs", way_out)
        self.found.check()
        result = Graph(hardware.HARDWARE, self.graph.name, tuple(net.nodes), tuple(outputs))
        latencies = {name: path.latency for name, path in net.datapaths.items()}
        balanced = balance(result, latencies)
        layers, carry_cell = tuple(net.layers), net.target.carry_cell
        return Design(self.graph.name, balanced, layers, net.datapaths, net.clock_mhz, net.memories, carry_cell)

    def input(self, group: Group) -> None:
        """The input arrives in beats of all channels, or of as many as its (folded) reader takes at once."""
        kind = self.net.types[group.result]
        lanes = self.lanes_read(group.result) if self.folds else kind.channels
        spans = kind.spans if lanes == kind.channels else (kind.span,) * lanes
        beats = kind.positions * kind.channels // lanes
        self.net.emit(group, hardware.Input("input", beats, spans), ())
        self.net.lanes[group.result] = lanes

    def lanes_read(self, value: str) -> int:
        """How many lanes the first reader of ``value`` takes."""
        for group in self.groups:
            if value in group.operands:
                if isinstance(group.anchor.op, integer.Reshape):
                    return self.lanes_read(group.result)
                if group.result in self.foldings:
                    return self.foldings[group.result].simd
        return self.net.types[value].channels

    def layer(self, group: Group) -> None:
        net = self.net
        layer = self.layer_names[group.result]
        folding = self.foldings.get(group.result)
        if needs_memory(self.graph, group, self.folds):
            MoveLayer(net, group, layer, self.cycles).build()
            return
        if folding is None:
            SpatialLayer(net, group, layer, self.effort, uniform=self.folds).build(self.found)
            return
        if can_fold(self.graph, group):
            engine_of = FoldedLayer(net, group, layer, folding, group.result in self.requantized)
            engine_of.build()
            form = f", weights as {engine_of.form}" if engine_of.form else ""
        else:
            PointwiseLayer(net, group, layer, folding).build()
            form = ""
        names = tuple(node.name for node in group.nodes)
        lanes = f"{_counted(folding.pe, 'result')} and {_counted(folding.simd, 'operand')}"
        reason = f"{lanes} at a time, {folding.cycles:,} cycles a frame{form}"
        engine = f"folded {_KINDS.get(group.anchor.op.mnemonic, 'engine')}"
        net.layers.append(Layer(layer, engine, names, group.origin, reason, (folding.simd, folding.pe)))


def _grouped(graph: Graph, folds: bool) -> list[Group]:
    """The layers, in topological order."""
    groups = moves_apart(graph, partition(graph), folds)
    return joined_pointwise(graph, groups) if folds else groups


def foldable(graph: Graph, group: Group) -> bool:
    """Whether an engine of few lanes builds the group."""
    return can_fold(graph, group) or can_join(group)


_KINDS = {"conv": "convolution", "matmul": "matrix", "max_pool": "maximum", "sum_pool": "sum"}


def _counted(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
