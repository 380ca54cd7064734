"""Minifloat, bipolar and threshold quantizers: definition, fast path and boundaries agree."""

from __future__ import annotations

from fractions import Fraction

import ml_dtypes
import numpy as np
import pytest

from qcompile.numerics.bipolar import BipolarQuantizer
from qcompile.numerics.minifloat import MiniFloatQuantizer
from qcompile.numerics.quantizer import Quantizer
from qcompile.numerics.rounding import Rounding
from qcompile.numerics.thresholds import ThresholdQuantizer

FORMATS = {
    "float8_e4m3fn": (4, 3, 7, Fraction(448)),
    "float8_e5m2": (5, 2, 15, Fraction(57344)),
    "float6_e3m2fn": (3, 2, 3, Fraction(28)),
    "float6_e2m3fn": (2, 3, 1, Fraction(15, 2)),
    "float4_e2m1fn": (2, 1, 1, Fraction(6)),
    "float8_e4m3fnuz": (4, 3, 8, Fraction(240)),
    "float8_e5m2fnuz": (5, 2, 16, Fraction(57344)),
}
ONE = (Fraction(1),)


def minifloat(name, rounding=Rounding.HALF_EVEN, scale=ONE):
    exponent, mantissa, bias, largest = FORMATS[name]
    return MiniFloatQuantizer.of(scale, exponent, mantissa, bias, largest, rounding)


def every_number(name):
    """All finite numbers of the format, from its bit patterns."""
    bits = int(name[5])
    numbers = np.arange(2**bits, dtype=np.uint8).view(getattr(ml_dtypes, name)).astype(np.float64)
    return np.unique(numbers[np.isfinite(numbers)])


@pytest.mark.parametrize("name", FORMATS)
def test_every_number_of_a_minifloat_format_is_its_own_nearest(name):
    numbers = every_number(name)
    quantizer = minifloat(name)
    assert (quantizer.values(quantizer.codes(numbers)) == numbers).all()
    assert [float(quantizer.value(quantizer.code(Fraction(float(x))))) for x in numbers] == numbers.tolist()


@pytest.mark.parametrize("name", FORMATS)
def test_rounding_to_a_minifloat_is_that_of_ml_dtypes_up_to_its_largest_number(name):
    largest = float(FORMATS[name][3])
    numbers = every_number(name)
    values = np.concatenate(
        [np.random.default_rng(0).normal(size=2000) * largest / 3, (numbers[1:] + numbers[:-1]) / 2]
    )
    values = values[np.abs(values) <= largest]
    quantizer = minifloat(name)
    wanted = values.astype(getattr(ml_dtypes, name)).astype(np.float64)
    assert (quantizer.values(quantizer.codes(values)) == wanted).all()


@pytest.mark.parametrize("rounding", Rounding)
@pytest.mark.parametrize("scale", [ONE, (Fraction(1, 3),)], ids=["scale 1", "scale 1/3"])
def test_fast_minifloat_codes_are_the_definition_for_every_rounding(rounding, scale):
    quantizer = minifloat("float6_e3m2fn", rounding, scale)
    numbers = every_number("float6_e3m2fn") * float(scale[0])
    values = np.concatenate([numbers, (numbers[1:] + numbers[:-1]) / 2, np.linspace(-40, 40, 301)])
    assert quantizer.codes(values).tolist() == [quantizer.code(Fraction(float(v))) for v in values]


@pytest.mark.parametrize("rounding", Rounding)
@pytest.mark.parametrize("name", ["float4_e2m1fn", "float6_e2m3fn", "float6_e3m2fn"])
def test_a_minifloat_code_is_reached_exactly_from_its_least_value(name, rounding):
    quantizer = minifloat(name, rounding)
    hair = Fraction(1, 10**6)
    for code in range(quantizer.low + 1, quantizer.high + 1):
        boundary, included = quantizer.least_value(code)
        assert quantizer.code(boundary - hair) < code <= quantizer.code(boundary + hair)
        assert (quantizer.code(boundary) >= code) == included


def test_a_minifloat_saturates_and_names_itself():
    quantizer = minifloat("float8_e4m3fn")
    assert quantizer.value(quantizer.code(10**9)) == 448
    assert quantizer.values(quantizer.codes(np.array([-1e30, 460.0]))).tolist() == [-448, 448]
    assert str(quantizer) == "float e4m3 x 1"


def test_zero_becomes_plus_one_on_the_bipolar_grid():
    quantizer = BipolarQuantizer((Fraction(3, 4),))
    assert quantizer.codes(np.array([-1e-300, 0.0, 5.0])).tolist() == [-1, 1, 1]
    assert [quantizer.code(v) for v in (Fraction(-1, 10**9), 0, 7)] == [-1, 1, 1]
    assert [quantizer.value(c) for c in (-1, 1)] == [Fraction(-3, 4), Fraction(3, 4)]
    assert quantizer.least_value(1) == (0, True)


def test_a_bipolar_zero_point_moves_the_boundary_exactly():
    quantizer = BipolarQuantizer((Fraction(1, 3), Fraction(1)), (Fraction(1, 2), Fraction(0)))
    assert [quantizer.code(v, 0) for v in (Fraction(-1, 6), Fraction(-17, 100))] == [1, -1]
    assert quantizer.codes(np.array([[-0.166, -0.167], [0.0, -0.0]]), 0).tolist() == [[1, -1], [1, 1]]


def test_thresholds_count_those_that_are_reached():
    quantizer = ThresholdQuantizer.of(((Fraction(0), Fraction(1), Fraction(1)),), Fraction(1, 2), Fraction(-1))
    assert (quantizer.scale, quantizer.low, quantizer.high, quantizer.step) == ((Fraction(1, 2),), -2, 1, 1)
    values = np.array([-0.5, 0.0, 0.5, 1.0])
    assert quantizer.values(quantizer.codes(values)).tolist() == [-1, -0.5, -0.5, 0.5]
    assert [quantizer.code(Fraction(float(v))) for v in values] == quantizer.codes(values).tolist()
    assert quantizer.least_value(1) == (1, True)


def test_a_bipolar_multithreshold_has_the_codes_minus_and_plus_one():
    quantizer = ThresholdQuantizer.of(((Fraction(0),), (Fraction(2),)), Fraction(2), Fraction(-1))
    assert (quantizer.low, quantizer.high, quantizer.step, quantizer.scale) == (-1, 1, 2, (Fraction(1),))
    assert quantizer.codes(np.array([[-1.0, 1.0], [1.0, 3.0]]), 0).tolist() == [[-1, 1], [-1, 1]]
    assert quantizer.picked([1, 0]).at == ((Fraction(2),), (Fraction(0),))


def test_picked_channels_take_their_parameters_along():
    quantizer = Quantizer((Fraction(1), Fraction(2), Fraction(3)), low=0, high=7)
    assert quantizer.picked([2, 2, 0]).scale == (3, 3, 1)
    assert Quantizer((Fraction(1),)).picked([4, 5]).scale == (1,)


@pytest.mark.parametrize(
    "quantizer",
    [
        Quantizer((Fraction(1, 3),)),
        BipolarQuantizer(ONE, (Fraction(1, 2),)),
        minifloat("float6_e3m2fn", scale=(Fraction(1, 3),)),
    ],
    ids=str,
)
def test_a_scalar_array_is_quantized_too(quantizer):
    value = np.array(-0.5)
    assert quantizer.codes(value).shape == ()
    assert int(quantizer.codes(value)) == quantizer.code(Fraction(-1, 2))
