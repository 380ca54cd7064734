"""Named rounding of exact rationals to integers. The reference runtimes differ, so a mode is always named."""

from __future__ import annotations

from enum import StrEnum
from fractions import Fraction
from math import ceil, floor

import numpy as np
import numpy.typing as npt


class Rounding(StrEnum):
    """How a rational becomes an integer. Ties are exact halves; "away" and "zero" speak of magnitude."""

    HALF_EVEN = "half_even"  # numpy, ONNX QuantizeLinear, QONNX ROUND, ap_fixed RND_CONV
    HALF_UP = "half_up"  # ties to +inf: HAWQ multipliers, TFLite single rounding, ap_fixed RND
    HALF_DOWN = "half_down"  # ties to -inf: ap_fixed RND_MIN_INF
    HALF_AWAY = "half_away"  # C round(), ap_fixed RND_INF
    HALF_ZERO = "half_zero"  # ties to zero: ap_fixed RND_ZERO
    FLOOR = "floor"  # ap_fixed TRN
    CEIL = "ceil"
    ZERO = "zero"  # truncation, ap_fixed TRN_ZERO
    AWAY = "away"  # QONNX UP


def round_exact(value: Fraction | int, mode: Rounding) -> int:
    """``value`` rounded to an integer by ``mode``; exact."""
    if isinstance(value, int):
        return value
    below = value.numerator // value.denominator
    if value.denominator == 1:
        return below
    match mode:
        case Rounding.FLOOR:
            return below
        case Rounding.CEIL:
            return below + 1
        case Rounding.ZERO:
            return ceil(value) if value < 0 else floor(value)
        case Rounding.AWAY:
            return floor(value) if value < 0 else ceil(value)
    twice = 2 * (value - below)
    if twice != 1:
        return below + (twice > 1)
    match mode:
        case Rounding.HALF_EVEN:
            return below + (below & 1)
        case Rounding.HALF_UP:
            return below + 1
        case Rounding.HALF_DOWN:
            return below
        case Rounding.HALF_AWAY:
            return below + (value > 0)
        case Rounding.HALF_ZERO:
            return below + (value < 0)


def round_significand(value: Fraction | int, bits: int, mode: Rounding) -> int:
    """``value`` rounded to an integer with at most ``bits`` significant bits, as floating point with subnormals is."""
    exact = Fraction(value)
    excess = max(0, (abs(exact.numerator) // exact.denominator).bit_length() - bits)
    return round_exact(exact / (1 << excess), mode) << excess


def round_array(values: npt.NDArray[np.float64], mode: Rounding) -> npt.NDArray[np.float64]:
    """float64 values below 2**52 in magnitude rounded by ``mode``; exact for the float each one is."""
    match mode:
        case Rounding.FLOOR:
            return np.floor(values)
        case Rounding.CEIL:
            return np.ceil(values)
        case Rounding.ZERO:
            return np.trunc(values)
        case Rounding.AWAY:
            return np.where(values < 0, np.floor(values), np.ceil(values))
    nearest = np.rint(values)
    rest = values - nearest  # exact, which the distance from the floor is not just above -0.5
    match mode:
        case Rounding.HALF_UP:
            nearest += rest == 0.5
        case Rounding.HALF_DOWN:
            nearest -= rest == -0.5
        case Rounding.HALF_AWAY:
            nearest += (rest == 0.5) & (values > 0)
            nearest -= (rest == -0.5) & (values < 0)
        case Rounding.HALF_ZERO:
            nearest += (rest == 0.5) & (values < 0)
            nearest -= (rest == -0.5) & (values > 0)
    return nearest


def least_reaching(code: int, mode: Rounding) -> tuple[Fraction, bool]:
    """The boundary below which no value rounds to ``code`` or more: ``(boundary, included)``.

    Rounding is monotone, so ``round(v) >= code`` exactly when ``v > boundary``, or ``v == boundary`` and
    ``included``.
    """
    half = Fraction(2 * code - 1, 2)
    match mode:
        case Rounding.FLOOR:
            return Fraction(code), True
        case Rounding.CEIL:
            return Fraction(code - 1), False
        case Rounding.ZERO:
            return (Fraction(code), True) if code > 0 else (Fraction(code - 1), False)
        case Rounding.AWAY:
            return (Fraction(code - 1), False) if code > 0 else (Fraction(code), True)
        case _:
            return half, round_exact(half, mode) >= code
