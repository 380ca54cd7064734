"""Approximate products: against integer adders on bit patterns, and against published figures."""

from __future__ import annotations

from fractions import Fraction as Q
from itertools import product as pairs
from math import sqrt

import ml_dtypes
import numpy as np
import pytest

from qcompile.numerics.products import Product, constant_bits, leading_power, product

ADDERS = {
    "float8_e4m3fn": (np.uint8, 3, 7, 0x37),
    "float8_e5m2": (np.uint8, 2, 15, 0x3B),
    "bfloat16": (np.uint16, 7, 127, 0x3F78),
}


def normal_patterns(name: str) -> np.ndarray:
    """Positive normal numbers, a few exponents below and above 1, so that products are normal too."""
    _, mantissa, bias, _ = ADDERS[name]
    step = max(1, (1 << mantissa) // 16)
    return np.arange((bias - 2) << mantissa, (bias + 3) << mantissa, step)


@pytest.mark.parametrize("name", ADDERS)
def test_l_mul_is_the_adder_of_the_bit_patterns(name: str) -> None:
    kind, mantissa, _, offset = ADDERS[name]
    dtype = getattr(ml_dtypes, name)
    for a, b in pairs(normal_patterns(name).tolist(), repeat=2):
        x, y, wanted = (float(np.array([v], kind).view(dtype)[0]) for v in (a, b, a + b - offset))
        assert product(Q(x), Q(y), Product.L_MUL, mantissa) == Q(wanted)


def test_piecewise_affine_multiplication_is_the_adder_without_a_constant() -> None:
    rng = np.random.default_rng(0)
    values = rng.normal(size=(200, 2)).astype(np.float32)
    bits = np.abs(values).view(np.uint32).astype(np.int64)
    sums = (bits.sum(axis=1) - 0x3F800000).astype(np.uint32).view(np.float32)
    for (a, b), magnitude in zip(values.tolist(), sums.tolist(), strict=True):
        wanted = Q(magnitude) if (a > 0) == (b > 0) else -Q(magnitude)
        assert product(Q(a), Q(b), Product.PAM, 23) == wanted


@pytest.mark.parametrize(("bits", "formula", "adder"), [(3, -0.0097, 0.0493), (4, -0.022, 0.049)])
def test_the_mean_errors_are_those_known(bits: int, formula: float, adder: float) -> None:
    fractions = [1 + Q(k, 1 << bits) for k in range(1 << bits)]
    for rule, wanted in ((Product.L_MUL_FORMULA, formula), (Product.L_MUL, adder)):
        errors = [float(product(a, b, rule, bits) / (a * b) - 1) for a, b in pairs(fractions, repeat=2)]
        assert abs(sum(errors) / len(errors) - wanted) < 0.0006
    rms = [float(product(a, b, Product.L_MUL_FORMULA, 3) / (a * b) - 1) ** 2 for a, b in pairs(fractions, repeat=2)]
    assert bits != 3 or abs(sqrt(sum(rms) / len(rms)) - 0.081) < 0.001


def test_piecewise_affine_products_are_never_too_large() -> None:
    fractions = [1 + Q(k, 64) for k in range(64)]
    ratios = [product(a, b, Product.PAM, 6) / (a * b) for a, b in pairs(fractions, repeat=2)]
    assert max(ratios) == 1 and abs(float(min(ratios)) - 8 / 9) < 1e-3


@pytest.mark.parametrize("rule", Product)
def test_zero_and_signs_are_those_of_a_product(rule: Product) -> None:
    assert product(Q(0), Q(3), rule, 3) == product(Q(-3), Q(0), rule, 3) == 0
    for a, b in ((Q(3), Q(5, 4)), (Q(1, 7), Q(9))):
        found = [product(s * a, t * b, rule, 3) for s, t in ((1, 1), (1, -1), (-1, 1), (-1, -1))]
        assert found == [found[0], -found[0], -found[0], found[0]] and found[0] > 0


def test_the_constant_has_the_bits_of_the_paper() -> None:
    assert [constant_bits(m) for m in (1, 2, 3, 4, 5, 7, 23)] == [1, 2, 3, 3, 4, 4, 4]


def test_leading_powers() -> None:
    for value in (Q(1), Q(3, 2), Q(2), Q(7, 16), Q(1, 3), Q(1000), Q(-5)):
        found = leading_power(value)
        assert found <= abs(value) < 2 * found and found.numerator.bit_count() == found.denominator.bit_count() == 1
