"""Adders of three operands: where LUTs have two outputs, two chained adders before a register become one row of LUTs.

Bit i's LUT adds a, b, c and the carry m of the LUT below: its output O6, the parity of the four, goes to the carry
chain; its output O5, the majority of a, b and c, goes by routing to bit i + 1, as an input of that LUT and of that
chain. O5 and the sum leave a slice by the same pin, except that the sum may go straight into the bit's flip-flop. So
one LUT per bit holds only for sums that flip-flops take and nothing else reads: those adders alone are fused.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, replace

from qcompile import arith
from qcompile.ir import datapath
from qcompile.ir.graph import Graph, Node, merge_origins
from qcompile.numerics.span import Span
from qcompile.schedule.cells import luts
from qcompile.schedule.design import Datapath
from qcompile.schedule.timing import delays_ns
from qcompile.targets import Target

_ADDERS = (datapath.ShiftAdd, datapath.AddConstant)
_WIRES = (datapath.ShiftLeft, datapath.ShiftRight, datapath.Extend)


def fuse_adders(path: Datapath, target: Target, clock_mhz: float, late: Collection[int] = ()) -> Datapath:
    """``path`` with adders of three operands wherever one saves LUTs and its stage keeps its period.

    Linear: no fused adder is read in its own stage, so each chooses between its two operands for itself. ``late`` as in
    `pipeline`.
    """
    if not target.carry_cell:
        return path
    fused = _Fusion(path, target, clock_mhz, late).chosen()
    if not fused:
        return path
    inner = {three.absorbed for three in fused.values()}
    stage_of = path.stage_of
    nodes: list[Node] = []
    stages: list[int] = []
    for node in path.graph.nodes:
        if node.name in inner:
            continue
        three = fused.get(node.name)
        new = (node,) if three is None else three.nodes
        nodes.extend(new)
        stages.extend(stage_of[node.name] for _ in new)
    graph = replace(path.graph, nodes=tuple(nodes)).verify()
    position = {node.name: k for k, node in enumerate(nodes)}
    operands = [[position[name] for name in node.inputs] for node in nodes]
    longest = arith.longest_path(operands, delays_ns(graph, target.delay, late), stages)
    return Datapath(graph, tuple(stages), path.latency, longest)


@dataclass(frozen=True)
class _Three:
    """An adder of three operands, behind the constant that it may add, and the adder that is no more."""

    nodes: tuple[Node, ...]
    absorbed: str
    saved: float


class _Fusion:
    def __init__(self, path: Datapath, target: Target, clock_mhz: float, late: Collection[int]) -> None:
        self.path = path
        self.graph: Graph = path.graph
        self.types: dict[str, Span] = dict(path.graph.types)
        self.target = target
        self.limit_ns = max(target.delay.budget_ns(clock_mhz), path.longest_ns) * (1 + 1e-12)
        self.arrival = self._arrivals(late)
        self.reads = Counter(name for node in path.graph.nodes for name in node.inputs)
        self.reads.update(path.graph.outputs)
        self.registered = self._registered()

    def chosen(self) -> dict[str, _Three]:
        """Fused adders by the name of the sum."""
        found: dict[str, _Three] = {}
        for node in self.graph.nodes:
            if isinstance(node.op, _ADDERS) and node.name in self.registered:
                options = [three for side in range(len(node.inputs)) if (three := self._fused(node, side))]
                if options:
                    found[node.name] = max(options, key=lambda three: three.saved)
        return found

    def _arrivals(self, late: Collection[int]) -> dict[str, float]:
        """When each value is there, after the beginning of its stage."""
        stage, arrival = self.path.stage_of, dict[str, float]()
        for node, delay in zip(self.graph.nodes, delays_ns(self.graph, self.target.delay, late), strict=True):
            own = [arrival[name] for name in node.inputs if stage[name] == stage[node.name]]
            arrival[node.name] = max(own, default=0.0) + delay
        return arrival

    def _registered(self) -> set[str]:
        """Values that flip-flops take, maybe through wires, and that nothing reads before."""
        stage, found = self.path.stage_of, set[str]()
        for node in reversed(self.graph.nodes):
            now = [user for user in self.graph.users[node.name] if stage[user.name] == stage[node.name]]
            held = self.path.last_read[node.name] > stage[node.name] or bool(now)
            if held and all(isinstance(user.op, _WIRES) and user.name in found for user in now):
                found.add(node.name)
        return found

    def _fused(self, node: Node, side: int) -> _Three | None:
        """``node`` with its operand on ``side`` taken apart; None where that is impossible or no gain."""
        inner = self.graph.by_name[node.inputs[side]]
        stage = self.path.stage_of
        if (
            not isinstance(inner.op, _ADDERS)
            or self.reads[inner.name] > 1
            or stage[inner.name] != stage[node.name]
            or min(self.types[node.name].size, self.types[inner.name].size) == 1
            or self._takes_digit(node)
            or self._takes_digit(inner)
        ):
            return None
        terms = _terms(node)
        _, shift, minus = terms.pop(side)
        terms += [(name, shift + more, minus ^ less) for name, more, less in _terms(inner)]
        terms.sort(key=lambda term: term[2])  # those that are subtracted last
        constants = [
            Node(_constant(adder), datapath.Constant(adder.op.value), (), adder.origin)
            for adder in (node, inner)
            if isinstance(adder.op, datapath.AddConstant)
        ]
        a, b, c = (shift for _, shift, _ in terms)
        op = datapath.AddThree((a, b, c), sum(minus for *_, minus in terms), self.types[node.name])
        names = tuple(name for name, *_ in terms)
        three = Node(node.name, op, names, merge_origins(inner.origin, node.origin))
        return self._worth(node, inner, three, constants)

    def _worth(self, node: Node, inner: Node, three: Node, constants: list[Node]) -> _Three | None:
        spans = {constant.name: constant.op.result_type() for constant in constants}
        operands = [spans[name] if name in spans else self.types[name] for name in three.inputs]
        result = self.types[node.name]
        saved = self._luts(node) + self._luts(inner) - luts(three, operands, result, self.target)
        stage = self.path.stage_of
        begin = max((self.arrival[n] for n in three.inputs if stage.get(n) == stage[node.name]), default=0.0)
        if saved <= 0 or begin + self.target.delay.three_input_adder_ns(result.width) > self.limit_ns:
            return None
        return _Three((*constants, three), inner.name, saved)

    def _luts(self, node: Node) -> float:
        return luts(node, [self.types[name] for name in node.inputs], self.types[node.name], self.target)

    def _takes_digit(self, adder: Node) -> bool:
        """Whether the adder's LUTs form a Booth digit too, for which those of a sum of three have no inputs left."""
        return any(
            isinstance(self.graph.by_name[name].op, datapath.BoothDigit)
            and self.reads[name] == 1
            and self.path.stage_of[name] == self.path.stage_of[adder.name]
            for name in adder.inputs
        )


def _terms(adder: Node) -> list[tuple[str, int, bool]]:
    """Operand, shift, and whether it is subtracted."""
    match adder.op:
        case datapath.ShiftAdd(left_shift=left, right_shift=right, subtract=subtract):
            return [(adder.inputs[0], left, False), (adder.inputs[1], right, subtract)]
        case datapath.AddConstant():
            return [(adder.inputs[0], 0, False), (_constant(adder), 0, False)]
    raise TypeError(f"{adder.op.mnemonic} adds no two operands")


def _constant(adder: Node) -> str:
    return f"{adder.name}_constant"
