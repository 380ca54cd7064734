"""The quantizer of FINN and QONNX MultiThreshold: an arbitrary increasing staircase."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from math import gcd, lcm
from typing import ClassVar, Self

import numpy as np
import numpy.typing as npt

from qcompile.numerics.channels import channel_index
from qcompile.numerics.quantizer import Quantizer


@dataclass(frozen=True)
class ThresholdQuantizer(Quantizer):
    """``code = low + step * #{k : x >= at[channel][k]}`` and ``value = scale * code``.

    ``at`` has one row, or one per channel; a row ascends and all rows are equally long. The zero point is 0.
    """

    at: tuple[tuple[Fraction, ...], ...] = ()
    step: int = 1

    every_integer: ClassVar[bool] = False
    idempotent: ClassVar[bool] = False

    @classmethod
    def of(cls, at: tuple[tuple[Fraction, ...], ...], scale: Fraction, bias: Fraction) -> ThresholdQuantizer:
        """``value = scale * count + bias``, on the coarsest grid through 0 that holds all values."""
        common = lcm(scale.denominator, bias.denominator)
        unit = Fraction(gcd(int(scale * common), int(bias * common)), common)
        step, first = int(scale / unit), int(bias / unit)
        rows = tuple(tuple(sorted(row)) for row in at)
        return cls((unit,), low=first, high=first + step * len(rows[0]), at=rows, step=step)

    @property
    def channels(self) -> int:
        return len(self.at)

    def picked(self, channels: Sequence[int]) -> Self:
        if self.channels == 1:
            return self
        return replace(self, at=tuple(self.at[c % len(self.at)] for c in channels))

    def code(self, value: Fraction | int, channel: int = 0) -> int:
        assert self.low is not None
        row = self.at[channel % len(self.at)]
        return self.low + self.step * sum(value >= t for t in row)

    def codes_between(self, low: int, high: int) -> Sequence[int]:
        return range(low, high + 1, self.step)

    def least_value(self, code: int, channel: int = 0) -> tuple[Fraction, bool]:
        """As for `Quantizer`, for codes above ``low`` and up to ``high``."""
        assert self.low is not None
        steps = -((self.low - code) // self.step)
        return self.at[channel % len(self.at)][steps - 1], True

    def codes(self, values: npt.NDArray[np.floating], axis: int | None = None) -> npt.NDArray[np.int64]:
        """As for `Quantizer`; thresholds must be float64 values, as all that come from files are."""
        assert self.low is not None
        exact = np.asarray(values, np.float64)
        if self.channels == 1:
            counts = np.searchsorted([float(t) for t in self.at[0]], exact, "right")
            return (self.low + self.step * counts).astype(np.int64)
        index = channel_index(exact.shape, self.channels, axis)
        codes = np.empty(exact.shape, np.int64)
        for channel, row in enumerate(self.at):
            own = index == channel
            codes[own] = self.low + self.step * np.searchsorted([float(t) for t in row], exact[own], "right")
        return codes

    def __str__(self) -> str:
        count = len(self.at[0])
        return f"{count} threshold{'s' if count > 1 else ''} x {float(self.scale[0]):.4g}"
