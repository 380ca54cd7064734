"""Formats of weights whose scale, or levels, are chosen for each group of inputs: MX, block floating point, planes."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import ClassVar

import numpy as np

from qcompile.numerics.formats.base import Format, Levels, MiniFloat, Reals, evenly_spaced
from qcompile.numerics.rounding import Rounding
from qcompile.numerics.span import Span, union

E8M0 = (-127, 127)
"""Exponents that a shared scale of eight bits holds (OCP Microscaling, 2023)."""


@dataclass(frozen=True)
class Grouped(Format):
    """A scale for each ``size`` inputs of a row and, where there are several ``sets``, the set that serves it best.

    ``exponent``: None, the scale with the least error; "floor", as in MX: the power of two at which the exponent
    of the largest magnitude meets that of the largest level; "ceil", as in block floating point: one at which
    nothing clips but by the last step. ``unit_exponent``: code 1 of an element is worth this power of two, which
    only matters for the limits of a shared exponent. ``tie`` rounds elements.
    """

    name: str
    size: int
    sets: tuple[Format, ...]
    exponent: str | None = None
    tie: Rounding = Rounding.HALF_EVEN
    unit_exponent: int = 0

    for_weights_only: ClassVar[bool] = True

    @property
    def levels(self) -> tuple[int, ...]:
        """Those of the first set."""
        return self.sets[0].levels

    @property
    def span(self) -> Span:
        return union(format.span for format in self.sets)

    def shared_scale(self, largest: Reals) -> Reals:
        """The power of two that groups with these ``largest`` magnitudes share; 0 where all are zero."""
        top = self.sets[0].span.high.bit_length() - 1
        mantissa, exponent = np.frexp(largest)
        power = exponent - 1 - top - ((mantissa == 0.5) & (self.exponent == "ceil"))
        power = np.clip(power, E8M0[0] + self.unit_exponent, E8M0[1] + self.unit_exponent)
        scales: Reals = np.where(largest > 0, np.ldexp(1.0, power), 0.0)
        return scales

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True)
class Planes(Format):
    """The sum of ``count`` planes, each with one of ``digits`` for a weight and a scale for ``size`` inputs of a row.

    Planes of {-1, 0, 1} are PTQTP's, of {0, 1} those of DB-LLM.
    """

    name: str
    size: int
    digits: tuple[int, ...]
    count: int

    for_weights_only: ClassVar[bool] = True

    @property
    def combinations(self) -> tuple[tuple[int, ...], ...]:
        """Every choice of digits, one for each plane."""
        return tuple(product(self.digits, repeat=self.count))

    @property
    def levels(self) -> tuple[int, ...]:
        """With scales 1, 3, 9 or 1, 2, 4, the last one negative for {0, 1}: all combinations apart."""
        scales = [len(self.digits) ** k for k in range(self.count)]
        if min(self.digits) >= 0:
            scales[-1] = -scales[-1]
        return tuple(sorted(sum(d * s for d, s in zip(c, scales, strict=True)) for c in self.combinations))

    @property
    def bits(self) -> int:
        return self.count * (1 if len(self.digits) == 2 else 2)

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True)
class Codebook(Format):
    """``count`` levels that a layer's weights choose: the means of clusters, as integers up to ±127."""

    count: int

    for_weights_only: ClassVar[bool] = True
    _REACH: ClassVar[int] = 127
    _ROUNDS: ClassVar[int] = 50

    @property
    def levels(self) -> tuple[int, ...]:
        """Before the weights are known: evenly spaced."""
        return evenly_spaced(self.count).levels

    def fitted(self, rows: Reals) -> Levels:
        """The levels for weights [out, in], each row relative to its largest magnitude. Stuart P. Lloyd, "Least
        squares quantization in PCM", 1982, method I, from quantiles."""
        largest = np.abs(rows).max(axis=1, keepdims=True, initial=0.0)
        values = np.sort((rows / np.where(largest > 0, largest, 1.0)).ravel())
        centres = np.quantile(values, (np.arange(self.count) + 0.5) / self.count)
        totals = np.concatenate([[0.0], np.cumsum(values)])
        for _ in range(self._ROUNDS):
            cuts = np.searchsorted(values, (centres[1:] + centres[:-1]) / 2)
            edges = np.concatenate([[0], cuts, [len(values)]])
            sizes = np.diff(edges)
            moved = np.where(sizes > 0, np.diff(totals[edges]) / np.maximum(sizes, 1), centres)
            if np.array_equal(moved, centres):
                break
            centres = moved
        codes = sorted({int(c) for c in np.rint(centres * self._REACH)})
        if len(codes) < 2:
            codes = sorted({*codes, codes[0] + 1})
        return Levels(str(self), tuple(codes))

    def __str__(self) -> str:
        return f"codebook:{self.count}"


def microscaling(element: str, size: int, exponent: str = "floor", tie: Rounding = Rounding.HALF_EVEN) -> Grouped:
    """MX: elements `e2m1`, `e2m3`, `e3m2`, `e4m3`, `e5m2` or `int8` (any `intB`) on a shared power of two."""
    if element.startswith("int"):
        bits = int(element[3:])
        inner: Format = sign_magnitude(bits)
        unit = 2 - bits
    else:
        exponent_bits, mantissa_bits = (int(part) for part in element[1:].split("m"))
        reserved = {"e4m3": 1, "e5m2": 4}.get(element, 0)
        inner = MiniFloat(exponent_bits, mantissa_bits, reserved)
        unit = 1 - ((1 << exponent_bits - 1) - 1) - mantissa_bits
    suffix = (":ceil" if exponent == "ceil" else "") + (":away" if tie is Rounding.HALF_AWAY else "")
    return Grouped(f"mx:{element}:{size}{suffix}", size, (inner,), exponent, tie, unit)


def block_floating_point(bits: int, size: int) -> Grouped:
    """A sign and ``bits - 1`` magnitude bits on a shared power of two above the largest magnitude."""
    return Grouped(f"bfp:{bits}:{size}", size, (sign_magnitude(bits),), "ceil", unit_exponent=1 - bits)


def sign_magnitude(bits: int) -> Levels:
    reach = (1 << bits - 1) - 1
    return Levels(f"int{bits}", tuple(range(-reach, reach + 1)))


def bit_serial_mixture(bits: int, size: int) -> Grouped:
    """BitMoD: a small float whose spare code -0 is one of four extra levels, by group; ties go down.

    Yuzong Chen et al., "BitMoD: Bit-serial Mixture-of-Datatype LLM Acceleration", HPCA 2025.
    """
    magnitudes, extras = {3: ((0, 1, 2, 4), (3, 6)), 4: ((0, 1, 2, 3, 4, 6, 8, 12), (10, 16))}[bits]
    base = {sign * m for m in magnitudes for sign in (-1, 1)}
    sets = tuple(Levels(f"bitmod:{bits}", tuple(sorted(base | {sign * extra}))) for extra in extras for sign in (1, -1))
    return Grouped(f"bitmod:{bits}:{size}", size, sets, tie=Rounding.HALF_DOWN)
