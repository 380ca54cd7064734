"""The product of two values that both come at run time: radix-4 digits of the narrower one, shifted and added."""

from __future__ import annotations

from qcompile.ir import datapath
from qcompile.lower.build import Builder, Term
from qcompile.numerics.span import Span

_BIT = Span(0, 1)


def product_of(build: Builder, a: str, b: str) -> str:
    """``a * b`` without a multiplier: half a row of LUTs for every bit of the narrower operand."""
    if build.spans[a].width < build.spans[b].width:
        a, b = b, a
    span, digits = build.spans[a].times(build.spans[b]), build.spans[b]
    if digits.size == 1:
        return build.value(build.scaled(Term(a), digits.low, "product"), "product")
    if digits == _BIT:
        return build.add("product_", datapath.Select(), b, a, _constant(build, 0))
    bits = [build.add("bit_", datapath.Bit(k), b) for k in range(digits.width)]
    above = bits[-1] if digits.signed else _constant(build, 0)  # the sign goes on
    total = missing = ""
    for place in range(0, digits.width + (not digits.signed), 2):
        low = bits[place - 1] if place else _constant(build, 0)
        middle, high = (bits[k] if k < len(bits) else above for k in (place, place + 1))
        term = build.add("digit_", datapath.BoothDigit(), a, high, middle, low)
        total = term if not total else build.add("sum_", datapath.ShiftAdd(0, place), total, term)
        negative = _negative(build, high, middle, low)
        missing = negative if not missing else build.add("missing_", datapath.ShiftAdd(0, place), missing, negative)
    return build.add("product_", datapath.ShiftAdd(0, 0, span=span), total, missing)


def _negative(build: Builder, high: str, middle: str, low: str) -> str:
    """Whether ``-2 high + middle + low`` is negative: a digit gives 1 less there."""
    not_low = build.add("not_", datapath.Xnor(), low, _constant(build, 0))
    not_both = build.add("not_", datapath.Select(), middle, not_low, _constant(build, 1))
    return build.add("negative_", datapath.Select(), high, not_both, _constant(build, 0))


def _constant(build: Builder, value: int) -> str:
    return build.constant(value).node
