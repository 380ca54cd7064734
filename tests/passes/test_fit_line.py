"""Lines that step where a function steps: exact, and of no more digits than a search of everything finds."""

from __future__ import annotations

import random
from fractions import Fraction
from math import floor

import numpy as np
import pytest

from qcompile.numerics.function import Affine, ScalarFunction, Thresholds
from qcompile.numerics.quantizer import Quantizer
from qcompile.numerics.rounding import Rounding
from qcompile.numerics.span import Span
from qcompile.passes.fit_line import Line, fit_line, signed_digits

DOMAIN = Span(-25, 25)
LIMITS = (-6, 6)
MODES = (Rounding.FLOOR, Rounding.HALF_EVEN)


def steps_of(seed: int) -> Thresholds:
    chosen = random.Random(seed)
    slope = Fraction(chosen.randint(1, 40), 64) * chosen.choice((1, -1))
    function = ScalarFunction(
        (Affine((slope,), (Fraction(chosen.randint(-64, 64), 32),)),), Quantizer((Fraction(1),), low=-6, high=6)
    )
    steps = function.thresholds(DOMAIN, 0)
    assert steps is not None
    return steps


def wanted_codes(steps: Thresholds) -> list[int]:
    codes = [steps.bottom, *steps.codes]
    return [codes[sum(steps.sign * x >= at for at in steps.at)] for x in range(DOMAIN.low, DOMAIN.high + 1)]


def codes_of(line: Line, rounding: Rounding) -> list[int]:
    def code(x: int) -> int:
        ratio = Fraction(line.factor * x + line.offset, 1 << line.shift)
        rounded = floor(ratio) if rounding is Rounding.FLOOR else round(ratio)
        return max(LIMITS[0], min(LIMITS[1], rounded))

    return [code(x) for x in range(DOMAIN.low, DOMAIN.high + 1)]


@pytest.mark.parametrize("rounding", MODES)
@pytest.mark.parametrize("seed", range(60))
def test_a_line_steps_exactly_where_the_function_does(seed: int, rounding: Rounding) -> None:
    steps = steps_of(seed)
    line = fit_line(steps, DOMAIN, LIMITS, rounding)
    if line is not None:
        assert codes_of(line, rounding) == wanted_codes(steps)


def test_a_line_that_rounds_or_drops_bits_is_found_for_every_function_that_is_one() -> None:
    found = [[fit_line(steps_of(seed), DOMAIN, LIMITS, mode) for mode in MODES] for seed in range(60)]
    assert all(any(line is not None for line in lines) for lines in found)
    assert any(lines[0] is None for lines in found)  # ties to even are no floor of any line


def fewest_digits(steps: Thresholds, shift: int) -> int | None:
    """Over all factors and offsets with this shift that reproduce the codes."""
    wanted = np.array(wanted_codes(steps))
    places = np.arange(DOMAIN.low, DOMAIN.high + 1)
    offsets = np.arange(-8 << shift, (8 << shift) + 1)
    best = None
    for factor in sorted(range(-(1 << shift), (1 << shift) + 1), key=signed_digits):
        if best is not None and signed_digits(factor) >= best:
            break
        codes = np.clip((factor * places + offsets[:, None]) >> shift, *LIMITS)
        if (codes == wanted).all(axis=1).any():
            best = signed_digits(factor)
    return best


@pytest.mark.parametrize("seed", range(8))
def test_no_line_with_as_small_a_shift_has_fewer_digits(seed: int) -> None:
    steps = steps_of(seed)
    line = fit_line(steps, DOMAIN, LIMITS, Rounding.FLOOR)
    assert line is not None
    found = [digits for shift in range(min(line.shift, 6) + 1) if (digits := fewest_digits(steps, shift)) is not None]
    assert signed_digits(line.factor) <= min(found, default=signed_digits(line.factor))


def test_a_staircase_that_is_no_line_has_none() -> None:
    uneven = Thresholds(1, 0, np.array([1, 2, 3], object), np.array([0, 1, 20], object))
    for rounding in MODES:
        assert fit_line(uneven, DOMAIN, (-9, 9), rounding) is None


def test_a_constant_is_a_line_without_a_factor() -> None:
    nothing = np.array([], object)
    assert fit_line(Thresholds(1, 5, nothing, nothing), DOMAIN, LIMITS, Rounding.FLOOR) == Line(0, 5, 0)


def test_signed_digits_are_those_of_the_non_adjacent_form() -> None:
    def digits(value: int) -> int:
        count = 0
        while value:
            if value % 2:
                value -= 2 - value % 4
                count += 1
            value //= 2
        return count

    assert [signed_digits(v) for v in range(600)] == [digits(v) for v in range(600)]
    assert [signed_digits(v) for v in (7, 255, 1 << 40, (1 << 40) - 1)] == [2, 2, 1, 2]
