"""Quantizers: from a real number to an integer code on a grid, and back. Everything is exact."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from math import log2
from typing import ClassVar, Self

import numpy as np
import numpy.typing as npt

from qcompile.numerics.rounding import Rounding, least_reaching, round_array, round_exact
from qcompile.numerics.span import Span


@dataclass(frozen=True)
class Quantizer:
    """The uniform grid ``value = scale * (code - zero_point)`` with codes ``low..high``.

    ``scale`` and ``zero_point`` have one entry, or one per channel. A code is
    ``clamp(round(x / scale) + zero_point)`` (ONNX), or with ``zero_first``
    ``clamp(round(x / scale + zero_point))`` (QONNX); the two differ only in ties and for zero points that are
    not integers. ``low``/``high`` None: not clamped (used for lossless grids).
    """

    scale: tuple[Fraction, ...]
    zero_point: tuple[Fraction, ...] = (Fraction(0),)
    low: int | None = None
    high: int | None = None
    rounding: Rounding = Rounding.HALF_EVEN
    zero_first: bool = False

    every_integer: ClassVar[bool] = True
    """Every integer of the span is a code whose own value is rounded to it; not so for some subclasses."""
    idempotent: ClassVar[bool] = True
    """Quantizing a value of the grid again does not change it."""

    def __post_init__(self) -> None:
        if any(s <= 0 for s in self.scale):
            raise ValueError("a scale must be positive")
        if not self.zero_first and any(z.denominator != 1 for z in self.zero_point):
            raise ValueError("a zero point added after rounding must be an integer")

    @property
    def channels(self) -> int:
        """Number of channels with parameters of their own; 1 when shared by all."""
        return max(len(self.scale), len(self.zero_point))

    @property
    def span(self) -> Span | None:
        return None if self.low is None or self.high is None else Span(self.low, self.high)

    def picked(self, channels: Sequence[int]) -> Self:
        """The quantizer of a tensor that has these channels, in this order."""
        if self.channels == 1:
            return self
        return replace(
            self,
            scale=tuple(self.scale_of(c) for c in channels) if len(self.scale) > 1 else self.scale,
            zero_point=tuple(self.zero_of(c) for c in channels) if len(self.zero_point) > 1 else self.zero_point,
        )

    def scale_of(self, channel: int) -> Fraction:
        return self.scale[channel % len(self.scale)]

    def zero_of(self, channel: int) -> Fraction:
        return self.zero_point[channel % len(self.zero_point)]

    def code(self, value: Fraction | int, channel: int = 0) -> int:
        """The code of an exact real ``value``."""
        ratio = Fraction(value) / self.scale_of(channel)
        zero = self.zero_of(channel)
        if self.zero_first:
            code = round_exact(ratio + zero, self.rounding)
        else:
            code = round_exact(ratio, self.rounding) + int(zero)
        if self.low is not None:
            code = max(code, self.low)
        if self.high is not None:
            code = min(code, self.high)
        return code

    def value(self, code: int, channel: int = 0) -> Fraction:
        """The real number that ``code`` stands for."""
        return self.scale_of(channel) * (code - self.zero_of(channel))

    def least_value(self, code: int, channel: int = 0) -> tuple[Fraction, bool]:
        """The boundary below which values get less than ``code``: ``(boundary, included)``, ignoring the clamp."""
        zero = self.zero_of(channel)
        if self.zero_first:
            boundary, included = least_reaching(code, self.rounding)
            return (boundary - zero) * self.scale_of(channel), included
        boundary, included = least_reaching(code - int(zero), self.rounding)
        return boundary * self.scale_of(channel), included

    def codes_between(self, low: int, high: int) -> Sequence[int]:
        """All codes from ``low`` to ``high`` (both codes), ascending."""
        return range(low, high + 1)

    def codes(self, values: npt.NDArray[np.floating], axis: int | None = None) -> npt.NDArray[np.int64]:
        """Codes of an array of floats, taken as the exact rationals they are; channels along ``axis``.

        Computed in float64 and corrected exactly wherever that might have crossed a rounding boundary.
        """
        exact = np.asarray(values, np.float64)
        index = np.zeros(exact.shape, np.int64)
        if self.channels > 1:
            if axis is None:
                raise ValueError("per-channel parameters need an axis")
            shape = [1] * exact.ndim
            shape[axis] = exact.shape[axis]
            index = np.broadcast_to(np.arange(exact.shape[axis]).reshape(shape), exact.shape)
        scale = np.array([float(s) for s in self.scale])[index % len(self.scale)]
        zero = np.array([float(z) for z in self.zero_point])[index % len(self.zero_point)]
        low = -(2**62) if self.low is None else self.low
        high = 2**62 if self.high is None else self.high
        # What is rounded, and what is added behind it.
        first, after = (zero, 0.0) if self.zero_first else (0.0, zero)
        with np.errstate(over="ignore"):  # what overflows is clipped
            ratio = np.clip(exact / scale + first, low - 1 - after, high + 1 - after)
        codes = np.asarray(np.clip(round_array(ratio, self.rounding) + after, low, high), np.int64)
        if all(s.numerator.bit_count() == s.denominator.bit_count() == 1 for s in self.scale) and not zero.any():
            return codes  # the quotient is exact, so its rounding is
        # The float64 quotient is off by less than the margin: only boundaries within it can be crossed.
        directed = self.rounding in (Rounding.FLOOR, Rounding.CEIL, Rounding.ZERO, Rounding.AWAY)
        boundary = np.rint(ratio) if directed else np.floor(ratio) + 0.5
        suspect = np.abs(ratio - boundary) < 1e-9 + np.abs(ratio) * 1e-14
        for place in map(tuple, np.argwhere(suspect)):
            codes[place] = self.code(Fraction(float(exact[place])), int(index[place]))
        return codes

    def values(self, codes: npt.NDArray[np.integer], axis: int | None = None) -> npt.NDArray[np.float64]:
        """Real values of ``codes`` in float64 (rounded once, from the float64 of scale and zero point)."""
        scale, zero = self.scale_array(codes.ndim, axis)
        return (codes - zero) * scale

    def scale_array(self, ndim: int, axis: int | None) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """``(scale, zero_point)`` as float64 arrays that broadcast along ``axis``."""

        def shaped(parts: tuple[Fraction, ...]) -> npt.NDArray[np.float64]:
            array = np.array([float(p) for p in parts])
            if len(parts) == 1:
                return array.reshape(())
            if axis is None:
                raise ValueError("per-channel parameters need an axis")
            return array.reshape([-1 if a == axis % ndim else 1 for a in range(ndim)])

        return shaped(self.scale), shaped(self.zero_point)

    def __str__(self) -> str:
        """The format as reports print it: ``int8 x 0.0394, zero 3`` or ``fixed<8,4>``."""
        span = self.span
        kind = "int" if span is None else f"{'' if span.signed else 'u'}int{span.width}"
        if len(self.scale) > 1:
            scale = "per-channel scales"
        elif self.scale[0].numerator == 1 and self.scale[0].denominator.bit_count() == 1:
            scale = f"2^{-(self.scale[0].denominator.bit_length() - 1)}"
        elif self.scale[0].denominator == 1 and self.scale[0].numerator.bit_count() == 1:
            scale = f"2^{int(log2(self.scale[0].numerator))}"
        else:
            scale = f"{float(self.scale[0]):.4g}"
        zero = (
            ""
            if not any(self.zero_point)
            else (f", zero {self.zero_point[0]}" if len(self.zero_point) == 1 else ", per-channel zeros")
        )
        return f"{kind} x {scale}{zero}"
