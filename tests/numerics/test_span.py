"""Spans: the narrowest type, and interval arithmetic against every pair of values."""

from __future__ import annotations

from itertools import combinations_with_replacement, product

import pytest

from qcompile.numerics.span import Span, union

SMALL = [Span(low, high) for low, high in combinations_with_replacement(range(-5, 6), 2)]


def values(span: Span) -> range:
    return range(span.low, span.high + 1)


@pytest.mark.parametrize("low", range(-9, 10))
def test_the_width_is_that_of_the_narrowest_type_that_holds_all_values(low: int) -> None:
    for high in range(low, 18):
        span = Span(low, high)
        fitting = [w for w in range(1, 10) if Span.of_bits(w, low < 0).holds(span)]
        assert span.width == fitting[0]
        assert span.signed == (low < 0)


def test_a_type_of_some_bits_has_exactly_their_patterns() -> None:
    assert [Span.of_bits(w, False) for w in (1, 2, 8)] == [Span(0, 1), Span(0, 3), Span(0, 255)]
    assert [Span.of_bits(w, True) for w in (1, 2, 8)] == [Span(-1, 0), Span(-2, 1), Span(-128, 127)]


def test_widths_of_wide_spans_are_exact() -> None:
    assert [Span(0, (1 << 70) - 1).width, Span(0, 1 << 70).width, Span(-(1 << 70), 0).width] == [70, 71, 71]


def test_sums_negations_and_multiples_are_the_least_spans_of_their_results() -> None:
    for a, b in product(SMALL, SMALL):
        assert a + b == Span.of(x + y for x in values(a) for y in values(b))
    for a in SMALL:
        assert -a == Span.of(-x for x in values(a))
        for factor in (-3, -1, 0, 1, 4):
            assert a.scaled(factor) == Span.of(factor * x for x in values(a))


def test_a_union_is_the_least_span_of_both() -> None:
    for a, b in product(SMALL, SMALL):
        both = {*values(a), *values(b)}
        assert a.union(b) == union([a, b]) == Span.of(both)
        assert a.holds(b) == (set(values(b)) <= set(values(a)))


def test_membership_and_size_count_both_ends() -> None:
    span = Span(-2, 3)
    assert [v for v in range(-9, 9) if v in span] == [-2, -1, 0, 1, 2, 3]
    assert span.size == 6
    assert str(span) == "-2..3"


def test_an_empty_span_is_refused() -> None:
    with pytest.raises(ValueError, match=r"empty span 1\.\.0"):
        Span(1, 0)
