"""The quantizer of binary networks: the sign."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from qcompile.numerics.channels import channel_index
from qcompile.numerics.quantizer import Quantizer


@dataclass(frozen=True)
class BipolarQuantizer(Quantizer):
    """Codes -1 and +1: ``+1`` where ``x / scale + zero_point >= 0`` (so 0 becomes +1), with no code between.

    ``value = scale * (code - zero_point)`` as for every quantizer.
    """

    low: int | None = -1
    high: int | None = 1
    zero_first: bool = True

    every_integer: ClassVar[bool] = False

    def code(self, value: Fraction | int, channel: int = 0) -> int:
        return 1 if Fraction(value) >= self._boundary(channel) else -1

    def least_value(self, code: int, channel: int = 0) -> tuple[Fraction, bool]:
        """As for `Quantizer`; codes 0 and 1 have the same boundary, -1 has none below it."""
        return self._boundary(channel), True

    def codes_between(self, low: int, high: int) -> Sequence[int]:
        return range(low, high + 1, 2)

    def _boundary(self, channel: int) -> Fraction:
        return -self.zero_of(channel) * self.scale_of(channel)

    def codes(self, values: npt.NDArray[np.floating], axis: int | None = None) -> npt.NDArray[np.int64]:
        exact = np.asarray(values, np.float64)
        if not any(self.zero_point):
            return np.where(exact >= 0, 1, -1).astype(np.int64)
        index = channel_index(exact.shape, self.channels, axis)
        boundary = np.array([float(self._boundary(c)) for c in range(self.channels)])[index]
        codes = np.asarray(np.where(exact >= boundary, 1, -1), np.int64)
        # The boundary itself was rounded: values that meet it are compared exactly.
        for place in map(tuple, np.argwhere(exact == boundary)):
            codes[place] = self.code(Fraction(float(exact[place])), int(index[place]))
        return codes

    def __str__(self) -> str:
        scale = f"{float(self.scale[0]):.4g}" if len(self.scale) == 1 else "per-channel scales"
        return f"bipolar x {scale}"
