"""What becomes of an integer that its fixed-point type has no code for: ap_fixed's overflow modes."""

from __future__ import annotations

from enum import StrEnum

import numpy as np
import numpy.typing as npt

from qcompile.numerics.rounding import Rounding
from qcompile.numerics.span import Span

Ints = npt.NDArray[np.int64]


class Overflow(StrEnum):
    """By the names of ap_fixed, without their AP_. Integers that have a code keep it."""

    SAT = "SAT"  # the nearest code
    SAT_ZERO = "SAT_ZERO"  # 0
    SAT_SYM = "SAT_SYM"  # the nearest code, of which the most negative one is none
    WRAP = "WRAP"  # the low bits; the highest ones saturated, where that is asked for
    WRAP_SM = "WRAP_SM"  # the low bits, mirrored where plain wrapping would change the sign's neighbour


QUANTIZATION: dict[str, Rounding] = {
    "RND": Rounding.HALF_UP,
    "RND_ZERO": Rounding.HALF_ZERO,
    "RND_MIN_INF": Rounding.HALF_DOWN,
    "RND_INF": Rounding.HALF_AWAY,
    "RND_CONV": Rounding.HALF_EVEN,
    "TRN": Rounding.FLOOR,
    "TRN_ZERO": Rounding.ZERO,
}
"""ap_fixed's quantization modes, without their AP_."""


def overflow_exact(value: int, width: int, signed: bool, mode: Overflow, saturated: int = 0) -> int:
    """The code of ``value`` in ``width`` bits. ``saturated``: highest bits that WRAP and WRAP_SM saturate.

    WRAP_SM is for signed types alone, where unsigned ones wrap. As ap_fixed does, which follows IEEE 1666 (SystemC).
    """
    span = Span.of_bits(width, signed)
    symmetric = mode is Overflow.SAT_SYM and signed
    if value in span and not (symmetric and value == span.low):
        return value
    match mode:
        case Overflow.SAT | Overflow.SAT_SYM:
            return span.high if value > 0 else span.low + symmetric
        case Overflow.SAT_ZERO:
            return 0
    below = value < 0
    low_bits = value & ((1 << width) - 1)
    if mode is Overflow.WRAP_SM and signed:
        return _signed(_mirrored(value, low_bits, width, saturated), width)
    if saturated:
        free = width - saturated
        kept = low_bits & ((1 << free) - 1)
        # A negative number keeps its sign with zeros behind it, a positive one ones; unsigned types have ones.
        ones = (1 << saturated) - 1
        head = (1 << saturated - 1 if below else ones >> 1) if signed else ones
        low_bits = head << free | kept
    return _signed(low_bits, width) if signed else low_bits


def _mirrored(value: int, low_bits: int, width: int, saturated: int) -> int:
    below = value < 0
    if saturated == 0:
        sign = value >> width & 1  # the lowest bit that is lost
        flips = sign != low_bits >> width - 1
        rest = low_bits & ((1 << width - 1) - 1)
        return sign << width - 1 | (rest ^ (((1 << width - 1) - 1) if flips else 0))
    free = width - saturated
    head = 1 << saturated - 1 if below else (1 << saturated - 1) - 1
    # The last saturated bit takes the place of one that may have been another: then what follows is mirrored.
    flips = (head & 1) != (low_bits >> free & 1)
    rest = low_bits & ((1 << free) - 1)
    return head << free | (rest ^ (((1 << free) - 1) if flips else 0))


def _signed(bits: int, width: int) -> int:
    return bits - (1 << width) if bits >> width - 1 else bits


def overflow_array(values: Ints, width: int, signed: bool, mode: Overflow, saturated: int = 0) -> Ints:
    """`overflow_exact` of every element; saturating and plain wrapping modes in one pass."""
    span = Span.of_bits(width, signed)
    match mode:
        case Overflow.SAT:
            return np.clip(values, span.low, span.high)
        case Overflow.SAT_SYM:
            return np.clip(values, span.low + signed, span.high)
        case Overflow.SAT_ZERO:
            return np.where((values < span.low) | (values > span.high), 0, values)
        case Overflow.WRAP if not saturated:
            return ((values - span.low) & ((1 << width) - 1)) + span.low
    distinct, place = np.unique(values, return_inverse=True)
    found = [overflow_exact(int(v), width, signed, mode, saturated) for v in distinct]
    return np.array(found, np.int64)[place].reshape(values.shape)
