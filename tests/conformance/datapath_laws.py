"""What every datapath operation means in the rationals, in words of its own: nothing here calls the operation."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from math import floor
from typing import Any

from qcompile.numerics.rounding import Rounding


def _power(exponent: int) -> Fraction:
    return Fraction(2) ** exponent


def _shift_add(op: Any, a: int, b: int) -> Fraction:
    sign = -1 if op.subtract else 1
    return a * _power(op.left_shift) + sign * b * _power(op.right_shift)


def _add_three(op: Any, *operands: int) -> Fraction:
    signs = {0: (1, 1, 1), 1: (1, 1, -1), 2: (1, -1, -1)}[op.subtracted]
    terms = zip(signs, operands, op.shifts, strict=True)
    return sum((sign * x * _power(shift) for sign, x, shift in terms), Fraction(0))


def _lookup(op: Any, a: int) -> Fraction:
    entries = dict(enumerate(op.table.values.tolist(), start=op.low))
    return Fraction(entries[a])


def _booth_digit(op: Any, a: int, *bits: int) -> Fraction:
    """Radix-4 recoding: three overlapping bits stand for the digits 0, 1, 1, 2, -2, -1, -1, 0."""
    digit = {"000": 0, "001": 1, "010": 1, "011": 2, "100": -2, "101": -1, "110": -1, "111": 0}["".join(map(str, bits))]
    return Fraction(digit) * a - (1 if digit < 0 else 0)


def _signed_shift(op: Any, a: int, negative: int, present: int, *bits: int) -> Fraction:
    exponent = int("0" + "".join(map(str, reversed(bits))), 2)
    return present * (-1) ** negative * a * _power(exponent) - negative


def _round_significand(op: Any, a: int) -> Fraction:
    """Of all integers with so few significant bits the nearest; on a tie the one that is an even multiple, or above."""
    real = a * _power(-op.shift)
    below = above = Fraction(floor(real))
    while not _short(below, op.bits):
        below -= 1
    while above < real or not _short(above, op.bits):
        above += 1
    if op.rounding is Rounding.FLOOR and above != below:
        return below if real != above else above
    if real - below != above - real:
        return below if real - below < above - real else above
    # Neighbours are multiples of their distance; one of the two is an even one.
    return below if op.rounding is Rounding.HALF_EVEN and (below / max(above - below, 1)) % 2 == 0 else above


def _short(value: Fraction, bits: int) -> bool:
    number = abs(int(value))
    return number == 0 or number // (number & -number) < 2**bits


LAWS: dict[str, Callable[..., Fraction]] = {
    "input": lambda op, a: Fraction(a),
    "constant": lambda op: Fraction(op.value),
    "shift_add": _shift_add,
    "add_carry": lambda op, *terms: sum(map(Fraction, terms), Fraction(0)),
    "add_three": _add_three,
    "shift_left": lambda op, a: a * _power(op.amount),
    "negate": lambda op, a: Fraction(0) - a,
    "add_constant": lambda op, a: Fraction(a) + op.value,
    "shift_right": lambda op, a: Fraction(floor(a * _power(-op.amount))),
    "round_even": lambda op, a: Fraction(round(a * _power(-op.amount))),
    "round_significand": _round_significand,
    "clamp": lambda op, a: Fraction(sorted((op.low, a, op.high))[1]),
    "maximum": lambda op, a, b: Fraction(sorted((a, b))[1]),
    "at_least": lambda op, a: Fraction(a not in range(min(a, op.value - 1), op.value)),
    "greater": lambda op, a, b: Fraction(Fraction(a) - b > 0),
    "select": lambda op, condition, a, b: Fraction(condition * a + (1 - condition) * b),
    "count_ones": lambda op, *bits: Fraction(len([bit for bit in bits if bit != 0])),
    "lookup": _lookup,
    # With a bit b standing for the sign 2 b - 1, the product of the signs.
    "xnor": lambda op, a, b: (Fraction(2 * a - 1) * (2 * b - 1) + 1) / 2,
    "booth_digit": _booth_digit,
    "signed_shift": _signed_shift,
    "bit": lambda op, a: Fraction(floor(a * _power(-op.index))) - 2 * floor(a * _power(-op.index - 1)),
    "extend": lambda op, a: Fraction(a),
}
