"""From observed values to a quantizer's scale: min-max, percentile, least squared error, least divergence."""

from __future__ import annotations

from fractions import Fraction
from math import ceil, frexp, log2

import numpy as np
import numpy.typing as npt

from qcompile.ir.model import Reals
from qcompile.numerics.formats import Format
from qcompile.numerics.span import Span

_STEPS = 80
"""Clipping points that the search for a free scale tries."""
_SIGNIFICANT = 4
"""Bits of a dyadic scale: a factor from 8 to 15, an adder or two in a requantization."""
_BINS = 2048
_OCTAVES = 6
"""Exponents that the search for a power of two tries: clipping below 1/32 of the range never paid."""


def power_of_two(exponent: int) -> Fraction:
    return Fraction(2) ** exponent


def free_scale(value: float) -> Fraction:
    """``value`` as float32, which is what runtimes store: the exact rational of that number."""
    return Fraction(float(np.float32(value)))


def dyadic_scale(value: float) -> Fraction:
    """The least number of `_SIGNIFICANT` significant bits that is not below ``value``."""
    mantissa, exponent = frexp(value)
    return ceil(mantissa * 2**_SIGNIFICANT) * power_of_two(exponent - _SIGNIFICANT)


def covering_scale(reach: float, codes: int, scales: str) -> Fraction:
    """The least scale at which ``reach`` (a magnitude) maps within ``codes``, rounding included."""
    if reach <= 0:
        return Fraction(1)
    if scales != "pow2":
        least = max(reach / codes, float(np.finfo(np.float32).tiny))
        return dyadic_scale(least) if scales == "dyadic" else free_scale(least)
    # Half a step above the last code still rounds to it.
    mantissa, exponent = frexp(reach / (codes + 0.5))
    return power_of_two(exponent - 1 if mantissa == 0.5 else exponent)


def candidate_scales(values: Reals, format: Format, scales: str) -> list[Fraction]:
    """Scales worth trying for ``values``, largest first; the first one clips nothing.

    ``scales``: "pow2"; "dyadic", a few significant bits times a power of two; or "free", any float32.
    """
    full = max(covering_scale(*side, scales) for side in _sides(values, format.span))
    if scales == "pow2":
        return [full / 2**k for k in range(_OCTAVES)]
    # Geometric steps down to a clipping point at 1/16 of the range.
    made = dyadic_scale if scales == "dyadic" else free_scale
    return list(dict.fromkeys(made(float(full) * 2.0 ** (-4 * k / _STEPS)) for k in range(_STEPS)))


def minmax_scale(values: Reals, format: Format, scales: str) -> Fraction:
    """The least scale at which nothing is clipped."""
    return max(covering_scale(*side, scales) for side in _sides(values, format.span))


def absmean_scale(values: Reals, scales: str) -> Fraction:
    """Code 1 stands for the mean magnitude, as in BitNet b1.58 for ternary weights.

    Shuming Ma et al., "The Era of 1-bit LLMs: All Large Language Models are in 1.58 Bits", 2024, section 2.
    """
    mean = max(float(np.abs(values).mean()), 1e-5)
    if scales == "pow2":
        return power_of_two(round(log2(mean)))
    return free_scale(mean) if scales == "free" else dyadic_scale(mean)


def percentile_scale(values: Reals, format: Format, percent: float, scales: str) -> Fraction:
    """As `minmax_scale`, but (100 - ``percent``) percent of the magnitudes may be clipped."""
    reach = float(np.percentile(np.abs(values), percent))
    return minmax_scale(np.clip(values, -reach, reach) if reach > 0 else values, format, scales)


def least_error_scale(values: Reals, format: Format, scales: str) -> Fraction:
    """The candidate with the least squared error; the largest of equals."""
    flat = values.ravel()
    return min(candidate_scales(flat, format, scales), key=lambda scale: _error(flat, scale, format))


def least_divergence_scale(values: Reals, format: Format, scales: str) -> Fraction:
    """The candidate whose grid tells least apart: the least Kullback-Leibler divergence of what is left.

    The histogram of the magnitudes that are not zero, what is clipped counted at its end, against that of the grid,
    each level spread over the bins that were seen. Szymon Migacz, "8-bit Inference with TensorRT", GTC 2017.
    """
    magnitudes = np.abs(values[values != 0])
    reach = float(magnitudes.max(initial=0.0))
    if reach == 0:
        return covering_scale(0.0, 1, scales)
    counts, edges = np.histogram(magnitudes, _BINS, (0.0, reach))
    middles = (edges[1:] + edges[:-1]) / 2

    def divergence(scale: Fraction) -> float:
        limit = float(scale) * max(format.span.high, -format.span.low)
        inside = max(1, int((middles <= limit).sum()))
        seen = counts[:inside].astype(np.float64)
        levels = np.unique(format.nearest(middles[:inside] / float(scale)), return_inverse=True)[1]
        occupied = seen > 0
        sums, sizes = np.bincount(levels, seen), np.bincount(levels, occupied)
        kept = np.where(occupied, (sums / np.maximum(sizes, 1))[levels], 0.0)
        seen[-1] += counts[inside:].sum()
        kept[-1] += 0.0 if kept[-1] else 1e-9
        p, q = seen / seen.sum(), kept / kept.sum()
        real = p > 0
        return float((p[real] * np.log(p[real] / np.maximum(q[real], 1e-12))).sum())

    return min(candidate_scales(values.ravel(), format, scales), key=divergence)


def weight_scales(
    rows: Reals, format: Format, rule: str, scales: str, shared: bool, moments: Reals | None = None
) -> tuple[Fraction, ...]:
    """A scale for each of ``rows`` [out, in], a layer's weights, or one for all of them (``shared``).

    ``rule``: "minmax"; "absmean", as for `absmean_scale`; "mse", the least squared error of the weights; or
    "output", the least squared error of
    the layer's results, for which ``moments`` [groups, in, in] are the second moments of its operands (the
    rows are in groups of equal size). "output" without moments is "mse".
    """
    blocks = [rows] if shared else [row[None] for row in rows]
    if rule == "minmax":
        return tuple(minmax_scale(block, format, scales) for block in blocks)
    if rule == "absmean":
        return tuple(absmean_scale(block, scales) for block in blocks)
    if rule == "mse" or moments is None:
        return tuple(least_error_scale(block, format, scales) for block in blocks)
    tried = [candidate_scales(block, format, scales) for block in blocks]
    # Lists of different lengths end with what they end with: of equals, the first is taken.
    most = max(map(len, tried))
    steps = np.array([[float(s) for s in found] + [float(found[-1])] * (most - len(found)) for found in tried])
    grouped = rows.reshape(len(moments), -1, rows.shape[1])
    errors = np.empty((most, len(rows)))
    for number in range(most):
        scale = np.broadcast_to(steps[:, number, None], (len(rows), 1))
        missed = (rows - format.nearest(rows / scale) * scale).reshape(grouped.shape)
        errors[number] = ((missed @ moments) * missed).sum(axis=2).reshape(-1)
    if shared:
        errors = errors.sum(axis=1, keepdims=True)
    return tuple(found[int(best)] for found, best in zip(tried, errors.argmin(axis=0), strict=True))


def integer_grid(values: Reals, limits: tuple[int, int] | None, width: int) -> tuple[Fraction, Span] | None:
    """For integer-valued data: scale 1 where ``width`` bits suffice, else the least power of two; None otherwise.

    The span is no wider than the data (or the type's ``limits``) need, so that eight-bit formats do not
    widen a four-bit input.
    """
    low, high = float(values.min()), float(values.max())
    if limits is not None:
        low, high = float(limits[0]), float(limits[1])
    elif not np.array_equal(values, np.rint(values)) or max(-low, high) >= 2**16 or high == low:
        return None
    span = Span(min(int(low), 0), max(int(high), 0))
    excess = max(0, span.width - width)
    return power_of_two(excess), Span.of_bits(min(span.width, width), span.signed)


def fake_quantize(values: Reals, scale: npt.ArrayLike, low: float, high: float, half_up: bool) -> Reals:
    """Nearest grid values in plain float64: for statistics, where a tie more or less does not matter."""
    ratio = values / np.asarray(scale, np.float64)
    rounded = np.floor(ratio + 0.5) if half_up else np.rint(ratio)
    return np.clip(rounded, low, high) * np.asarray(scale, np.float64)


def exponent_below(scale: Fraction) -> int:
    """The largest e with ``2**e <= scale``, for float-sized scales."""
    return ceil(log2(scale.numerator) - log2(scale.denominator) + 1e-12) - 1


def _sides(values: Reals, span: Span) -> list[tuple[float, int]]:
    """(reach, codes) for the positive and, where the span has one, the negative side, if values lie there."""
    sides = [(float(values.max()), span.high)]
    if span.low < 0:
        sides.append((float(-values.min()), -span.low))
    return [side for side in sides if side[0] > 0] or [(0.0, 1)]


def _error(values: Reals, scale: Fraction, format: Format) -> float:
    missed = values - format.nearest(values / float(scale)) * float(scale)
    return float(np.square(missed).sum())
