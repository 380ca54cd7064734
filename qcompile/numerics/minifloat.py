"""Quantizers to small floating-point formats: OCP and ONNX float8, float6 and float4, Brevitas FloatQuant."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from qcompile.numerics.channels import channel_index
from qcompile.numerics.quantizer import Quantizer
from qcompile.numerics.rounding import Rounding, least_reaching, round_array, round_significand


@dataclass(frozen=True)
class MiniFloatQuantizer(Quantizer):
    """A saturating floating-point grid. Codes count smallest subnormals: ``value = scale * code``.

    A code is 0 or ``±s * 2**t`` with a significand ``s < 2**(mantissa_bits + 1)``, at most ``high`` in
    magnitude; not every integer of the span is one. ``scale`` is the real scale times the smallest subnormal
    ``2**(1 - bias - mantissa_bits)``. Rounding acts on the significand. ``exponent_bits`` and ``bias`` only
    name the format.
    """

    exponent_bits: int = 4
    mantissa_bits: int = 3
    bias: int = 7

    every_integer: ClassVar[bool] = False

    @classmethod
    def of(
        cls,
        scale: tuple[Fraction, ...],
        exponent_bits: int,
        mantissa_bits: int,
        bias: int,
        largest: Fraction,
        rounding: Rounding = Rounding.HALF_EVEN,
    ) -> MiniFloatQuantizer:
        """The format that saturates at ``largest`` (before the scale); ValueError if that is off the grid."""
        unit = Fraction(2) ** (1 - bias - mantissa_bits)
        top = largest / unit
        if top.denominator != 1:
            raise ValueError(f"{largest} is no multiple of the smallest subnormal {unit}")
        return cls(
            tuple(s * unit for s in scale),
            low=-top.numerator,
            high=top.numerator,
            rounding=rounding,
            exponent_bits=exponent_bits,
            mantissa_bits=mantissa_bits,
            bias=bias,
        )

    def code(self, value: Fraction | int, channel: int = 0) -> int:
        ratio = Fraction(value) / self.scale_of(channel)
        code = round_significand(ratio, self.mantissa_bits + 1, self.rounding)
        assert self.low is not None and self.high is not None
        return min(max(code, self.low), self.high)

    def least_value(self, code: int, channel: int = 0) -> tuple[Fraction, bool]:
        """As for `Quantizer`; for an integer between two codes, the boundary of the upper one."""
        if code > 0:
            # The codes above code - 1 lie in the binade of the greatest code below them.
            below = code - 1 >> self._shift(code - 1)
            step = 1 << self._shift(code - 1)
            target = below + 1
        else:
            step = 1 << self._shift(-code)
            target = -(-code >> self._shift(-code))
        boundary, included = least_reaching(target, self.rounding)
        return boundary * step * self.scale_of(channel), included

    def codes_between(self, low: int, high: int) -> Sequence[int]:
        found = [low]
        while found[-1] < high:
            # A negative code lies in the binade of the numbers that it ends: they are one smaller in magnitude.
            magnitude = found[-1] if found[-1] >= 0 else -found[-1] - 1
            found.append(found[-1] + (1 << self._shift(magnitude)))
        return found

    def _shift(self, magnitude: int) -> int:
        """The distance of neighbouring codes at ``magnitude``, as a power of two."""
        return max(0, magnitude.bit_length() - 1 - self.mantissa_bits)

    def codes(self, values: npt.NDArray[np.floating], axis: int | None = None) -> npt.NDArray[np.int64]:
        exact = np.asarray(values, np.float64)
        index = channel_index(exact.shape, self.channels, axis)
        assert self.low is not None and self.high is not None
        scale = np.array([float(s) for s in self.scale])[index % len(self.scale)]
        ratio = np.clip(exact / scale, 2 * self.low - 2, 2 * self.high + 2)
        _, exponent = np.frexp(ratio)
        step = np.exp2(np.maximum(0, exponent - 1 - self.mantissa_bits))
        codes = np.asarray(np.clip(round_array(ratio / step, self.rounding) * step, self.low, self.high), np.int64)
        if all(s.numerator.bit_count() == s.denominator.bit_count() == 1 for s in self.scale):
            return codes  # quotients are exact
        # Elsewhere the quotient may have crossed a boundary: halves and integers of the significand, which
        # powers of two between binades are too.
        doubled = 2 * ratio / step
        suspect = np.abs(doubled - np.rint(doubled)) < 1e-9
        for place in map(tuple, np.argwhere(suspect & (ratio != 0))):
            codes[place] = self.code(Fraction(float(exact[place])), int(index[place]))
        return codes

    def __str__(self) -> str:
        scale = self.scale[0] / Fraction(2) ** (1 - self.bias - self.mantissa_bits)
        text = f"{float(scale):.4g}" if len(self.scale) == 1 else "per-channel scales"
        return f"float e{self.exponent_bits}m{self.mantissa_bits} x {text}"
