"""Every rounding mode against a definition of its own: the nearest integers, and what is said of ties."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qcompile.numerics.rounding import Rounding, least_reaching, round_array, round_exact

DIRECTED = {
    Rounding.FLOOR: math.floor,
    Rounding.CEIL: math.ceil,
    Rounding.ZERO: math.trunc,
    Rounding.AWAY: lambda value: math.ceil(value) if value > 0 else math.floor(value),
}
TIES = {
    Rounding.HALF_EVEN: lambda below, above: below if below % 2 == 0 else above,
    Rounding.HALF_UP: max,
    Rounding.HALF_DOWN: min,
    Rounding.HALF_AWAY: lambda below, above: max(below, above, key=abs),
    Rounding.HALF_ZERO: lambda below, above: min(below, above, key=abs),
}
GRID = [Fraction(n, d) for d in (1, 2, 3, 4, 8, 10) for n in range(-6 * d, 6 * d + 1)]
NEAR_TIES = [Fraction(k, 2) + sign * Fraction(1, 10**e) for k in range(-9, 10) for sign in (-1, 1) for e in (3, 12)]


def defined(value: Fraction, mode: Rounding) -> int:
    if mode in DIRECTED:
        return DIRECTED[mode](value)
    below, above = math.floor(value), math.ceil(value)
    if value - below == above - value:
        return TIES[mode](below, above) if below != above else below
    return below if value - below < above - value else above


def test_every_mode_has_a_definition_here() -> None:
    assert set(DIRECTED) | set(TIES) == set(Rounding)


@pytest.mark.parametrize("mode", Rounding)
def test_rounding_is_as_defined(mode: Rounding) -> None:
    for value in GRID + NEAR_TIES:
        assert round_exact(value, mode) == defined(value, mode), value
    assert round_exact(-7, mode) == -7


@pytest.mark.parametrize("mode", Rounding)
def test_rounding_an_array_rounds_each_float_as_the_rational_it_is(mode: Rounding) -> None:
    halves = np.arange(-20, 21) / 2
    large = np.array([2.0**51 + 0.5, -(2.0**51) - 0.5, 2.0**52 - 1, 2.0**40 + 2.0**-12])
    values = np.concatenate(
        [halves, np.nextafter(halves, np.inf), np.nextafter(halves, -np.inf), large, [-0.0, 5e-324]]
    )
    found = round_array(values, mode)
    assert [int(v) for v in found] == [round_exact(Fraction(float(v)), mode) for v in values]


@pytest.mark.parametrize("mode", Rounding)
@given(value=st.fractions(min_value=-1000, max_value=1000, max_denominator=64))
def test_a_value_is_rounded_to_a_code_or_more_exactly_from_its_boundary_on(mode: Rounding, value: Fraction) -> None:
    for code in range(math.floor(value) - 2, math.ceil(value) + 3):
        boundary, included = least_reaching(code, mode)
        reaches = value > boundary or (included and value == boundary)
        assert reaches == (defined(value, mode) >= code)


@pytest.mark.parametrize("mode", Rounding)
def test_boundaries_are_exact_where_values_lie_on_them(mode: Rounding) -> None:
    for code in range(-4, 5):
        boundary, included = least_reaching(code, mode)
        hair = Fraction(1, 10**9)
        reached = [defined(v, mode) >= code for v in (boundary - hair, boundary, boundary + hair)]
        assert reached == [False, included, True]
