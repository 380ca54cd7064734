"""Exact integer intervals: the source of every width in the hardware."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, order=True)
class Span:
    """All integers from ``low`` to ``high``, both included."""

    low: int
    high: int

    def __post_init__(self) -> None:
        if self.low > self.high:
            raise ValueError(f"empty span {self.low}..{self.high}")

    @classmethod
    def of(cls, values: Iterable[int]) -> Span:
        """The smallest span that holds all ``values`` (at least one)."""
        held = list(values)
        return cls(min(held), max(held))

    @classmethod
    def of_bits(cls, width: int, signed: bool) -> Span:
        """Every value of a two's complement (or unsigned) integer of ``width`` bits."""
        if signed:
            return cls(-(1 << (width - 1)), (1 << (width - 1)) - 1)
        return cls(0, (1 << width) - 1)

    @property
    def signed(self) -> bool:
        return self.low < 0

    @property
    def width(self) -> int:
        """Bits of the narrowest integer type that holds the span; at least 1."""
        if self.signed:
            return max(max(0, self.high).bit_length(), (~self.low).bit_length()) + 1
        return max(1, self.high.bit_length())

    @property
    def size(self) -> int:
        return self.high - self.low + 1

    def __contains__(self, value: int) -> bool:
        return self.low <= value <= self.high

    def holds(self, other: Span) -> bool:
        return self.low <= other.low and other.high <= self.high

    def union(self, other: Span) -> Span:
        return Span(min(self.low, other.low), max(self.high, other.high))

    def __add__(self, other: Span) -> Span:
        return Span(self.low + other.low, self.high + other.high)

    def __neg__(self) -> Span:
        return Span(-self.high, -self.low)

    def scaled(self, factor: int) -> Span:
        """The span of ``factor * x``."""
        ends = (self.low * factor, self.high * factor)
        return Span(min(ends), max(ends))

    def times(self, other: Span) -> Span:
        """The span of ``x * y``."""
        return Span.of(x * y for x in (self.low, self.high) for y in (other.low, other.high))

    def __str__(self) -> str:
        return f"{self.low}..{self.high}"


def union(spans: Iterable[Span]) -> Span:
    """The smallest span that holds all ``spans`` (at least one)."""
    held = list(spans)
    return Span(min(s.low for s in held), max(s.high for s in held))
