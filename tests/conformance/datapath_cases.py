"""Cases of every datapath operation: spans of all signs and widths, and the operands to try on them."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import permutations, product
from math import prod

from qcompile.ir import datapath
from qcompile.ir.array import Array
from qcompile.ir.datapath import DatapathOp
from qcompile.numerics.rounding import Rounding
from qcompile.numerics.span import Span

ROWS = 1024
"""Operand tuples per case: all there are where they are fewer."""

NARROW = (Span(0, 1), Span(-1, 0), Span(0, 7), Span(-8, 7), Span(-3, 5), Span(5, 9), Span(-9, -2), Span(3, 3))
MEDIUM = (Span(0, 200), Span(-128, 127), Span(-1000, 3))
WIDE = (Span(-(1 << 33), (1 << 33) - 1), Span(0, 1 << 40))
SPANS = NARROW + MEDIUM + WIDE
BIT = Span(0, 1)
BITS = (BIT, Span(0, 0), Span(1, 1))


@dataclass(frozen=True)
class Case:
    """``op`` on independent lanes of these spans; ``wires``: the lane of each operand (None: one lane each)."""

    op: DatapathOp
    lanes: tuple[Span, ...]
    wires: tuple[int, ...] | None = None

    @property
    def operands(self) -> tuple[int, ...]:
        return tuple(range(len(self.lanes))) if self.wires is None else self.wires

    @cached_property
    def result(self) -> Span:
        return self.op.result_type(*(self.lanes[k] for k in self.operands))

    @property
    def exhaustive(self) -> bool:
        return prod(lane.size for lane in self.lanes) <= ROWS

    @cached_property
    def inputs(self) -> list[tuple[int, ...]]:
        """Lane values to try: everything where that is little, else corners, then random."""
        if self.exhaustive:
            return list(product(*(range(s.low, s.high + 1) for s in self.lanes)))
        corners = list(product(*(_corners(s) for s in self.lanes)))
        chosen = random.Random(repr(self))
        rest = (tuple(chosen.randint(s.low, s.high) for s in self.lanes) for _ in range(ROWS - len(corners)))
        return [*corners, *rest][:ROWS]

    def arguments(self, lanes: tuple[int, ...]) -> tuple[int, ...]:
        return tuple(lanes[k] for k in self.operands)


def _corners(span: Span) -> list[int]:
    return sorted({v for v in (span.low, span.low + 1, -1, 0, 1, span.high - 1, span.high) if v in span})


def evaluate(case: Case, lanes: tuple[int, ...]) -> int:
    """The definition; a leaf's value is that of its lane."""
    if isinstance(case.op, datapath.Input):
        return lanes[0]
    return case.op.evaluate(*case.arguments(lanes))


def _unary(op: DatapathOp) -> list[Case]:
    return [Case(op, (span,)) for span in SPANS]


def _pairs() -> list[tuple[Span, Span]]:
    """Every span on both sides, beside spans of other signs and widths."""
    return [(a, SPANS[(k + step) % len(SPANS)]) for k, a in enumerate(SPANS) for step in (0, 1, 5)]


def _shift_adds() -> Iterator[Case]:
    shifts = ((0, 0), (3, 0), (0, 2), (1, 4))
    for k, pair in enumerate(_pairs()):
        for subtract in (False, True):
            left, right = shifts[(k + subtract) % len(shifts)]
            yield Case(datapath.ShiftAdd(left, right, subtract), pair)
    # Operands without a bit in common are joined, not added.
    for above, below in ((BIT, BIT), (Span(-3, 5), Span(0, 3)), (Span(0, 9), Span(2, 6)), (Span(-8, -2), Span(0, 200))):
        yield Case(datapath.ShiftAdd(below.width, 0), (above, below))
        yield Case(datapath.ShiftAdd(0, below.width + 2), (below, above))
    # Operands that share an input reach less than their spans alone would give: 3 a, 7 a, 0.
    for span in (Span(-8, 7), Span(0, 12), Span(-1000, 3)):
        yield Case(datapath.ShiftAdd(1, 0, False, span.scaled(3)), (span,), (0, 0))
        yield Case(datapath.ShiftAdd(3, 0, True, span.scaled(7)), (span,), (0, 0))
        yield Case(datapath.ShiftAdd(0, 0, True, Span(0, 0)), (span,), (0, 0))


def _add_threes() -> Iterator[Case]:
    """Operands of all signs; low bits that pass, that do not because they are subtracted, and none; long and short."""
    shifts = ((0, 0, 0), (3, 0, 1), (0, 2, 5), (4, 4, 0), (1, 3, 2))
    for k, (a, b) in enumerate(_pairs()):
        yield Case(datapath.AddThree(shifts[k % 5], k % 3), (a, b, SPANS[(k + 3) % len(SPANS)]))
    for order in permutations((0, 2, 9)):
        for subtracted in range(3):
            yield Case(datapath.AddThree(order, subtracted), (Span(0, 3), Span(0, 12), Span(0, 200)))
    # Operands that share inputs: a + 2 a - a, 5 a - b; and operands that end early.
    for span in (Span(-8, 7), Span(0, 12)):
        yield Case(datapath.AddThree((0, 1, 0), 1, span.scaled(2)), (span,), (0, 0, 0))
        yield Case(datapath.AddThree((2, 0, 0), 1, span.scaled(5) + Span(-3, 0)), (span, Span(0, 3)), (0, 0, 1))
        yield Case(datapath.AddThree((4, 4, 0), 0), (span, Span(-1, 0), Span(0, 1)))


def _constants_around(span: Span) -> tuple[int, ...]:
    """Below, at and above both ends, and inside."""
    inside = (span.low + span.high) // 2
    return tuple(dict.fromkeys((span.low - 2, span.low, span.low + 1, inside, span.high, span.high + 1)))


def _clamps() -> Iterator[Case]:
    for span in SPANS:
        low, high = span.low, span.high
        middle = (low + high) // 2
        for limits in ((low - 3, high + 3), (middle, high + 5), (low - 5, middle), (middle, middle), (-4, 3), (0, 255)):
            yield Case(datapath.Clamp(*limits), (span,))


def _booth_digits() -> Iterator[Case]:
    for span in SPANS:
        yield Case(datapath.BoothDigit(), (span, BIT, BIT, BIT))
    for ends in product((0, 1), repeat=3):
        yield Case(datapath.BoothDigit(), (Span(-8, 7), *(Span(end, 1) for end in ends)))
        yield Case(datapath.BoothDigit(), (Span(2, 9), *(Span(0, end) for end in ends)))


def _lookups() -> Iterator[Case]:
    chosen = random.Random(1)
    for span in (*NARROW, *MEDIUM[:2]):
        for low, high in ((0, 1), (-5, 5), (0, 200), (-300, -20), (7, 7)):
            spare = 2 if low < 0 else 0
            entries = [chosen.randint(low, high) for _ in range(span.size + 2 * spare)]
            yield Case(datapath.Lookup(Array(entries), span.low - spare), (span,))


CASES: dict[str, list[Case]] = {
    "input": [Case(datapath.Input(0, 0, span), (span,)) for span in SPANS],
    "constant": [Case(datapath.Constant(value), ()) for value in (0, 1, -1, 5, -128, 127, 1 << 40, -(1 << 40))],
    "shift_add": list(_shift_adds()),
    "add_carry": [
        Case(datapath.AddCarry(), (a, b, carry))
        for a in (BIT, Span(0, 6), Span(5, 9), Span(3, 3), Span(0, 200), Span(0, 1 << 40))
        for b in (BIT, Span(0, 7), Span(0, 0), Span(0, 1000))
        for carry in BITS
    ],
    "add_three": list(_add_threes()),
    "shift_left": [case for amount in (1, 5) for case in _unary(datapath.ShiftLeft(amount))],
    "negate": _unary(datapath.Negate()),
    "add_constant": [
        Case(datapath.AddConstant(value), (span,))
        for span in SPANS
        for value in (1, -1, 9, -span.low, -span.high, -300)
    ],
    # Shifts past the width leave the sign, or nothing.
    "shift_right": [case for amount in (1, 3, 11) for case in _unary(datapath.ShiftRight(amount))],
    "round_even": [case for amount in (1, 2, 4, 9) for case in _unary(datapath.RoundEven(amount))],
    "round_significand": [
        Case(datapath.RoundSignificand(bits, shift, rounding), (span,))
        for span in (*NARROW, *MEDIUM, Span(-64, 63), Span(0, 300))
        for bits, shift in ((1, 0), (3, 0), (2, 1), (4, 3), (3, 9))
        for rounding in (Rounding.HALF_EVEN, Rounding.HALF_UP, Rounding.FLOOR)
    ],
    "clamp": list(_clamps()),
    "maximum": [Case(datapath.Maximum(), pair) for pair in _pairs()],
    "at_least": [Case(datapath.AtLeast(value), (span,)) for span in SPANS for value in _constants_around(span)],
    "greater": [Case(datapath.Greater(), pair) for pair in _pairs()],
    "select": [Case(datapath.Select(), (condition, *pair)) for pair in _pairs() for condition in BITS],
    "count_ones": [
        Case(datapath.CountOnes(), lanes)
        for lanes in ((BIT,), (BIT,) * 2, (BIT,) * 7, (BIT,) * 9, (BIT, Span(1, 1), BIT), (Span(0, 0), BIT))
    ],
    "lookup": list(_lookups()),
    "xnor": [Case(datapath.Xnor(), (a, b)) for a in BITS for b in BITS],
    "signed_shift": [
        Case(datapath.SignedShift(), (span, *bits))
        for span in SPANS[:11]
        for bits in ((BIT,) * 5, (BIT,) * 3, (BIT, Span(1, 1), BIT, BIT), (Span(0, 0), BIT, BIT), (BIT, BIT))
    ],
    "bit": [case for index in (0, 1, 3, 11) for case in _unary(datapath.Bit(index))],
    "booth_digit": list(_booth_digits()),
    "extend": [
        Case(datapath.Extend(wider), (span,))
        for span in SPANS
        for wider in (span, Span(span.low, span.high + 3), Span(min(span.low, -1) * 9, max(1, span.high) * 5))
    ],
}
