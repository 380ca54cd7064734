"""From one code to another: requantizations and what realises them."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import ClassVar

from qcompile.ir.array import Array
from qcompile.ir.graph import IRError
from qcompile.ir.integer.base import INTEGER, IntegerOp, Ints, IntType, per_channel
from qcompile.numerics.function import ScalarFunction
from qcompile.numerics.rounding import Rounding, round_exact, round_significand
from qcompile.numerics.span import Span


@INTEGER.op
@dataclass(frozen=True)
class Requantize(IntegerOp):
    """``function.code(x, channel)``: what a requantization means. A pass picks a cheap realisation of it."""

    mnemonic: ClassVar[str] = "requantize"
    function: ScalarFunction

    def result_type(self, *operands: IntType) -> IntType:
        (x,) = operands
        if self.function.channels not in (1, x.channels):
            raise IRError(f"{self.function.channels} functions for {x.channels} channels")
        return IntType(x.shape, tuple(self.function.span(s, c) for c, s in enumerate(x.spans)))

    def evaluate(self, *operands: Ints) -> Ints:
        return per_channel(operands[0], self.function.code)


@INTEGER.op
@dataclass(frozen=True)
class Rescale(IntegerOp):
    """``clamp(round((factor * x + offset) / 2**shift), low, high)``: a requantization without a multiplier.

    One entry each, or one per channel. ``rounding`` is FLOOR (any bias is in the offset) or HALF_EVEN.
    """

    mnemonic: ClassVar[str] = "rescale"
    factor: tuple[int, ...]
    offset: tuple[int, ...]
    shift: tuple[int, ...]
    low: int
    high: int
    rounding: Rounding = Rounding.FLOOR

    def code(self, value: int, channel: int) -> int:
        factor, offset, shift = self.of(channel)
        ratio = Fraction(factor * value + offset, 1 << shift)
        return max(self.low, min(self.high, round_exact(ratio, self.rounding)))

    def of(self, channel: int) -> tuple[int, int, int]:
        """``(factor, offset, shift)`` of a channel."""
        pick = tuple(part[channel % len(part)] for part in (self.factor, self.offset, self.shift))
        return pick[0], pick[1], pick[2]

    def result_type(self, *operands: IntType) -> IntType:
        (x,) = operands
        if self.rounding not in (Rounding.FLOOR, Rounding.HALF_EVEN) or any(s < 0 for s in self.shift):
            raise IRError("rounding must be FLOOR or HALF_EVEN, shifts non-negative")
        ends = (Span.of((self.code(s.low, c), self.code(s.high, c))) for c, s in enumerate(x.spans))
        return IntType(x.shape, tuple(ends))

    def evaluate(self, *operands: Ints) -> Ints:
        return per_channel(operands[0], self.code)


@INTEGER.op
@dataclass(frozen=True)
class RoundSignificand(IntegerOp):
    """``x / 2**shift`` as an integer with at most ``bits`` significant bits: the code of a minifloat.

    ``rounding`` is HALF_EVEN, HALF_UP or FLOOR; with FLOOR and one bit it is the leading power of two.
    """

    mnemonic: ClassVar[str] = "round_significand"
    bits: int
    shift: int
    rounding: Rounding = Rounding.HALF_EVEN

    def code(self, value: int) -> int:
        return round_significand(Fraction(value, 1 << self.shift), self.bits, self.rounding)

    def result_type(self, *operands: IntType) -> IntType:
        (x,) = operands
        known = (Rounding.HALF_EVEN, Rounding.HALF_UP, Rounding.FLOOR)
        if self.rounding not in known or self.bits < 1 or self.shift < 0:
            raise IRError("rounding must be HALF_EVEN, HALF_UP or FLOOR, bits positive, shift non-negative")
        return IntType(x.shape, tuple(Span(self.code(s.low), self.code(s.high)) for s in x.spans))

    def evaluate(self, *operands: Ints) -> Ints:
        return per_channel(operands[0], lambda value, _: self.code(value))


@INTEGER.op
@dataclass(frozen=True)
class Thresholds(IntegerOp):
    """``base[c] + step * #{k : sign[c] * x >= at[c, k]}``: comparators; ``at`` [channels or 1, levels] ascends.

    ``step`` is 1, or the distance of the codes (2 for -1/+1).
    """

    mnemonic: ClassVar[str] = "thresholds"
    at: Array
    sign: tuple[int, ...]
    base: tuple[int, ...]
    step: int = 1

    def code(self, value: int, channel: int) -> int:
        row = self.at.values[channel % self.at.shape[0]]
        reached = int((row <= self.sign[channel % len(self.sign)] * value).sum())
        return self.base[channel % len(self.base)] + self.step * reached

    def result_type(self, *operands: IntType) -> IntType:
        (x,) = operands
        ends = (Span.of((self.code(s.low, c), self.code(s.high, c))) for c, s in enumerate(x.spans))
        return IntType(x.shape, tuple(ends))

    def evaluate(self, *operands: Ints) -> Ints:
        return per_channel(operands[0], self.code)


@INTEGER.op
@dataclass(frozen=True)
class Lookup(IntegerOp):
    """``table[c][x - low]``; ``table`` [channels or 1, entries] covers the operand's whole span."""

    mnemonic: ClassVar[str] = "lookup"
    table: Array
    low: int

    def result_type(self, *operands: IntType) -> IntType:
        (x,) = operands
        if x.span.low < self.low or x.span.high >= self.low + self.table.shape[1]:
            raise IRError(f"a table from {self.low} with {self.table.shape[1]} entries for {x.span}")
        spans = []
        for channel, span in enumerate(x.spans):
            row = self.table.values[channel % self.table.shape[0], span.low - self.low : span.high - self.low + 1]
            spans.append(Span(int(row.min()), int(row.max())))
        return IntType(x.shape, tuple(spans))

    def evaluate(self, *operands: Ints) -> Ints:
        rows = self.table.shape[0]
        return per_channel(operands[0], lambda v, c: int(self.table.values[c % rows, v - self.low]))
