"""Weights in groups: MX and block floating point by their definitions, chosen scales against exhaustive search."""

from __future__ import annotations

from fractions import Fraction
from itertools import product
from math import floor

import ml_dtypes
import numpy as np
import pytest

from qcompile.numerics.formats import Grouped, Planes, parse_format
from qcompile.quantize import QuantizeOptions
from qcompile.quantize.grouping import group_weights, on_groups

ELEMENTS = {
    "e2m1": (ml_dtypes.float4_e2m1fn, 2, 6.0),
    "e2m3": (ml_dtypes.float6_e2m3fn, 2, 7.5),
    "e3m2": (ml_dtypes.float6_e3m2fn, 4, 28.0),
    "e4m3": (ml_dtypes.float8_e4m3fn, 8, 448.0),
    "e5m2": (ml_dtypes.float8_e5m2, 15, 57344.0),
}


def grouped(text: str) -> Grouped | Planes:
    found = parse_format(text, "")
    assert isinstance(found, Grouped | Planes)
    return found


def rows_with_corners(size: int) -> np.ndarray:
    rng = np.random.default_rng(3)
    rows = rng.standard_t(2, (6, 3 * size + 5)) * 2.0 ** rng.integers(-6, 7, (6, 1))
    rows[0, :size] = 0.0
    rows[1] = np.arange(rows.shape[1]) - 7  # exact ties
    rows[2, 3] = 2.0 ** np.ceil(np.log2(np.abs(rows[2]).max()))  # a power of two leads
    return rows


def exponent_of(value: float, rounded: str) -> int:
    """floor or ceil of the binary logarithm, exactly."""
    exact, power = Fraction(value), 0
    while exact >= 2:
        exact, power = exact / 2, power + 1
    while exact < 1:
        exact, power = exact * 2, power - 1
    return power + (rounded == "ceil" and exact != 1)


def values(rows: np.ndarray, text: str, **options: bool) -> np.ndarray:
    chosen = {"clip": True, "pow2": True, "shared": False} | options
    return group_weights(rows, grouped(text), **chosen).values


@pytest.mark.parametrize("element", ELEMENTS)
def test_mx_is_the_element_type_on_the_shared_exponent(element: str) -> None:
    """Against ml_dtypes' own casts."""
    dtype, largest_exponent, largest = ELEMENTS[element]
    rows = rows_with_corners(8)
    found = values(rows, f"mx:{element}:8")
    for row, start in product(range(len(rows)), range(0, rows.shape[1], 8)):
        block = rows[row, start : start + 8]
        if not block.any():
            assert not found[row, start : start + 8].any()
            continue
        scale = 2.0 ** (exponent_of(np.abs(block).max(), "floor") - largest_exponent)
        wanted = np.clip(block / scale, -largest, largest).astype(dtype).astype(np.float64) * scale
        assert found[row, start : start + 8].tolist() == wanted.tolist()


@pytest.mark.parametrize("tie", ["", ":away"])
@pytest.mark.parametrize("rule", ["", ":ceil"])
def test_mxint_rounds_as_its_parameters_say(rule: str, tie: str) -> None:
    rows = rows_with_corners(16)
    found = values(rows, f"mx:int8:16{rule}{tie}")
    for row, start in product(range(len(rows)), range(0, rows.shape[1], 16)):
        block = [Fraction(float(v)) for v in rows[row, start : start + 16]]
        largest = max(map(abs, block))
        if not largest:
            continue
        if rule:
            step = Fraction(2) ** (exponent_of(float(largest), "ceil") - 7)
        else:
            step = Fraction(2) ** (exponent_of(float(largest), "floor") - 6)
        for value, got in zip(block, found[row, start : start + 16], strict=True):
            size = abs(value) / step
            code = floor(size + Fraction(1, 2)) if tie else round(size)
            assert abs(Fraction(float(got))) == min(code, 127) * step
            assert not got or (got > 0) == (value > 0)


def test_block_floating_point_has_the_exponent_above_the_largest() -> None:
    rows = rows_with_corners(16)
    found = values(rows, "bfp:4:16")
    for row, start in product(range(len(rows)), range(0, rows.shape[1], 16)):
        block = [Fraction(float(v)) for v in rows[row, start : start + 16]]
        largest = max(map(abs, block))
        if not largest:
            continue
        above = Fraction(2) ** exponent_of(float(largest), "ceil")
        for value, got in zip(block, found[row, start : start + 16], strict=True):
            assert abs(Fraction(float(got))) == min(round(abs(value) / above * 8), 7) * above / 8


@pytest.mark.parametrize("text", ["bitmod:3:8", "bitmod:4:8"])
def test_bitmod_takes_one_of_four_sets_for_a_group_and_no_other_is_better(text: str) -> None:
    rows = np.random.default_rng(1).normal(size=(5, 24))
    format_ = grouped(text)
    assert isinstance(format_, Grouped) and len(format_.sets) == 4
    made = group_weights(rows, format_, clip=False, pow2=False, shared=False)
    found = made.values
    for row, start in product(range(5), range(0, 24, 8)):
        block, got = rows[row, start : start + 8], found[row, start : start + 8]
        errors, held = [], []
        for levels in (np.array(s.levels) for s in format_.sets):
            scale = max(block.max() / levels[-1], block.min() / levels[0])
            nearest = levels[np.abs(block[:, None] / scale - levels).argmin(1)] * scale
            errors.append(np.square(block - nearest).sum())
            held.append(nearest)
        # The scale is an integer of seven bits times the row's unit.
        assert np.allclose(got, held[int(np.argmin(errors))], rtol=0.03, atol=0.03 * np.abs(block).max())


@pytest.mark.parametrize("text", ["trits:2:4", "bits:2:4"])
def test_planes_are_near_the_best_of_all_digits_and_scales(text: str) -> None:
    rows = np.random.default_rng(5).normal(size=(6, 4))
    format_ = grouped(text)
    assert isinstance(format_, Planes)
    made = group_weights(rows, format_, clip=True, pow2=False, shared=False)
    every = np.array(list(product(format_.combinations, repeat=4)), float)
    projections = every @ np.linalg.pinv(every)
    for row, got in zip(rows, made.values, strict=True):
        best = np.square(row - projections @ row).sum(axis=1).min()
        assert best - 1e-3 <= np.square(row - got).sum() <= best + 0.08 * np.square(row).sum()
        assert len(set(got)) <= len(format_.combinations)


@pytest.mark.parametrize("text", ["mx:e2m1:8", "bitmod:3:8", "trits:2:8", "bits:2:8", "ternary@8", "fixed:4@8"])
@pytest.mark.parametrize("pow2", [False, True])
@pytest.mark.parametrize("shared", [False, True])
def test_codes_are_integers_on_a_unit_for_each_row_or_one_for_all(text: str, pow2: bool, shared: bool) -> None:
    rows = rows_with_corners(8)[1:]
    made = group_weights(rows, grouped(text), clip=True, pow2=pow2, shared=shared)
    assert made.codes.shape == rows.shape and len(made.units) == len(rows)
    assert len(set(made.units)) == 1 or not shared
    if pow2 or text.startswith("mx"):
        assert all(u.numerator.bit_count() == u.denominator.bit_count() == 1 for u in made.units)
    exact = [Fraction(int(c)) * u for codes, u in zip(made.codes, made.units, strict=True) for c in codes]
    assert [Fraction(float(v)) for v in made.values.ravel()] == exact
    if not shared:
        error = np.square(rows - made.values).sum(axis=1) / np.square(rows).sum(axis=1)
        assert (error < (0.6 if text in ("ternary@8", "bits:2:8") else 0.2)).all()


@pytest.mark.parametrize("text", ["mx:e2m1:8", "ternary@8", "fixed:3@8", "bitmod:3:8", "trits:2:8"])
def test_groups_are_rounded_so_that_results_move_least_where_they_share_levels(text: str) -> None:
    rng = np.random.default_rng(2)
    weights, vectors = rng.normal(size=(20, 5)), rng.normal(size=(400, 20)) @ rng.normal(size=(20, 20))
    moments = (vectors.T @ vectors / len(vectors))[None]
    errors = {}
    for method in ("nearest", "gptq"):
        options = QuantizeOptions(weight_rounding=method)
        found, quantizer, axis = on_groups(weights, -1, grouped(text), options, False, moments)
        assert (quantizer.values(quantizer.codes(found, axis), axis) == found).all()
        errors[method] = np.square(vectors @ (found - weights)).sum()
    if text.startswith(("bitmod", "trits")):  # levels of their own: to the nearest whatever the method
        assert errors["gptq"] == errors["nearest"]
    else:
        assert errors["gptq"] < 0.9 * errors["nearest"]


def test_a_group_of_zeros_and_a_layer_of_zeros_have_codes_zero() -> None:
    for text in ("mx:e2m1:4", "bitmod:4:4", "trits:2:4", "bits:1:4", "fixed:3@4"):
        made = group_weights(np.zeros((2, 6)), grouped(text), clip=True, pow2=False, shared=False)
        assert not made.codes.any() and all(u > 0 for u in made.units)


def test_a_codebook_is_the_means_of_clusters() -> None:
    rows = np.repeat([[-1.0, -0.25, 0.5, 1.0]], 3, axis=0) + np.random.default_rng(0).normal(size=(3, 4)) * 1e-3
    levels = parse_format("codebook:4", "").fitted(rows).levels
    assert np.allclose(np.array(levels) / 127, [-1, -0.25, 0.5, 1], atol=0.02)
    assert len(parse_format("codebook:16", "").fitted(np.zeros((2, 3))).levels) == 2
