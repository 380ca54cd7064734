"""Uniform quantizers: the fast codes are the definition, to the last tie; and what zero_first changes."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from qcompile.numerics.quantizer import Quantizer
from qcompile.numerics.rounding import Rounding
from qcompile.numerics.span import Span

SCALES = [Fraction(1), Fraction(1, 8), Fraction(3, 10), Fraction(float(np.float32(0.0235))), Fraction(1, 3)]
ZEROS = [Fraction(0), Fraction(3), Fraction(-128)]


def near_ties(scale: Fraction) -> np.ndarray:
    """Floats at and beside every multiple of half a step."""
    steps = np.arange(-24, 25) * float(scale) / 2
    return np.concatenate([steps, np.nextafter(steps, np.inf), np.nextafter(steps, -np.inf), steps * (1 + 2e-15)])


@pytest.mark.parametrize("mode", Rounding)
@pytest.mark.parametrize("zero_first", [False, True])
@pytest.mark.parametrize("scale", SCALES, ids=float)
def test_fast_codes_are_the_definition_on_ties_and_beside_them(
    mode: Rounding, zero_first: bool, scale: Fraction
) -> None:
    values = near_ties(scale)
    for zero in [*ZEROS, *([Fraction(1, 2), Fraction(-7, 3)] if zero_first else [])]:
        quantizer = Quantizer((scale,), (zero,), -130, 127, mode, zero_first)
        wanted = [quantizer.code(Fraction(float(v))) for v in values]
        assert quantizer.codes(values).tolist() == wanted


def test_codes_are_clamped_even_far_outside() -> None:
    quantizer = Quantizer((Fraction(3, 10),), low=-8, high=7)
    assert quantizer.codes(np.array([1e300, -1e300, 2.4, -2.6])).tolist() == [7, -8, 7, -8]
    assert [quantizer.code(Fraction(10**30)), quantizer.code(-(10**30))] == [7, -8]


def test_channels_have_their_own_scale_and_zero_point() -> None:
    quantizer = Quantizer((Fraction(1), Fraction(1, 3)), (Fraction(0), Fraction(4)), -50, 50)
    values = np.linspace(-5, 5, 24).reshape(2, 2, 6)
    for axis in (0, 1):
        found = quantizer.codes(values, axis)
        for place in np.ndindex(values.shape):
            assert found[place] == quantizer.code(Fraction(float(values[place])), place[axis])
        moved = np.moveaxis(quantizer.values(found, axis), axis, 0)
        for channel in range(2):
            codes = np.moveaxis(found, axis, 0)[channel].ravel()
            assert np.allclose(
                moved[channel].ravel(), [float(quantizer.value(int(c), channel)) for c in codes], 1e-15, 0
            )
    with pytest.raises(ValueError, match="need an axis"):
        quantizer.codes(values)


def test_adding_the_zero_point_before_rounding_moves_ties_by_its_parity() -> None:
    after, before = (Quantizer((Fraction(1),), (Fraction(3),), zero_first=first) for first in (False, True))
    halves = [Fraction(k, 2) for k in (-3, -1, 1, 3, 5)]
    assert [after.code(h) for h in halves] == [1, 3, 3, 5, 5]
    assert [before.code(h) for h in halves] == [2, 2, 4, 4, 6]
    others = [Fraction(k, 7) for k in range(-20, 21)]
    assert [after.code(v) for v in others] == [before.code(v) for v in others]


def test_a_zero_point_between_codes_must_be_added_before_rounding() -> None:
    with pytest.raises(ValueError, match="must be an integer"):
        Quantizer((Fraction(1),), (Fraction(1, 2),))
    assert Quantizer((Fraction(1),), (Fraction(1, 2),), zero_first=True).code(Fraction(1, 4)) == 1


def test_a_scale_must_be_positive() -> None:
    for scale in (Fraction(0), Fraction(-1)):
        with pytest.raises(ValueError, match="positive"):
            Quantizer((Fraction(1), scale))


@pytest.mark.parametrize("mode", Rounding)
@pytest.mark.parametrize("zero_first", [False, True])
def test_the_least_value_of_a_code_is_where_the_code_begins(mode: Rounding, zero_first: bool) -> None:
    quantizer = Quantizer((Fraction(3, 7),), (Fraction(2),), -9, 9, mode, zero_first)
    hair = Fraction(1, 10**12)
    for code in range(-8, 10):
        boundary, included = quantizer.least_value(code)
        reached = [quantizer.code(v) >= code for v in (boundary - hair, boundary, boundary + hair)]
        assert reached == [False, included, True]


def test_every_code_is_the_code_of_its_own_value() -> None:
    for mode in Rounding:
        quantizer = Quantizer((Fraction(3, 7),), (Fraction(-2),), -9, 9, mode)
        assert [quantizer.code(quantizer.value(code)) for code in range(-9, 10)] == list(range(-9, 10))


def test_picked_channels_come_in_the_order_asked_for() -> None:
    quantizer = Quantizer((Fraction(1), Fraction(2), Fraction(3)), low=-1, high=1)
    assert quantizer.picked([2, 0]).scale == (Fraction(3), Fraction(1))
    shared = Quantizer((Fraction(1),))
    assert shared.picked([2, 0]) is shared
    assert (quantizer.span, shared.span) == (Span(-1, 1), None)


@pytest.mark.parametrize(
    ("quantizer", "text"),
    [
        (Quantizer((Fraction(1, 8),), low=-128, high=127), "int8 x 2^-3"),
        (Quantizer((Fraction(4),), (Fraction(3),), 0, 255), "uint8 x 2^2, zero 3"),
        (Quantizer((Fraction(3, 10),), low=0, high=15), "uint4 x 0.3"),
        (Quantizer((Fraction(1), Fraction(3)), low=-8, high=7), "int4 x per-channel scales"),
        (Quantizer((Fraction(1),)), "int x 2^0"),
    ],
)
def test_a_quantizer_prints_as_reports_show_it(quantizer: Quantizer, text: str) -> None:
    assert str(quantizer) == text
