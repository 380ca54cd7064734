"""The quantizer of any finite set of levels: powers of two, ternary, sums of a few bits, codebooks."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from qcompile.numerics.channels import channel_index
from qcompile.numerics.quantizer import Quantizer
from qcompile.numerics.rounding import least_reaching, round_exact


@dataclass(frozen=True)
class LevelQuantizer(Quantizer):
    """Codes are the integers of ``levels`` (ascending, two or more), and ``value = scale * code``.

    A value between two neighbours is rounded as its place between their numbers, where the least level that is
    not negative has number 0: a nearest mode decides at the middle, HALF_EVEN for the even number. With the
    levels of a minifloat that has a mantissa this is IEEE's round to nearest, ties to even. Beyond the ends it
    saturates.
    """

    levels: tuple[int, ...] = (-1, 1)

    every_integer: ClassVar[bool] = False

    @classmethod
    def of(cls, scale: tuple[Fraction, ...], levels: tuple[int, ...], **parameters: object) -> LevelQuantizer:
        return cls(scale, low=levels[0], high=levels[-1], levels=levels, **parameters)  # type: ignore[arg-type]

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self.levels) < 2 or list(self.levels) != sorted(set(self.levels)):
            raise ValueError("levels must be two or more, ascending")
        if (self.low, self.high) != (self.levels[0], self.levels[-1]) or any(self.zero_point):
            raise ValueError("low and high are the outermost levels, and there is no zero point")

    @cached_property
    def _first(self) -> int:
        """The index of the level that has number 0."""
        return min(bisect_left(self.levels, 0), len(self.levels) - 1)

    @cached_property
    def _boundaries(self) -> tuple[tuple[Fraction, bool], ...]:
        """``(boundary, included)`` in units of the scale, below which the level with index ``k + 1`` is not reached."""
        found = []
        for index in range(1, len(self.levels)):
            below, above = self.levels[index - 1 : index + 1]
            place, included = least_reaching(index - self._first, self.rounding)
            found.append((below + (place - (index - 1 - self._first)) * (above - below), included))
        return tuple(found)

    def code(self, value: Fraction | int, channel: int = 0) -> int:
        ratio = Fraction(value) / self.scale_of(channel)
        index = bisect_right(self.levels, ratio) - 1
        if index < 0:
            return self.levels[0]
        if index == len(self.levels) - 1:
            return self.levels[-1]
        below, above = self.levels[index : index + 2]
        number = index - self._first + (ratio - below) / (above - below)
        return self.levels[round_exact(number, self.rounding) + self._first]

    def least_value(self, code: int, channel: int = 0) -> tuple[Fraction, bool]:
        """As for `Quantizer`, for codes above ``low``; for an integer between two codes, the upper one's."""
        boundary, included = self._boundaries[bisect_left(self.levels, code) - 1]
        return boundary * self.scale_of(channel), included

    def codes_between(self, low: int, high: int) -> Sequence[int]:
        return self.levels[bisect_left(self.levels, low) : bisect_right(self.levels, high)]

    def codes(self, values: npt.NDArray[np.floating], axis: int | None = None) -> npt.NDArray[np.int64]:
        exact = np.asarray(values, np.float64)
        index = channel_index(exact.shape, self.channels, axis)
        scale = np.array([float(s) for s in self.scale])[index % len(self.scale)]
        with np.errstate(over="ignore"):  # what overflows saturates
            ratio = exact / scale
        bounds = np.array([float(b) for b, _ in self._boundaries])
        included = np.array([i for _, i in self._boundaries] + [False])
        place = np.searchsorted(bounds, ratio, side="left")
        nearby = np.append(bounds, np.inf)
        place = place + ((nearby[place] == ratio) & included[place])
        codes = np.asarray(np.array(self.levels, np.int64)[place])
        if all(s.numerator.bit_count() == s.denominator.bit_count() == 1 for s in self.scale):
            return codes  # quotients are exact
        gap = np.minimum(np.abs(ratio - nearby[place]), np.abs(ratio - np.append(-np.inf, bounds)[place]))
        for spot in map(tuple, np.argwhere(gap < 1e-9 * (1 + np.abs(ratio)))):
            codes[spot] = self.code(Fraction(float(exact[spot])), int(index[spot]))
        return codes

    def __str__(self) -> str:
        scale = f"{float(self.scale[0]):.4g}" if len(self.scale) == 1 else "per-channel scales"
        shown = ", ".join(map(str, self.levels)) if len(self.levels) <= 9 else f"{len(self.levels)} levels"
        return f"{{{shown}}} x {scale}"
