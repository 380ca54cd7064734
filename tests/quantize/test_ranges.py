"""Scales from observed values."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from qcompile.numerics.formats import Fixed, Levels
from qcompile.numerics.span import Span
from qcompile.quantize.ranges import (
    covering_scale,
    dyadic_scale,
    exponent_below,
    integer_grid,
    least_divergence_scale,
    least_error_scale,
    minmax_scale,
    percentile_scale,
    weight_scales,
)

SCALES = ("pow2", "dyadic", "free")
UINT8, INT8, NARROW8 = Fixed(8, signed=False), Fixed(8), Fixed(8, narrow=True)


@pytest.mark.parametrize("reach", [0.1, 1.0, 0.99, 127.5, 127.51, 255.0, 255.5, 255.6, 1e-20, 3e8])
@pytest.mark.parametrize("codes", [1, 7, 127, 255])
def test_a_power_of_two_scale_is_the_least_that_covers(reach: float, codes: int) -> None:
    scale = covering_scale(reach, codes, scales="pow2")
    limit = codes + Fraction(1, 2)
    assert Fraction(reach) / scale <= limit * (1 + Fraction(1, 2**50))
    assert Fraction(reach) / (scale / 2) > limit * (1 - Fraction(1, 2**50))
    assert scale.numerator.bit_count() == scale.denominator.bit_count() == 1


def test_a_free_scale_is_a_float32_number() -> None:
    scale = covering_scale(0.3, 127, scales="free")
    assert scale == Fraction(float(np.float32(0.3 / 127)))


def test_a_dyadic_scale_is_the_least_of_four_bits_that_covers() -> None:
    assert dyadic_scale(0.3) == Fraction(10, 32)
    assert dyadic_scale(8.0) == 8
    for value in np.random.default_rng(0).uniform(1e-6, 1e6, 100):
        scale = dyadic_scale(value)
        odd = scale.numerator >> ((scale.numerator & -scale.numerator).bit_length() - 1)
        assert odd < 16 and scale.denominator.bit_count() == 1
        assert float(scale) / (1 + 1 / 8) <= value <= scale


def test_minmax_clips_nothing_on_either_side() -> None:
    assert minmax_scale(np.array([-1.0, 0.5]), INT8, scales="pow2") == Fraction(1, 128)
    assert minmax_scale(np.array([-1.0, 0.5]), NARROW8, scales="pow2") == Fraction(1, 64)
    assert minmax_scale(np.array([-1.01, 0.5]), INT8, scales="pow2") == Fraction(1, 64)
    assert minmax_scale(np.array([-0.1, 0.99]), INT8, scales="pow2") == Fraction(1, 128)
    assert minmax_scale(np.array([0.0, 1.0]), UINT8, scales="free") == Fraction(float(np.float32(1 / 255)))


def test_values_that_are_all_zero_get_scale_one() -> None:
    zeros = np.zeros(8)
    for scales in SCALES:
        assert minmax_scale(zeros, INT8, scales) == least_error_scale(zeros, INT8, scales) == 1
        assert percentile_scale(zeros, INT8, 99.9, scales) == least_divergence_scale(zeros, INT8, scales) == 1


def test_a_percentile_ignores_an_outlier() -> None:
    values = np.append(np.linspace(0, 1, 9999), 1000.0)
    assert percentile_scale(values, UINT8, 99.9, scales="pow2") == Fraction(1, 128)
    assert percentile_scale(values, UINT8, 100, scales="pow2") == minmax_scale(values, UINT8, scales="pow2") == 4


def test_a_percentile_of_mostly_zeros_falls_back_to_the_whole_range() -> None:
    values = np.append(np.zeros(9999), 1.0)
    assert percentile_scale(values, UINT8, 99.0, scales="pow2") == Fraction(1, 128)


@pytest.mark.parametrize("scales", SCALES)
@pytest.mark.parametrize("bits", [2, 3, 4, 8])
def test_the_least_error_scale_is_no_worse_than_covering_everything(scales: str, bits: int) -> None:
    values = np.random.default_rng(bits).standard_t(3, 4000)
    format = Fixed(bits)
    span = format.span

    def error(scale: Fraction) -> float:
        codes = np.clip(np.rint(values / float(scale)), span.low, span.high)
        return float(np.square(values - codes * float(scale)).sum())

    assert error(least_error_scale(values, format, scales)) <= error(minmax_scale(values, format, scales))


@pytest.mark.parametrize("scales", ["pow2", "free"])
def test_divergence_clips_a_long_tail_that_minmax_keeps(scales: str) -> None:
    values = np.append(np.abs(np.random.default_rng(0).normal(size=20000)), 40.0)
    scale = least_divergence_scale(values, Fixed(4, signed=False), scales)
    assert 1.5 < float(scale) * 15 < 8
    assert minmax_scale(values, Fixed(4, signed=False), scales) * 15 >= 39


def test_divergence_of_values_on_the_grid_is_least_where_the_grid_is() -> None:
    values = np.repeat(np.arange(16) / 16, 50)
    assert least_divergence_scale(values, Fixed(4, signed=False), "pow2") == Fraction(1, 16)


def test_the_absmean_rule_makes_code_one_the_mean_magnitude() -> None:
    rows = np.array([[0.5, -1.5, 1.0, 0.0], [0.0, 0.0, 0.0, 0.0]])
    ternary = Levels("ternary", (-1, 0, 1))
    assert weight_scales(rows, ternary, "absmean", "free", shared=False)[0] == Fraction(3, 4)
    assert weight_scales(rows, ternary, "absmean", "pow2", shared=False)[0] == Fraction(1)
    assert weight_scales(rows, ternary, "absmean", "free", shared=True) == (Fraction(3, 8),)


def test_channels_get_scales_of_their_own_or_one_for_all() -> None:
    rows = np.array([[1.0, -8.0], [0.25, 0.5]])
    assert weight_scales(rows, Fixed(4, narrow=True), "minmax", scales="pow2", shared=False) == (
        Fraction(2),
        Fraction(1, 8),
    )
    assert weight_scales(rows, Fixed(4, narrow=True), "minmax", scales="pow2", shared=True) == (Fraction(2),)


@pytest.mark.parametrize("scales", SCALES)
def test_the_output_rule_gives_the_results_of_the_layer_less_error_than_any_other(scales: str) -> None:
    random = np.random.default_rng(3)
    format = Fixed(3, narrow=True)
    span = format.span
    rows = random.standard_t(3, (6, 10))
    # Correlated operands, in two groups of their own.
    operands = [random.normal(size=(500, 10)) @ random.normal(size=(10, 10)) for _ in range(2)]
    moments = np.stack([x.T @ x / len(x) for x in operands])

    def error(rule: str, shared: bool) -> float:
        found = weight_scales(rows, format, rule, scales, shared, moments)
        scale = np.array([float(s) for s in found]).reshape(-1, 1)
        missed = rows - np.clip(np.rint(rows / scale), span.low, span.high) * scale
        return sum(float(np.square(operands[row // 3] @ missed[row]).sum()) for row in range(6))

    for shared in (False, True):
        others = min(error("minmax", shared), error("mse", shared))
        assert error("output", shared) <= others if scales == "pow2" else error("output", shared) < others


def test_equal_independent_operands_make_the_output_rule_least_squares() -> None:
    rows = np.random.default_rng(3).standard_t(3, (6, 10))
    rules = [
        weight_scales(rows, Fixed(3, narrow=True), rule, "pow2", False, np.eye(10)[None]) for rule in ("output", "mse")
    ]
    assert rules[0] == rules[1] == weight_scales(rows, Fixed(3, narrow=True), "output", "pow2", False)


def test_integer_images_keep_every_value_if_the_bits_suffice() -> None:
    images = np.array([0.0, 7.0, 255.0])
    assert integer_grid(images, None, 8) == (Fraction(1), Span(0, 255))
    assert integer_grid(images, None, 6) == (Fraction(4), Span(0, 63))
    assert integer_grid(np.array([0.0, 16.0]), None, 8) == (Fraction(1), Span(0, 31))
    assert integer_grid(np.array([-3.0, 16.0]), None, 8) == (Fraction(1), Span(-32, 31))


def test_integer_types_use_their_limits_whatever_the_samples() -> None:
    assert integer_grid(np.array([1.0, 2.0]), (-128, 127), 8) == (Fraction(1), Span(-128, 127))
    assert integer_grid(np.array([1.0, 2.0]), (-128, 127), 4) == (Fraction(16), Span(-8, 7))


def test_fractions_constants_and_huge_numbers_have_no_integer_grid() -> None:
    for values in ([0.0, 0.5], [0.0, 0.0], [0.0, 65536.0]):
        assert integer_grid(np.array(values), None, 8) is None


def test_the_exponent_below_a_scale_is_exact_at_powers_of_two() -> None:
    for exponent in range(-40, 40):
        assert exponent_below(Fraction(2) ** exponent) == exponent
        assert exponent_below(Fraction(2) ** exponent * Fraction(3, 2)) == exponent
