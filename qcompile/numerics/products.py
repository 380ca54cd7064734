"""Products of floats without a multiplier, by name: the exact one, and those that add where it multiplies.

For floats ``a = ±(1 + x) * 2**p`` and ``b = ±(1 + y) * 2**q`` with fractions x, y of ``mantissa_bits`` bits, all
approximations share the sign rule and zero. A subnormal is taken by its leading one, like any other number, and no
result overflows or underflows: sums hold them all exactly.
"""

from __future__ import annotations

from enum import StrEnum
from fractions import Fraction


class Product(StrEnum):
    """How two floats are multiplied."""

    EXACT = "exact"
    L_MUL = "l-mul"
    """The integer adder: exponent|fraction fields add, with a constant 2**-l; a carry goes into the exponent.

    Hongyin Luo, Wei Sun, "Addition is All You Need for Energy-efficient Language Models", 2024, as implemented.
    """
    L_MUL_FORMULA = "l-mul-formula"
    """The closed form of the same paper, ``(1 + x + y + 2**-l) * 2**(p + q)``: no carry."""
    PAM = "pam"
    """Piecewise affine: the integer adder without a constant, so never too large.

    Atli Kosson, Martin Jaggi, "Multiplication-Free Transformer Training via Piecewise Affine Operations", 2023.
    """


def constant_bits(mantissa_bits: int) -> int:
    """l of L-Mul's constant 2**-l: as many as the mantissa has, 3 for four, 4 for more."""
    if mantissa_bits <= 3:
        return mantissa_bits
    return 3 if mantissa_bits == 4 else 4


def added(rule: Product, mantissa_bits: int) -> Fraction:
    """What ``rule`` adds to the sum of the fractions."""
    return Fraction(0) if rule is Product.PAM else Fraction(1, 1 << constant_bits(mantissa_bits))


def product(a: Fraction, b: Fraction, rule: Product, mantissa_bits: int) -> Fraction:
    """The definition."""
    if rule is Product.EXACT or not a or not b:
        return a * b
    low, high = leading_power(a), leading_power(b)
    fraction = abs(a) / low - 1 + abs(b) / high - 1 + added(rule, mantissa_bits)
    carry = 0 if rule is Product.L_MUL_FORMULA else int(fraction)
    magnitude = (1 + fraction - carry) * low * high * 2**carry
    return magnitude if (a > 0) == (b > 0) else -magnitude


def leading_power(value: Fraction) -> Fraction:
    """The largest power of two up to the magnitude of ``value``, which is not 0."""
    size = abs(value)
    power = size.numerator.bit_length() - size.denominator.bit_length()
    found = Fraction(2) ** power
    return found if found <= size else found / 2
