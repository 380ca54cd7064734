"""Weights in groups: the scale of each group, as an exact multiple of its row's, and the codes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import product

import numpy as np
import numpy.typing as npt

from qcompile.ir.model import Reals
from qcompile.numerics.formats import Format, Grouped, Planes
from qcompile.numerics.levels import LevelQuantizer
from qcompile.numerics.quantizer import Quantizer
from qcompile.quantize.grids import weight_rows
from qcompile.quantize.options import QuantizeOptions
from qcompile.quantize.ranges import free_scale
from qcompile.quantize.rounding import Problem, round_weights

_CLIPPINGS = 24
"""Free scales that are tried, down to a quarter of the range."""
_OCTAVES = 4
_FACTOR_BITS = 7
"""A free group scale is an integer of so many bits times its row's unit."""
_OCTAVES_APART = 20
"""A power of two that a group has is at least 2^-20 of the largest one: below that, weights do not count."""
_ALTERNATIONS = 25
_RIDGE = 1e-6


@dataclass(frozen=True)
class GroupedWeights:
    """``units[row] * codes[row, input]``, one unit where all rows share it; exact in float64.

    ``factors``: the scale of every weight's group over its row's unit; None where groups have levels of their own.
    """

    units: tuple[Fraction, ...]
    codes: npt.NDArray[np.int64]
    factors: npt.NDArray[np.int64] | None = None

    @property
    def values(self) -> Reals:
        return self.codes * np.array([float(unit) for unit in self.units])[:, None]


def on_groups(
    weights: Reals, axis: int, format: Grouped | Planes, options: QuantizeOptions, shared: bool, moments: Reals | None
) -> tuple[Reals, Quantizer, int | None]:
    """``(weights, quantizer, axis)``: on their grid already, so that the quantizer changes nothing.

    ``axis`` counts output channels; they have one scale where it is ``shared``. With ``moments``, as `Problem` has
    them, the options' method rounds weights whose groups differ in their scale alone; others go to the nearest.
    """
    rows = weight_rows(weights, axis)
    made = group_weights(rows, format, options.weight_range != "minmax", options.scales != "free", shared)
    if moments is not None and made.factors is not None:
        made = _rounded(rows, made, format, moments, options.weight_rounding)
    units = made.units[:1] if len(set(made.units)) == 1 else made.units
    reach = max(1, int(np.abs(made.codes).max(initial=0)))
    moved = np.moveaxis(weights, axis, 0)
    values = np.moveaxis(made.values.reshape(moved.shape), 0, axis)
    quantizer = Quantizer(units, low=-reach, high=reach)
    return values, quantizer, axis % weights.ndim if len(units) > 1 else None


def _rounded(
    rows: Reals, made: GroupedWeights, format: Grouped | Planes, moments: Reals, method: str
) -> GroupedWeights:
    """The same scales, with levels that the layer's results choose."""
    assert made.factors is not None
    unit = np.array([float(u) for u in made.units])[:, None]
    shape = (len(moments), len(rows) // len(moments), rows.shape[1])
    problem = Problem(
        rows.reshape(shape), (made.factors * unit).reshape(shape), np.array(format.levels, np.float64), moments
    )
    found = round_weights(problem, method).reshape(rows.shape)
    return replace(made, codes=np.rint(found / unit).astype(np.int64))


def group_weights(rows: Reals, format: Grouped | Planes, clip: bool, pow2: bool, shared: bool) -> GroupedWeights:
    """``rows`` [out, in] in ``format``, whose groups lie along the inputs; the last one may be short.

    ``clip``: scales with the least squared error, else those that hold every weight. ``pow2``: scales of groups
    are powers of two, else integer multiples of their row's unit. ``shared``: all rows have one unit.
    """
    count = -(-rows.shape[1] // format.size)
    padded = np.pad(rows, ((0, 0), (0, count * format.size - rows.shape[1])))
    blocks = padded.reshape(len(rows), count, format.size)
    if isinstance(format, Planes):
        units, codes = _planes(blocks, format, pow2, shared)
    else:
        units, codes, factors = _grouped(blocks, format, clip, pow2 or format.exponent is not None, shared)
    codes = codes.reshape(len(rows), -1)[:, : rows.shape[1]]
    if isinstance(format, Planes) or len(format.sets) > 1:
        return GroupedWeights(units, codes)
    return GroupedWeights(units, codes, np.repeat(factors, format.size, axis=1)[:, : rows.shape[1]])


def _grouped(
    blocks: Reals, format: Grouped, clip: bool, pow2: bool, shared: bool
) -> tuple[tuple[Fraction, ...], npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """``(units, codes, factors [rows, groups])``."""
    scales, errors = [], []
    for element in format.sets:
        if format.exponent is not None:
            scale = format.shared_scale(np.abs(blocks).max(axis=2))
        else:
            scale = _least_error(blocks, element, clip, pow2)
        scales.append(scale)
        errors.append(_errors(blocks, element, scale))
    best = np.argmin(errors, axis=0)
    units, factors = _whole_factors(np.take_along_axis(np.array(scales), best[None], axis=0)[0], pow2, shared)
    step = factors * np.array([float(unit) for unit in units])[:, None]
    codes = np.zeros(blocks.shape, np.int64)
    for number, element in enumerate(format.sets):
        exact = LevelQuantizer.of((Fraction(1),), element.levels, rounding=format.tie)
        own = exact.codes(blocks / step[:, :, None]) * factors[:, :, None]
        codes = np.where(best[:, :, None] == number, own, codes)
    return units, codes, factors


def _least_error(blocks: Reals, element: Format, clip: bool, pow2: bool) -> Reals:
    """For every group the scale, of some that clip more and more, that serves it best; 0 for a group of zeros."""
    high, low = element.span.high, element.span.low
    full = blocks.max(axis=2) / high
    if low < 0:
        full = np.maximum(full, blocks.min(axis=2) / low)
    full = np.maximum(full, 0.0)
    if pow2:
        full = np.where(full > 0, np.exp2(np.ceil(np.log2(np.where(full > 0, full, 1.0)))), 0.0)
    ratios = 2.0 ** -np.arange(_OCTAVES) if pow2 else 2.0 ** (-2 * np.arange(_CLIPPINGS) / _CLIPPINGS)
    best, least = full, _errors(blocks, element, full)
    for ratio in ratios[1:] if clip else ():
        error = _errors(blocks, element, full * ratio)
        best, least = np.where(error < least, full * ratio, best), np.minimum(error, least)
    return best


def _errors(blocks: Reals, element: Format, scale: Reals) -> Reals:
    """Squared error of every group, for its scale."""
    step = np.where(scale > 0, scale, 1.0)[:, :, None]
    missed = blocks - element.nearest(blocks / step) * step
    errors: Reals = np.square(missed).sum(axis=2)
    return errors


def _whole_factors(scales: Reals, pow2: bool, shared: bool) -> tuple[tuple[Fraction, ...], npt.NDArray[np.int64]]:
    """``scales`` [rows, groups] as integers times a unit for each row, or one for all."""
    rows = scales.reshape(1, -1) if shared else scales
    largest = rows.max(axis=1, keepdims=True)
    largest = np.where(largest > 0, largest, 1.0)
    if pow2:
        held = np.maximum(np.where(rows > 0, rows, largest), largest * 2.0**-_OCTAVES_APART)
        units = [Fraction(float(unit)) for unit in held.min(axis=1)]
    else:
        held = rows
        units = [free_scale(float(top) / (1 << _FACTOR_BITS)) for top in largest[:, 0]]
    factors = np.rint(held / np.array([float(unit) for unit in units])[:, None])
    count = len(scales)
    whole = np.maximum(factors, 1).astype(np.int64).reshape(scales.shape)
    return tuple(units * count if shared else units), whole


def _planes(
    blocks: Reals, format: Planes, pow2: bool, shared: bool
) -> tuple[tuple[Fraction, ...], npt.NDArray[np.int64]]:
    """Digits and scales in turns, each the best for the other.

    As in He Xiao et al., "PTQTP: Post-Training Quantization to Trit-Planes for Large Language Models", 2025;
    with {0, 1}, as in Hong Chen et al., "DB-LLM: Accurate Dual-Binarization for Efficient LLMs", 2024.
    """
    digits = np.array(format.combinations, np.float64)
    scales, least = np.zeros((*blocks.shape[:2], format.count)), np.full(blocks.shape[:2], np.inf)
    for start in _starts(blocks, format):
        found = _alternated(blocks, digits, start)
        levels = found @ digits.T
        nearest = np.take_along_axis(levels, _nearest(blocks, levels).reshape(*levels.shape[:2], -1), axis=2)
        error = np.square(blocks - nearest.reshape(blocks.shape)).sum(axis=2)
        scales = np.where((error < least)[:, :, None], found, scales)
        least = np.minimum(error, least)
    largest = np.abs(scales).max(axis=(1, 2))
    largest = np.where(largest > 0, largest, 1.0)
    if shared:
        largest = np.full_like(largest, largest.max())
    if pow2:
        units = [Fraction(2) ** int(np.ceil(np.log2(top)) - _FACTOR_BITS) for top in largest]
    else:
        units = [free_scale(float(top) / (1 << _FACTOR_BITS)) for top in largest]
    unit = np.array([float(u) for u in units])[:, None, None]
    whole = np.rint(scales / unit)
    levels = whole @ digits.T
    codes = np.take_along_axis(levels, _nearest(blocks, levels * unit).reshape(*levels.shape[:2], -1), axis=2)
    return tuple(units), codes.astype(np.int64)


def _starts(blocks: Reals, format: Planes) -> Iterator[Reals]:
    """Halving scales from the mean magnitude; where no digit is negative, with every choice of signs."""
    mean = np.abs(blocks).mean(axis=2)
    scales = np.stack([2.0 * mean / 2**k for k in range(format.count)], axis=2)
    signs = product((1.0, -1.0), repeat=format.count) if min(format.digits) >= 0 else [(1.0,) * format.count]
    yield from (scales * np.array(sign) for sign in signs)


def _alternated(blocks: Reals, digits: Reals, scales: Reals) -> Reals:
    """The scales that digits and scales settle at, each in turn the best for the other."""
    for _ in range(_ALTERNATIONS):
        chosen = digits[_nearest(blocks, scales @ digits.T)]
        gram = np.einsum("rgip,rgiq->rgpq", chosen, chosen) + _RIDGE * np.eye(digits.shape[1])
        moved = np.linalg.solve(gram, np.einsum("rgip,rgi->rgp", chosen, blocks)[..., None])[..., 0]
        if np.array_equal(moved, scales):
            break
        scales = moved
    return scales


def _nearest(blocks: Reals, levels: Reals) -> npt.NDArray[np.int64]:
    """Which of its group's ``levels`` [rows, groups, levels] is next to each weight; the first of equals."""
    best = np.zeros(blocks.shape, np.int64)
    least = np.full(blocks.shape, np.inf)
    for number in range(levels.shape[2]):
        distance = np.abs(blocks - levels[:, :, number, None])
        best = np.where(distance < least, number, best)
        least = np.minimum(least, distance)
    return best
