"""Weights of a float network that lie on a small grid of their own: found exactly, so that they can be kept.

A training that restricts weights leaves ±α, {-α, 0, α}, ±2^p·s or a few multiples of s in a float file. Rounding
them to another format would spend bits and accuracy on a grid that is already there.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from math import gcd

import numpy as np
import numpy.typing as npt

from qcompile.ir.model import Reals
from qcompile.numerics.quantizer import Quantizer
from qcompile.numerics.rounding import Rounding

_LEVELS = 16
"""Values that "few levels" are at most."""
_LARGEST_LEVEL = 127
_LARGEST_POWER = 1 << 14
"""Codes of powers of two reach this far: what the widest format holds, 16 bits."""


@dataclass(frozen=True)
class Structure:
    """Weights are ``code * scale`` exactly, with one scale, or one per channel along ``axis``.

    ``codes`` are those that occur, over all channels.
    """

    scales: tuple[Fraction, ...]
    codes: frozenset[int]
    axis: int | None

    @property
    def kind(self) -> str:
        return kind_of(self.codes) or "levels"

    @property
    def quantizer(self) -> Quantizer:
        reach = max(map(abs, self.codes))
        return Quantizer(self.scales, low=-reach, high=reach, rounding=Rounding.HALF_EVEN)


def kind_of(codes: frozenset[int]) -> str | None:
    """What integer weights with these values are called; None where only their width says something.

    Two magnitudes are no powers of two worth the name: every two-bit format has 1 and 2.
    """
    magnitudes = {abs(code) for code in codes}
    if magnitudes <= {0, 1}:
        return "ternary" if 0 in magnitudes else "bipolar"
    magnitudes.discard(0)
    return "power of two" if len(magnitudes) > 2 and _all_powers(magnitudes) else None


def find_structure(weights: Reals, axis: int, per_channel: bool, one_scale: bool = False) -> Structure | None:
    """The grid on which ``weights`` lie as they are; None where there is none, or where all are zero.

    ``axis`` counts output channels. With ``per_channel`` they may have scales of their own, which are taken where
    they leave fewer codes; or with ``one_scale`` only where nothing else is exact. There is no tolerance:
    float32 products such as 3·α that were rounded are no multiples of α.
    """
    axis %= weights.ndim
    candidates = [_on_rows(weights.reshape(1, -1), None)]
    if per_channel:
        candidates.append(_on_rows(np.moveaxis(weights, axis, 0).reshape(weights.shape[axis], -1), axis))
    found = [structure for structure in candidates if structure is not None]
    if not found:
        return None
    return found[0] if one_scale else min(found, key=lambda structure: len(structure.codes))


def _on_rows(rows: Reals, axis: int | None) -> Structure | None:
    """The structure with one scale for each of ``rows``."""
    # A scale for every weight would fit anything.
    if np.count_nonzero(rows) < 2 * len(rows):
        return None
    units: list[Fraction] = []
    codes: set[int] = set()
    for row in rows:
        values = np.unique(row)
        if len(values) > 2 * _LEVELS:
            return None
        exact = [Fraction(float(value)) for value in values]
        unit = _unit(exact)
        units.append(unit)
        codes |= {int(value / unit) for value in exact if unit} or {0}
    if not _few(codes):
        return None
    # A channel of zeros lies on any grid.
    scales = tuple(unit or max(units) for unit in units)
    shared = len(set(scales)) == 1
    return Structure(scales[:1] if shared else scales, frozenset(codes), None if shared else axis)


def _unit(values: list[Fraction]) -> Fraction:
    """The largest number of which all are multiples; 0 where all are zero. Denominators are powers of two."""
    denominator = max(value.denominator for value in values)
    return Fraction(gcd(*(int(value * denominator) for value in values)), denominator)


def _few(codes: set[int]) -> bool:
    magnitudes = {abs(code) for code in codes} - {0}
    if _all_powers(magnitudes):
        return max(magnitudes) <= _LARGEST_POWER
    return len(codes) <= _LEVELS and max(magnitudes) <= _LARGEST_LEVEL


def _all_powers(magnitudes: set[int]) -> bool:
    return all(magnitude.bit_count() == 1 for magnitude in magnitudes)


def weight_format(weights: npt.NDArray[np.integer]) -> str:
    """Integer weights as reports name them: ``bipolar``, ``ternary``, ``power of two, int6`` or ``int6``."""
    codes = frozenset(map(int, np.unique(weights)))
    kind = kind_of(codes)
    if kind in ("bipolar", "ternary"):
        return kind
    reach = max(max(codes), -min(codes) - 1)
    width = f"int{reach.bit_length() + 1}"
    return width if kind is None else f"{kind}, {width}"
