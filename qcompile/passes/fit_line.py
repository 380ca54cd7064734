"""The cheapest ``(factor * x + offset) >> shift`` that steps exactly where a given function steps.

The pairs (factor, offset) that reproduce a step function on a range form a convex region: those of a digital
straight line. Among its points the one whose factor has the fewest signed digits costs the fewest adders.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, floor, isfinite

import numpy as np

from qcompile.numerics.function import Ints, Thresholds
from qcompile.numerics.rounding import Rounding
from qcompile.numerics.span import Span

_LARGEST_SHIFT = 48
_MOST_FACTORS = 256  # tried per shift
_EXTRA_SHIFTS = 5  # beyond the first shift that works: finer factors may have fewer digits


@dataclass(frozen=True)
class Line:
    factor: int
    offset: int
    shift: int


def signed_digits(value: int) -> int:
    """Number of nonzero digits of the canonical signed digit form of ``value``."""
    return (value ^ (3 * value)).bit_count()


def fit_line(steps: Thresholds, domain: Span, clamp: tuple[int, int], rounding: Rounding) -> Line | None:
    """The line for one channel of a function to every integer of a range, or None where no line steps like this.

    Codes outside ``clamp`` (low, high) are cut off afterwards, so the line may run past them.
    """
    low, high = (domain.low, domain.high) if steps.sign > 0 else (-domain.high, -domain.low)
    bottom, top = steps.bottom, steps.top
    if bottom == top:
        return Line(0, bottom, 0)
    codes = steps.codes
    reach_at, reach = steps.at, codes  # the line must reach `reach` at `reach_at` ...
    stay_at, stay = steps.at - 1, codes  # ... and stay below `stay` at `stay_at`
    if bottom > clamp[0]:
        reach_at, reach = np.append(reach_at, low), np.append(reach, bottom)
    if top < clamp[1]:
        stay_at, stay = np.append(stay_at, high), np.append(stay, top + 1)
    return fit_points((reach_at, reach), (stay_at, stay), steps.sign, rounding)


def fit_points(
    must_reach: tuple[Ints, Ints], must_stay: tuple[Ints, Ints], sign: int, rounding: Rounding
) -> Line | None:
    """The line that, of ``sign * x``, gives at least ``must_reach[1]`` at ``must_reach[0]``, and less than
    ``must_stay[1]`` at ``must_stay[0]``; None where there is none.
    """
    reach_at, reach, stay_at, stay = (_narrowed(a) for a in (*must_reach, *must_stay))
    slopes = _slopes((reach_at, reach), (stay_at, stay))
    if slopes is None:
        return None
    best: Line | None = None
    first_shift: int | None = None
    for shift in range(1 if rounding is Rounding.HALF_EVEN else 0, _LARGEST_SHIFT):
        if first_shift is not None and shift > first_shift + _EXTRA_SHIFTS:
            break
        for factor in _factors(slopes, shift):
            if best is not None and signed_digits(factor) >= signed_digits(best.factor):
                break  # sorted: none behind it is cheaper
            offset = _offset(factor, shift, rounding, (reach_at, reach), (stay_at, stay))
            if offset is not None:
                best = Line(sign * factor, offset, shift)
                first_shift = shift if first_shift is None else first_shift
    return best


def _narrowed(values: Ints) -> Ints:
    """int64 where the values are small (see `_offset`), else Python ints."""
    return values.astype(np.int64) if max(abs(values.max()), abs(values.min())) < 1 << 24 else values


def _slopes(reach: tuple[Ints, Ints], stay: tuple[Ints, Ints]) -> tuple[float, float] | None:
    """The slopes of all real lines that reach and stay below the given codes, a hair wide of both ends.

    A line passes between each pair of a point to reach and a point to stay below; float64 is enough here
    because `_offset` decides exactly.
    """
    rise = stay[1].astype(float)[None, :] - reach[1].astype(float)[:, None]
    run = stay[0].astype(float)[None, :] - reach[0].astype(float)[:, None]
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = rise / run
    most = ratio[run > 0].min(initial=np.inf)
    least = ratio[run < 0].max(initial=0.0)
    hair = 1e-12 * most if np.isfinite(most) else 0.0
    return (float(least - hair), float(most + hair)) if least - hair <= most + hair else None


def _factors(slopes: tuple[float, float], shift: int) -> list[int]:
    """Factors with one of the ``slopes`` at ``shift``, fewest signed digits first."""
    scale = 2.0**shift
    first = max(1, ceil(slopes[0] * scale))
    last = min(floor(slopes[1] * scale), first + _MOST_FACTORS) if isfinite(slopes[1]) else first + _MOST_FACTORS
    return sorted(range(first, last + 1), key=lambda m: (signed_digits(m), m))


def _offset(
    factor: int, shift: int, rounding: Rounding, reach: tuple[Ints, Ints], stay: tuple[Ints, Ints]
) -> int | None:
    """An offset with which the line of ``factor`` passes all points, the roundest there is; None if none."""
    if max(factor.bit_length(), shift) > 36:  # a product with 24 bits might pass 2**62
        reach, stay = ((at.astype(object), codes.astype(object)) for at, codes in (reach, stay))

    def bound(codes: Ints) -> Ints:
        """The least value of ``factor * x + offset`` that gives at least each code."""
        if rounding is Rounding.FLOOR:
            return codes * (1 << shift)
        return codes * (1 << shift) - (1 << (shift - 1)) + (codes % 2)

    least = int((bound(reach[1]) - factor * reach[0]).max())
    most = int((bound(stay[1]) - 1 - factor * stay[0]).min())
    if least > most:
        return None
    if least <= 0 <= most:
        return 0
    for zeros in range(max(abs(least), abs(most)).bit_length(), -1, -1):
        candidate = -(-least >> zeros) << zeros
        if candidate <= most:
            return candidate
    raise AssertionError("zero trailing zeros always fit")
