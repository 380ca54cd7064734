"""Quantizers of any finite set of levels: definition, fast path and boundaries agree."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from qcompile.numerics.levels import LevelQuantizer
from qcompile.numerics.rounding import Rounding

SETS = {
    "ternary": (-1, 0, 1),
    "binary": (-1, 1),
    "powers": (-8, -4, -2, -1, 0, 1, 2, 4, 8),
    "no zero": (-4, -1, 2, 7),
    "all negative": (-9, -5, -2),
    "unsigned": (0, 1, 3, 4, 12),
}


def hand_rounded(value: Fraction, levels: tuple[int, ...], mode: Rounding) -> int:
    """The rounding from its words: which neighbour, told by distance, sign, or the level's number."""
    if value <= levels[0] or value >= levels[-1]:
        return levels[0] if value <= levels[0] else levels[-1]
    above = next(level for level in levels if level >= value)
    if above == value:
        return above
    below = max(level for level in levels if level < value)
    zero = next((k for k, level in enumerate(levels) if level >= 0), len(levels) - 1)
    numbers = {level: k - zero for k, level in enumerate(levels)}
    towards_zero, away = (below, above) if numbers[below] >= 0 else (above, below)
    directed = {
        Rounding.FLOOR: below,
        Rounding.CEIL: above,
        Rounding.ZERO: towards_zero,
        Rounding.AWAY: away,
    }
    if mode in directed:
        return directed[mode]
    if value - below != above - value:
        return below if value - below < above - value else above
    return {
        Rounding.HALF_UP: above,
        Rounding.HALF_DOWN: below,
        Rounding.HALF_ZERO: towards_zero,
        Rounding.HALF_AWAY: away,
        Rounding.HALF_EVEN: below if numbers[below] % 2 == 0 else above,
    }[mode]


@pytest.mark.parametrize("mode", Rounding)
@pytest.mark.parametrize("name", SETS)
def test_every_mode_does_what_its_name_says(name: str, mode: Rounding) -> None:
    levels = SETS[name]
    quantizer = LevelQuantizer.of((Fraction(2, 3),), levels, rounding=mode)
    for step in range(8 * levels[0] - 8, 8 * levels[-1] + 9):
        ratio = Fraction(step, 8)
        assert quantizer.code(ratio * Fraction(2, 3)) == hand_rounded(ratio, levels, mode), ratio


@pytest.mark.parametrize("mode", Rounding)
@pytest.mark.parametrize("name", SETS)
@pytest.mark.parametrize("scales", [(Fraction(1, 4),), (Fraction(1, 3), Fraction(5))], ids=["one", "per channel"])
def test_the_fast_codes_are_the_definition(name: str, mode: Rounding, scales: tuple[Fraction, ...]) -> None:
    levels = SETS[name]
    quantizer = LevelQuantizer.of(scales, levels, rounding=mode)
    marks = np.concatenate([np.arange(levels[0] - 1, levels[-1] + 2, 0.5), [-1e300, 1e300]])
    values = np.stack([marks * float(scales[0]), marks * float(scales[-1])])
    expected = [[quantizer.code(Fraction(float(v)), c) for v in row] for c, row in enumerate(values)]
    assert quantizer.codes(values, 0).tolist() == expected


@pytest.mark.parametrize("mode", Rounding)
@pytest.mark.parametrize("name", SETS)
def test_a_code_is_reached_exactly_from_its_least_value(name: str, mode: Rounding) -> None:
    levels = SETS[name]
    quantizer = LevelQuantizer.of((Fraction(3, 7),), levels, rounding=mode)
    hair = Fraction(1, 10**9)
    for code in range(levels[0] + 1, levels[-1] + 1):
        boundary, included = quantizer.least_value(code)
        assert quantizer.code(boundary - hair) < code <= quantizer.code(boundary + hair)
        assert (quantizer.code(boundary) >= code) == included
    assert tuple(quantizer.codes_between(levels[0], levels[-1])) == levels


@pytest.mark.parametrize("levels", [(1,), (2, 1), (1, 1, 2)])
def test_levels_must_ascend(levels: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="ascending"):
        LevelQuantizer.of((Fraction(1),), levels)
