"""Scalar functions: their inversion into thresholds against brute force, and the exact chain of steps."""

from __future__ import annotations

import random
from fractions import Fraction
from itertools import pairwise

import pytest

from qcompile.numerics.function import (
    Affine,
    Clamp,
    Curve,
    Leaky,
    ScalarFunction,
    Step,
    append_step,
    direction,
    evaluate_steps,
)
from qcompile.numerics.quantizer import Quantizer
from qcompile.numerics.rounding import Rounding
from qcompile.numerics.span import Span

DOMAINS = [Span(-40, 40), Span(3, 90), Span(-70, -5), Span(0, 0)]


def random_function(seed: int, monotone: bool = True) -> ScalarFunction:
    """A chain of up to four steps on two channels; slopes of any sign, ties likely."""
    chosen = random.Random(seed)

    def ratio(low: int, high: int) -> Fraction:
        return Fraction(chosen.randint(low, high), chosen.choice((1, 2, 4, 3, 8)))

    def step() -> Step:
        match chosen.randrange(4):
            case 0 | 1:
                scale = tuple(ratio(-6, 6) for _ in range(2))
                return Affine(scale, (ratio(-9, 9),))
            case 2:
                low = chosen.choice((None, ratio(-12, 3)))
                high = chosen.choice((None, ratio(4, 12)))
                return Clamp(low, high)
        return Leaky((ratio(0 if monotone else -4, 9), ratio(0, 9)))

    steps: tuple[Step, ...] = ()
    for _ in range(chosen.randint(0, 4)):
        steps = append_step(steps, step())
    low = chosen.choice((-8, 0, -1, None))
    high = None if low is None else low + chosen.choice((1, 7, 15))
    first = chosen.random() < 0.3
    zero = Fraction(chosen.randint(-3, 3)) + (Fraction(1, 2) if first else 0)
    scale = ratio(1, 9)
    return ScalarFunction(steps, Quantizer((scale,), (zero,), low, high, chosen.choice(list(Rounding)), first))


@pytest.mark.parametrize("seed", range(120))
def test_thresholds_give_the_code_of_every_accumulator(seed: int) -> None:
    function = random_function(seed)
    for domain in DOMAINS:
        for channel in range(2):
            steps = function.thresholds(domain, channel)
            assert steps is not None
            assert list(steps.at) == sorted(steps.at) and list(steps.codes) == sorted(steps.codes)
            for value in range(domain.low, domain.high + 1):
                reached = sum(steps.sign * value >= at for at in steps.at)
                code = ([steps.bottom, *steps.codes])[reached]
                assert code == function.code(value, channel), (value, channel)


@pytest.mark.parametrize("seed", range(60))
def test_spans_hold_exactly_what_is_reached(seed: int) -> None:
    function = random_function(seed, monotone=False)
    for domain in DOMAINS:
        found = [function.code(value, 0) for value in range(domain.low, domain.high + 1)]
        assert function.span(domain, 0) == Span(min(found), max(found))


@pytest.mark.parametrize("seed", range(60))
def test_a_direction_is_only_claimed_where_it_is_kept(seed: int) -> None:
    function = random_function(seed, monotone=False)
    for channel in range(2):
        values = [evaluate_steps(function.steps, Fraction(v, 4), channel) for v in range(-200, 201)]
        rises = any(a < b for a, b in pairwise(values))
        falls = any(a > b for a, b in pairwise(values))
        match direction(function.steps, channel):
            case 1:
                assert not falls
            case -1:
                assert not rises
            case 0:
                assert not rises and not falls


def test_random_chains_cover_all_directions_and_refusals() -> None:
    found = {direction(random_function(seed, monotone=False).steps, c) for seed in range(200) for c in range(2)}
    assert found == {1, -1, 0, None}


def test_a_chain_that_bends_back_has_no_thresholds() -> None:
    bent = ScalarFunction((Leaky((Fraction(-1, 2),)),), Quantizer((Fraction(1),), low=-9, high=9))
    assert bent.thresholds(Span(-9, 9), 0) is None
    assert bent.span(Span(-9, 4), 0) == Span(0, 4)


def test_thresholds_of_a_curve_are_found_on_the_definition() -> None:
    sigmoid = ScalarFunction(
        (Affine((Fraction(1, 9),), (Fraction(0),)), Curve("sigmoid")), Quantizer((Fraction(1, 16),))
    )
    steps = sigmoid.thresholds(Span(-60, 60), 0)
    assert steps is not None
    codes = [([steps.bottom, *steps.codes])[sum(v >= at for at in steps.at)] for v in range(-60, 61)]
    assert codes == [sigmoid.code(v, 0) for v in range(-60, 61)]
    assert (codes[0], codes[60], codes[-1]) == (0, 8, 16)


def test_neighbouring_affine_chainbecome_one_and_mean_the_same() -> None:
    first = Affine((Fraction(2), Fraction(-3)), (Fraction(1),))
    second = Affine((Fraction(1, 2),), (Fraction(1), Fraction(5)))
    joined = append_step(append_step((), first), second)
    assert len(joined) == 1
    for channel in range(2):
        for value in range(-5, 6):
            wanted = second.apply(first.apply(Fraction(value), channel), channel)
            assert evaluate_steps(joined, value, channel) == wanted
    clamped = append_step((first, Clamp(None, Fraction(3))), second)
    assert len(clamped) == 3


def test_wide_accumulators_are_inverted_without_rounding() -> None:
    function = ScalarFunction(
        (Affine((Fraction(1, 3 << 60),), (Fraction(1, 7),)),), Quantizer((Fraction(1),), low=-9, high=9)
    )
    domain = Span(-(1 << 66), 1 << 66)
    steps = function.thresholds(domain, 0)
    assert steps is not None and len(steps.at) == 18
    for at, code in zip(steps.at, steps.codes, strict=True):
        assert function.code(int(at), 0) == code
        assert function.code(int(at) - 1, 0) == code - 1
