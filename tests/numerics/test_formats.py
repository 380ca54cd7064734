"""Formats as users write them."""

from __future__ import annotations

from fractions import Fraction

import ml_dtypes
import numpy as np
import pytest

from qcompile.errors import CompileError
from qcompile.numerics.formats import (
    Fixed,
    Format,
    Levels,
    MiniFloat,
    dense_power_of_two,
    evenly_spaced,
    k_hot,
    parse_format,
    power_of_two,
    signed_digits,
)
from qcompile.numerics.levels import LevelQuantizer
from qcompile.numerics.rounding import Rounding
from qcompile.numerics.span import Span

FORMS = [
    *(Fixed(8, True, 4, False, Rounding.HALF_AWAY), Fixed(6, True, 2, True, Rounding.HALF_ZERO)),
    *(Fixed(8), Fixed(4, signed=False), Fixed(8, frac=3), Fixed(16, False, -2)),
    *(MiniFloat(2, 1), MiniFloat(4, 3, 1), MiniFloat(5, 2, 4), MiniFloat(3, 0, 1), MiniFloat(0, 4, signed=False)),
    *(power_of_two(4), dense_power_of_two(3), k_hot(2, 5), signed_digits(2, 6), evenly_spaced(6), evenly_spaced(7)),
]
WRONG = [
    "minifloat:m3",
    "minifloat:e9m2",
    "minifloat:e0m0",
    "pow2",
    "pow2:9",
    "khot:2",
    "ternary:2",
    "binary:2",
    "binary:centred@8",
    "levels:-2,-1",
]


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("fixed:8", Fixed(8)),
        ("ufixed:4", Fixed(4, signed=False)),
        ("fixed:8:4", Fixed(8, frac=4)),
        (" fixed:16:-2 ", Fixed(16, frac=-2)),
        ("fixed:8:4:RND_CONV:SAT_SYM", Fixed(8, True, 4, True, Rounding.HALF_EVEN)),
        ("ufixed:8:0:TRN:SAT", Fixed(8, False, 0, False, Rounding.FLOOR)),
        ("minifloat:e3m2", MiniFloat(3, 2)),
        ("minifloat:e4m3fn", MiniFloat(4, 3, reserved=1)),
        ("uminifloat:e5m2ieee", MiniFloat(5, 2, reserved=4, signed=False)),
        ("levels:1,0,-5", Levels("levels:-5,0,1", (-5, 0, 1))),
    ],
)
def test_a_format_is_read(text: str, wanted: Fixed) -> None:
    assert parse_format(text, "weights") == wanted


@pytest.mark.parametrize("format_", FORMS)
def test_a_format_prints_as_it_is_written(format_: Fixed) -> None:
    assert parse_format(str(format_), "") == format_


@pytest.mark.parametrize(
    "text",
    ["", "fixed", "int8", "fixed:", "fixed:x", "fixed:1", "fixed:17", "fixed:8:4:2", "fixed:8:4:RND:WRAP", *WRONG],
)
def test_anything_else_is_refused_with_the_way_to_write_it(text: str) -> None:
    with pytest.raises(CompileError) as error:
        parse_format(text, "--weights")
    (diagnostic,) = error.value.diagnostics
    assert (diagnostic.code, diagnostic.where) == ("QC203", "--weights")
    assert diagnostic.found == f"format {text!r} is not understood"
    assert "fixed:W" in diagnostic.help


def test_the_span_of_a_narrow_format_is_symmetric() -> None:
    assert Fixed(8).span == Span(-128, 127)
    assert Fixed(8, narrow=True).span == Span(-127, 127)
    assert Fixed(8, signed=False, narrow=True).span == Span(0, 255)


@pytest.mark.parametrize(
    ("format_", "levels"),
    [
        (power_of_two(3), (-4, -2, -1, 0, 1, 2, 4)),
        (dense_power_of_two(3), (-8, -4, -2, -1, 1, 2, 4, 8)),
        (k_hot(2, 4), (-6, -5, -4, -3, -2, -1, 0, 1, 2, 3, 4, 5, 6)),
        (signed_digits(2, 4), tuple(range(-7, 8))),
        (evenly_spaced(4), (-3, -1, 1, 3)),
        (evenly_spaced(5), (-2, -1, 0, 1, 2)),
        (MiniFloat(2, 1), (-12, -8, -6, -4, -3, -2, -1, 0, 1, 2, 3, 4, 6, 8, 12)),
    ],
    ids=lambda value: str(value) if isinstance(value, Format) else "",
)
def test_a_format_is_its_levels(format_: Format, levels: tuple[int, ...]) -> None:
    assert format_.levels == levels
    assert format_.as_unsigned().levels == (0, *(level for level in levels if level > 0))


def test_centred_binary_weights_are_signs_about_the_mean_of_their_channel() -> None:
    weights = np.array([[1.0, 2.0, 6.0], [-1.0, 0.0, 1.0]])
    format_ = parse_format("binary:centred", "")
    assert str(format_) == "binary:centred" and format_.levels == (-1, 1)
    assert format_.prepared(weights, 0).tolist() == [[-2.0, -1.0, 3.0], [-1.0, 0.0, 1.0]]
    assert format_.prepared(weights, -1).mean(axis=0).tolist() == [0.0, 0.0, 0.0]
    assert parse_format("binary", "").prepared(weights, 0) is weights


def test_signed_digits_are_counted_in_the_canonical_form() -> None:
    sums = {sign * (1 << p) for p in range(8) for sign in (-1, 1)} | {0}
    two = {a + b for a in sums for b in sums}
    assert set(signed_digits(2, 7).levels) == {m for m in two if abs(m) < 64}


@pytest.mark.parametrize("format_", FORMS, ids=str)
def test_the_fast_nearest_code_is_that_of_the_quantizer_away_from_ties(format_: Format) -> None:
    span = format_.span
    ratios = np.random.default_rng(0).uniform(1.3 * span.low - 1, 1.3 * span.high + 1, 500)
    quantizer = format_.quantizer((Fraction(1),))
    assert format_.nearest(ratios).tolist() == quantizer.codes(ratios).tolist()
    assert tuple(quantizer.codes_between(span.low, span.high)) == format_.levels


@pytest.mark.parametrize("format_", FORMS, ids=str)
def test_codes_are_read_back_from_their_bit_patterns(format_: Format) -> None:
    codes = np.array(format_.levels)
    patterns = format_.encode(codes)
    assert patterns.min() >= 0 and patterns.max() < 1 << format_.bits and len(set(patterns)) == len(codes)
    assert format_.decode(patterns).tolist() == codes.tolist()


OCP = {
    "float8_e5m2": MiniFloat(5, 2, 4),
    "float8_e4m3fn": MiniFloat(4, 3, 1),
    "float6_e3m2fn": MiniFloat(3, 2),
    "float6_e2m3fn": MiniFloat(2, 3),
    "float4_e2m1fn": MiniFloat(2, 1),
}


@pytest.mark.parametrize("name", OCP)
def test_every_bit_pattern_is_the_number_that_ml_dtypes_has(name: str) -> None:
    format_, dtype = OCP[name], getattr(ml_dtypes, name)
    patterns = np.arange(1 << format_.bits)
    numbers = patterns.astype(np.uint8).view(dtype).astype(np.float64)
    finite = np.isfinite(numbers)
    scale = 2.0 ** (1 - ((1 << format_.exponent_bits - 1) - 1) - format_.mantissa_bits)
    codes = format_.decode(patterns[finite])
    assert (codes * scale == numbers[finite]).all() and len(set(codes)) == len(format_.levels)
    negative_zero = 1 << format_.bits - 1
    assert [p for p in patterns[finite] if p != format_.encode(format_.decode(np.array([p])))[0]] == [negative_zero]
    for field in patterns[~finite] & (negative_zero - 1):
        with pytest.raises(IndexError):
            format_.decode(np.array([field]))


@pytest.mark.parametrize("name", OCP)
def test_rounding_is_that_of_ml_dtypes_on_both_sides_of_every_middle(name: str) -> None:
    """Up to the largest number: beyond it formats saturate, where some types of ml_dtypes become infinity or NaN."""
    format_, dtype = OCP[name], getattr(ml_dtypes, name)
    scale = 2.0 ** (1 - ((1 << format_.exponent_bits - 1) - 1) - format_.mantissa_bits)
    codes = np.array(format_.levels, np.float64)
    middles = (codes[1:] + codes[:-1]) / 2
    middles, codes = (middles * scale).astype(np.float32), (codes * scale).astype(np.float32)
    # As float32, which ml_dtypes goes through: a float64 would be rounded twice.
    around = [np.nextafter(middles, np.float32(end)) for end in (np.inf, -np.inf)]
    values = np.concatenate([codes, middles, *around])
    quantizer = format_.quantizer((Fraction(scale),))
    assert (quantizer.values(quantizer.codes(values)) == values.astype(dtype).astype(np.float64)).all()


def test_the_levels_of_a_minifloat_round_as_the_minifloat_does() -> None:
    """Two independent ways to round: by the number of the level, and by the significand."""
    for format_ in (MiniFloat(3, 2), MiniFloat(2, 3), MiniFloat(4, 1, 1), MiniFloat(0, 3)):
        codes = np.array(format_.levels, float)
        values = np.concatenate([codes, (codes[1:] + codes[:-1]) / 2, [-1e9, 1e9]])
        as_float = format_.quantizer((Fraction(1),))
        as_levels = LevelQuantizer.of((Fraction(1),), format_.levels)
        assert as_float.codes(values).tolist() == as_levels.codes(values).tolist()
