"""How many lanes each folded layer gets: the fewest that keep up with a given number of cycles per frame."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

from qcompile.ir import integer
from qcompile.ir.graph import Graph
from qcompile.ir.integer import IntType
from qcompile.schedule.partition import Group


@dataclass(frozen=True)
class Folding:
    """``simd`` operand lanes and ``pe`` result lanes per cycle; ``cycles`` per frame that follow."""

    simd: int
    pe: int
    cycles: int


@dataclass(frozen=True)
class LaneCosts:
    """About how many LUTs one lane takes: a product, a result with its requantization, an operand."""

    product: float = 1.0
    result: float = 4.0
    operand: float = 0.5

    def of(self, folding: Folding) -> float:
        return self.product * folding.simd * folding.pe + self.result * folding.pe + self.operand * folding.simd


@dataclass(frozen=True)
class Shape:
    """A layer as folding sees it.

    ``positions`` results of ``outs`` channels, each from ``taps`` window positions of ``ins`` channels.
    ``separate``: channel by channel (depthwise, pooling, element by element), so simd = pe. ``arriving``:
    image positions that enter, times ``ins`` channels.
    """

    positions: int
    taps: int
    ins: int
    outs: int
    arriving: int
    separate: bool

    def cycles(self, simd: int, pe: int) -> int:
        if self.separate:
            busy = self.positions * self.taps * (self.outs // pe)
        else:
            busy = self.positions * self.taps * (self.ins // simd) * (self.outs // pe)
        return max(busy, self.arriving * (self.ins // simd))


def layer_shape(graph: Graph, group: Group) -> Shape:
    """The shape of a group's anchor."""
    op = group.anchor.op
    x: IntType = graph.types[group.operands[0]]
    result: IntType = graph.types[group.anchor.name]
    match op:
        case integer.Conv(groups=1):
            return Shape(result.positions, prod(op.window.kernel), x.channels, result.channels, x.positions, False)
        case integer.MatMul():
            return Shape(result.positions, 1, x.channels, result.channels, x.positions, False)
        case integer.Conv() | integer.MaxPool() | integer.SumPool():
            return Shape(result.positions, prod(op.window.kernel), x.channels, x.channels, x.positions, True)
    return Shape(x.positions, 1, x.channels, x.channels, x.positions, True)


def divisors(n: int) -> list[int]:
    return [d for d in range(1, n + 1) if n % d == 0]


def fold(shape: Shape, cycles: int, costs: LaneCosts | None = None) -> Folding:
    """The cheapest folding that needs at most ``cycles`` per frame; the fastest if none does."""
    if shape.separate:
        options = [Folding(d, d, shape.cycles(d, d)) for d in divisors(shape.outs)]
        fitting = [o for o in options if o.cycles <= cycles]
        return min(fitting, key=lambda o: o.pe) if fitting else options[-1]
    options = [Folding(simd, pe, shape.cycles(simd, pe)) for simd in divisors(shape.ins) for pe in divisors(shape.outs)]
    fitting = [o for o in options if o.cycles <= cycles]
    if not fitting:
        return options[-1]
    costs = costs or LaneCosts()
    return min(fitting, key=lambda o: (costs.of(o), o.pe))


def slowest(graph: Graph, groups: list[Group]) -> int:
    """Cycles per frame with one lane everywhere: the smallest design."""
    return max(layer_shape(graph, group).cycles(1, 1) for group in groups)
