"""The datapath graph: adders, shifts, comparators, tables on scalars. No operation multiplies.

A value's type is its exact span, so every width is the narrowest that can never wrap. ``evaluate`` on Python
ints is each operation's definition; the NumPy, Verilog and other lowerings are held to it.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import ClassVar

from qcompile.ir.array import Array
from qcompile.ir.graph import IRError, Level, Op
from qcompile.numerics.rounding import Rounding, round_exact, round_significand
from qcompile.numerics.span import Span

DATAPATH = Level("datapath")
PARAMETERS: dict[str, type] = {"Rounding": Rounding, "Span": Span}


@dataclass(frozen=True)
class DatapathOp(Op):
    """An exact operation on scalars."""

    def result_type(self, *operands: Span) -> Span:
        raise NotImplementedError

    def evaluate(self, *operands: int) -> int:
        raise NotImplementedError


@DATAPATH.op
@dataclass(frozen=True)
class Input(DatapathOp):
    """Lane ``lane`` of operand stream ``stream``; any value of ``span``."""

    mnemonic: ClassVar[str] = "input"
    stream: int
    lane: int
    span: Span

    def result_type(self, *operands: Span) -> Span:
        return self.span


@DATAPATH.op
@dataclass(frozen=True)
class Constant(DatapathOp):
    """A constant."""

    mnemonic: ClassVar[str] = "constant"
    value: int

    def result_type(self, *operands: Span) -> Span:
        return Span(self.value, self.value)

    def evaluate(self, *operands: int) -> int:
        return self.value


@DATAPATH.op
@dataclass(frozen=True)
class ShiftAdd(DatapathOp):
    """One adder: ``(a << left_shift) ± (b << right_shift)``.

    ``span`` is the exact range where a and b share inputs and the ranges of the operands alone would give more
    (None: those).
    """

    mnemonic: ClassVar[str] = "shift_add"
    left_shift: int
    right_shift: int
    subtract: bool = False
    span: Span | None = None

    def result_type(self, *operands: Span) -> Span:
        a, b = operands
        right = b.scaled(1 << self.right_shift)
        reach = a.scaled(1 << self.left_shift) + (-right if self.subtract else right)
        if self.span is None:
            return reach
        if not reach.holds(self.span):
            raise IRError(f"claimed span {self.span} exceeds {reach}")
        return self.span

    def evaluate(self, *operands: int) -> int:
        a, b = operands
        right = b << self.right_shift
        return (a << self.left_shift) + (-right if self.subtract else right)

    def disjoint(self, a: Span, b: Span) -> bool:
        """Whether one operand lies in bits that the other leaves zero: wiring, no adder."""
        above, below = (a, b) if self.left_shift else (b, a)
        shift = max(self.left_shift, self.right_shift)
        alone = min(self.left_shift, self.right_shift) == 0 and not self.subtract
        return alone and below.low >= 0 and below.width <= shift and above.size > 1 and below.size > 1


@DATAPATH.op
@dataclass(frozen=True)
class AddCarry(DatapathOp):
    """``a + b + carry``: one adder, whose carry input takes the bit. ``a`` and ``b`` are not negative."""

    mnemonic: ClassVar[str] = "add_carry"

    def result_type(self, *operands: Span) -> Span:
        a, b, carry = operands
        if a.low < 0 or b.low < 0 or not Span(0, 1).holds(carry):
            raise IRError(f"counts in {a} and {b}, carry in {carry}")
        return a + b + carry

    def evaluate(self, *operands: int) -> int:
        return sum(operands)


@DATAPATH.op
@dataclass(frozen=True)
class AddThree(DatapathOp):
    """Two adders in one carry chain: operands shifted left by ``shifts``, the last ``subtracted`` of them subtracted.

    At most two are subtracted; ``span`` as in `ShiftAdd`.
    """

    mnemonic: ClassVar[str] = "add_three"
    shifts: tuple[int, int, int]
    subtracted: int = 0
    span: Span | None = None

    def result_type(self, *operands: Span) -> Span:
        a, b, c = (x.scaled(1 << shift) for x, shift in zip(operands, self.shifts, strict=True))
        if not 0 <= self.subtracted <= 2:
            raise IRError(f"{self.subtracted} of three operands are subtracted")
        reach = a + (-b if self.subtracted == 2 else b) + (-c if self.subtracted else c)
        if self.span is None:
            return reach
        if not reach.holds(self.span):
            raise IRError(f"claimed span {self.span} exceeds {reach}")
        return self.span

    def evaluate(self, *operands: int) -> int:
        a, b, c = (x << shift for x, shift in zip(operands, self.shifts, strict=True))
        return a + (-b if self.subtracted == 2 else b) + (-c if self.subtracted else c)


@DATAPATH.op
@dataclass(frozen=True)
class ShiftLeft(DatapathOp):
    """``a << amount``: wiring."""

    mnemonic: ClassVar[str] = "shift_left"
    amount: int

    def result_type(self, *operands: Span) -> Span:
        (x,) = operands
        return x.scaled(1 << self.amount)

    def evaluate(self, *operands: int) -> int:
        return operands[0] << self.amount


@DATAPATH.op
@dataclass(frozen=True)
class Negate(DatapathOp):
    """``-a``."""

    mnemonic: ClassVar[str] = "negate"

    def result_type(self, *operands: Span) -> Span:
        (x,) = operands
        return -x

    def evaluate(self, *operands: int) -> int:
        return -operands[0]


@DATAPATH.op
@dataclass(frozen=True)
class AddConstant(DatapathOp):
    """``a + value``."""

    mnemonic: ClassVar[str] = "add_constant"
    value: int

    def result_type(self, *operands: Span) -> Span:
        (x,) = operands
        return x + Span(self.value, self.value)

    def evaluate(self, *operands: int) -> int:
        return operands[0] + self.value


@DATAPATH.op
@dataclass(frozen=True)
class ShiftRight(DatapathOp):
    """``floor(a / 2**amount)``: wiring."""

    mnemonic: ClassVar[str] = "shift_right"
    amount: int

    def result_type(self, *operands: Span) -> Span:
        (x,) = operands
        return Span(x.low >> self.amount, x.high >> self.amount)

    def evaluate(self, *operands: int) -> int:
        return operands[0] >> self.amount


@DATAPATH.op
@dataclass(frozen=True)
class RoundEven(DatapathOp):
    """``a / 2**amount`` rounded to the nearest integer, ties to even; ``amount`` is at least 1."""

    mnemonic: ClassVar[str] = "round_even"
    amount: int

    def result_type(self, *operands: Span) -> Span:
        (x,) = operands
        if self.amount < 1:
            raise IRError("rounding needs at least one bit to drop")
        return Span(self.evaluate(x.low), self.evaluate(x.high))

    def evaluate(self, *operands: int) -> int:
        return round_exact(Fraction(operands[0], 1 << self.amount), Rounding.HALF_EVEN)


@DATAPATH.op
@dataclass(frozen=True)
class RoundSignificand(DatapathOp):
    """``a / 2**shift`` rounded to an integer with at most ``bits`` significant bits.

    ``rounding`` is HALF_EVEN, HALF_UP or FLOOR, which only cuts.

    One adder whatever the number of exponents: the leading one decides what is added and which bits are cut.
    """

    mnemonic: ClassVar[str] = "round_significand"
    bits: int
    shift: int
    rounding: Rounding = Rounding.HALF_EVEN

    def result_type(self, *operands: Span) -> Span:
        (x,) = operands
        if self.bits < 1 or self.shift < 0:
            raise IRError("needs at least one significant bit and no negative shift")
        return Span(self.evaluate(x.low), self.evaluate(x.high))

    def evaluate(self, *operands: int) -> int:
        return round_significand(Fraction(operands[0], 1 << self.shift), self.bits, self.rounding)

    def largest_drop(self, operand: Span) -> int:
        """Bits that the largest magnitude loses, those of ``shift`` included; a lone -2**k loses nothing anyway."""
        return max(self.shift, max(operand.high, ~operand.low).bit_length() - self.bits)


@DATAPATH.op
@dataclass(frozen=True)
class Clamp(DatapathOp):
    """``min(max(a, low), high)``."""

    mnemonic: ClassVar[str] = "clamp"
    low: int
    high: int

    def result_type(self, *operands: Span) -> Span:
        (x,) = operands
        return Span(self.evaluate(x.low), self.evaluate(x.high))

    def evaluate(self, *operands: int) -> int:
        return min(max(operands[0], self.low), self.high)


@DATAPATH.op
@dataclass(frozen=True)
class Maximum(DatapathOp):
    """``max(a, b)``."""

    mnemonic: ClassVar[str] = "maximum"

    def result_type(self, *operands: Span) -> Span:
        a, b = operands
        return Span(max(a.low, b.low), max(a.high, b.high))

    def evaluate(self, *operands: int) -> int:
        return max(operands)


@DATAPATH.op
@dataclass(frozen=True)
class AtLeast(DatapathOp):
    """1 where ``a >= value``, else 0."""

    mnemonic: ClassVar[str] = "at_least"
    value: int

    def result_type(self, *operands: Span) -> Span:
        (x,) = operands
        return Span(self.evaluate(x.low), self.evaluate(x.high))

    def evaluate(self, *operands: int) -> int:
        return int(operands[0] >= self.value)


@DATAPATH.op
@dataclass(frozen=True)
class Greater(DatapathOp):
    """1 where ``a > b``, else 0."""

    mnemonic: ClassVar[str] = "greater"

    def result_type(self, *operands: Span) -> Span:
        a, b = operands
        return Span(int(a.low > b.high), int(a.high > b.low))

    def evaluate(self, *operands: int) -> int:
        return int(operands[0] > operands[1])


@DATAPATH.op
@dataclass(frozen=True)
class Select(DatapathOp):
    """``a`` where ``condition`` is 1, else ``b``; operands condition, a, b."""

    mnemonic: ClassVar[str] = "select"

    def result_type(self, *operands: Span) -> Span:
        condition, a, b = operands
        if not Span(0, 1).holds(condition):
            raise IRError(f"condition in {condition}")
        return a.union(b)

    def evaluate(self, *operands: int) -> int:
        return operands[1] if operands[0] else operands[2]


@DATAPATH.op
@dataclass(frozen=True)
class CountOnes(DatapathOp):
    """How many of the operands (each 0 or 1) are 1."""

    mnemonic: ClassVar[str] = "count_ones"

    def result_type(self, *operands: Span) -> Span:
        if not operands or not all(Span(0, 1).holds(o) for o in operands):
            raise IRError("needs one-bit operands")
        return Span(sum(o.low for o in operands), sum(o.high for o in operands))

    def evaluate(self, *operands: int) -> int:
        return sum(operands)


@DATAPATH.op
@dataclass(frozen=True)
class Xnor(DatapathOp):
    """1 where the two bits are equal: the product of two signs."""

    mnemonic: ClassVar[str] = "xnor"

    def result_type(self, *operands: Span) -> Span:
        x, y = operands
        if not all(Span(0, 1).holds(o) for o in operands):
            raise IRError("needs one-bit operands")
        return Span.of(int(a == b) for a in set(_ends(x)) for b in set(_ends(y)))

    def evaluate(self, *operands: int) -> int:
        return int(operands[0] == operands[1])


@DATAPATH.op
@dataclass(frozen=True)
class Bit(DatapathOp):
    """Bit ``index`` of ``a`` in two's complement: wiring."""

    mnemonic: ClassVar[str] = "bit"
    index: int

    def result_type(self, *operands: Span) -> Span:
        (x,) = operands
        first, last = x.low >> self.index, x.high >> self.index
        return Span(first & 1, first & 1) if first == last else Span(0, 1)

    def evaluate(self, *operands: int) -> int:
        return operands[0] >> self.index & 1


@DATAPATH.op
@dataclass(frozen=True)
class BoothDigit(DatapathOp):
    """One radix-4 digit of a weight, ``d = -2 high + middle + low``, times ``a``; less 1 where d is negative.

    The missing 1 (the complement stands in for the negative) depends on the weight alone, so whoever knows the
    weights adds it once, after all additions. One LUT per bit. Operands a, high, middle, low. Source: A. D.
    Booth, "A signed binary multiplication technique", 1951, in radix 4.
    """

    mnemonic: ClassVar[str] = "booth_digit"

    def result_type(self, *operands: Span) -> Span:
        a, high, middle, low = operands
        if not all(Span(0, 1).holds(bit) for bit in (high, middle, low)):
            raise IRError("needs one-bit digits")
        digits = [-2 * h + m + n for h in _ends(high) for m in _ends(middle) for n in _ends(low)]
        return Span.of(d * x - (d < 0) for d in digits for x in _ends(a))

    def evaluate(self, *operands: int) -> int:
        a, high, middle, low = operands
        digit = -2 * high + middle + low
        return digit * a - (digit < 0)


@DATAPATH.op
@dataclass(frozen=True)
class SignedShift(DatapathOp):
    """A signed power of two, or 0, times ``a``: a barrel shifter; less 1 where it is negative, as in `BoothDigit`.

    Operands a, negative, present (0: the power is 0), and the bits of the exponent, the lowest first.
    """

    mnemonic: ClassVar[str] = "signed_shift"

    def result_type(self, *operands: Span) -> Span:
        a, *bits = operands
        if len(bits) < 2 or not all(Span(0, 1).holds(bit) for bit in bits):
            raise IRError("needs a sign, a flag, and bits of an exponent")
        least = sum(bit.low << k for k, bit in enumerate(bits[2:]))
        most = sum(bit.high << k for k, bit in enumerate(bits[2:]))
        reach = [x << e if present else 0 for x in _ends(a) for e in (least, most) for present in _ends(bits[1])]
        return Span.of(~x if negative else x for x in reach for negative in _ends(bits[0]))

    def evaluate(self, *operands: int) -> int:
        a, negative, present, *bits = operands
        shifted = a << sum(bit << k for k, bit in enumerate(bits)) if present else 0
        return ~shifted if negative else shifted


@DATAPATH.op
@dataclass(frozen=True)
class Extend(DatapathOp):
    """``a`` as a value of the wider ``span``: wiring, where lanes must have one width."""

    mnemonic: ClassVar[str] = "extend"
    span: Span

    def result_type(self, *operands: Span) -> Span:
        (x,) = operands
        if not self.span.holds(x):
            raise IRError(f"{x} is not within {self.span}")
        return self.span

    def evaluate(self, *operands: int) -> int:
        return operands[0]


def _ends(span: Span) -> tuple[int, int]:
    return span.low, span.high


@DATAPATH.op
@dataclass(frozen=True)
class Lookup(DatapathOp):
    """``table[a - low]``; the table covers the operand's span."""

    mnemonic: ClassVar[str] = "lookup"
    table: Array
    low: int

    def result_type(self, *operands: Span) -> Span:
        (x,) = operands
        first, last = x.low - self.low, x.high - self.low
        if first < 0 or last >= self.table.shape[0]:
            raise IRError(f"a table from {self.low} with {self.table.shape[0]} entries for {x}")
        part = self.table.values[first : last + 1]
        return Span(int(part.min()), int(part.max()))

    def evaluate(self, *operands: int) -> int:
        return int(self.table.values[operands[0] - self.low])
