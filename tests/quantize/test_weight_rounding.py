"""Each way of rounding weights keeps the law that it promises, for any set of levels."""

from __future__ import annotations

from itertools import pairwise, product

import numpy as np
import pytest
from float_networks import convolutional, residual, sampled

from qcompile.errors import Collector
from qcompile.ir.model import Constant, Quantize
from qcompile.numerics.formats import Fixed, parse_format
from qcompile.quantize import QuantizeOptions, quantize
from qcompile.quantize.propagation import compensated
from qcompile.quantize.ranges import weight_scales
from qcompile.quantize.rounding import ROUNDINGS, Problem, fewer_digits, round_weights
from qcompile.quantize.rounding.adaround import adaround
from qcompile.quantize.rounding.adder_aware import signed_digits
from qcompile.quantize.rounding.comq import descent
from qcompile.quantize.rounding.gptq import gptq
from qcompile.quantize.weights import fit_weights

LEVELS = {
    "fixed": tuple(range(-3, 4)),
    "pow2": (-8, -4, -2, -1, 0, 1, 2, 4, 8),
    "dense": (-4, -2, -1, 1, 2, 4),
    "ternary": (-1, 0, 1),
}


def problem(levels: tuple[int, ...], groups: int = 2, rows: int = 5, width: int = 12, seed: int = 0) -> Problem:
    """Correlated operands that are never negative, as behind a ReLU."""
    random = np.random.default_rng(seed)
    mixed = random.normal(size=(groups, 400, width)) @ random.normal(size=(groups, width, width))
    x = np.maximum(mixed + 0.5, 0)
    weights = random.normal(0, 0.1, (groups, rows, width))
    scale = np.abs(weights).max(axis=2, keepdims=True) / max(levels) * np.ones_like(weights)
    return Problem(weights, scale, np.array(levels, np.float64), x.transpose(0, 2, 1) @ x / 400)


@pytest.mark.parametrize("name", LEVELS)
@pytest.mark.parametrize("method", ROUNDINGS)
def test_no_row_of_any_method_is_worse_than_with_the_nearest_levels(method: str, name: str) -> None:
    given = problem(LEVELS[name])
    found = round_weights(given, method)
    assert np.isin(np.rint(found / given.scale).astype(int), LEVELS[name]).all()
    assert (given.errors(found) <= given.errors(round_weights(given, "nearest"))).all()


@pytest.mark.parametrize("name", LEVELS)
@pytest.mark.parametrize("method", [gptq, adaround])
def test_methods_that_look_at_the_operands_pay_on_the_whole(method: object, name: str) -> None:
    for seed in range(3):
        given = problem(LEVELS[name], seed=seed)
        assert given.errors(method(given)).sum() < 0.95 * given.errors(given.nearest(given.weights)).sum()  # type: ignore[operator]


def test_the_error_is_that_of_the_results() -> None:
    random = np.random.default_rng(1)
    x, weights = random.normal(size=(50, 4)), random.normal(size=(3, 4))
    given = Problem(weights[None], np.ones((1, 3, 4)), np.array([-1.0, 1.0]), (x.T @ x / 50)[None])
    chosen = np.sign(weights)
    assert np.allclose(given.errors(chosen[None])[0], np.square(x @ (chosen - weights).T).mean(axis=0))


def test_equal_independent_operands_leave_nothing_to_make_up_for() -> None:
    given = problem(LEVELS["fixed"])
    alone = Problem(given.weights, given.scale, given.levels, np.stack([np.eye(12)] * 2))
    nearest = alone.nearest(alone.weights)
    for method in ROUNDINGS:
        assert np.array_equal(round_weights(alone, method), nearest), method


@pytest.mark.parametrize("name", LEVELS)
def test_coordinate_descent_never_goes_up_and_ends_where_no_single_weight_can_improve(name: str) -> None:
    given = problem(LEVELS[name], rows=3, width=6)
    steps = [given.nearest(given.weights), *descent(given, given.nearest(given.weights))]
    errors = [given.errors(step) for step in steps]
    assert all((after <= before + 1e-15).all() for before, after in pairwise(errors))
    last = steps[-1]
    for i, level in product(range(6), LEVELS[name]):
        changed = last.copy()
        changed[:, :, i] = level * given.scale[:, :, i]
        assert (given.errors(changed) >= errors[-1] * (1 - 1e-9)).all()


def test_descent_finds_the_best_of_all_where_there_are_two_inputs() -> None:
    given = problem((-1, 0, 1), groups=1, rows=20, width=2, seed=4)
    found = given.errors(round_weights(given, "gptq+comq"))[0]
    every = [
        given.errors(np.array(levels) * given.scale * np.ones_like(given.weights))[0]
        for levels in product((-1, 0, 1), repeat=2)
    ]
    assert (found <= np.median(every, axis=0)).all()
    assert (found <= np.min(every, axis=0) * (1 + 1e-9)).mean() >= 0.8


def test_an_operand_that_is_always_zero_costs_nothing_and_breaks_nothing() -> None:
    given = problem(LEVELS["fixed"])
    moments = given.moments.copy()
    moments[:, 3], moments[:, :, 3] = 0, 0
    dead = Problem(given.weights, given.scale, given.levels, moments)
    for method in ROUNDINGS:
        assert np.isfinite(round_weights(dead, method)).all()
    silent = Problem(given.weights, given.scale, given.levels, 0 * moments)
    for method in ROUNDINGS:
        assert np.array_equal(round_weights(silent, method), silent.nearest(silent.weights))


@pytest.mark.parametrize("scales", ["pow2", "free", "dyadic"])
def test_scales_are_only_changed_where_the_results_get_better(scales: str) -> None:
    given = problem(LEVELS["fixed"])
    weights = given.weights.reshape(10, 12)
    first = weight_scales(weights, Fixed(3, narrow=True), "output", scales, False, given.moments)
    quantizer = Fixed(3, narrow=True).quantizer(first)

    def error(values: np.ndarray) -> np.ndarray:
        return given.errors(values.reshape(given.weights.shape)).reshape(-1)

    kept, same = fit_weights(weights, 0, quantizer, given.moments, "comq", None)
    moved, changed = fit_weights(weights, 0, quantizer, given.moments, "comq", scales)
    assert same == quantizer
    assert (error(moved) <= error(kept)).all()
    assert np.array_equal(changed.values(changed.codes(moved, 0), 0), moved)


@pytest.mark.parametrize("slack", [0.01, 0.1, 0.5])
@pytest.mark.parametrize("name", ["fixed", "wide", "minifloat"])
def test_digits_are_saved_within_the_error_that_is_allowed(name: str, slack: float) -> None:
    levels = {"fixed": LEVELS["fixed"], "wide": tuple(range(-31, 32)), "minifloat": (-12, -8, -6, -4, -3, -2, -1, 0, 1)}
    given = problem(levels[name])
    start = round_weights(given, "comq")
    found = fewer_digits(given, start, slack)
    assert given.errors(found).sum() <= given.errors(start).sum() * (1 + slack)
    digits = dict(zip(levels[name], signed_digits(given.levels), strict=True))
    before, after = (
        sum(digits[code] for code in np.rint(chosen / given.scale).astype(int).ravel()) for chosen in (start, found)
    )
    assert after <= before
    if slack == 0.5:
        assert after < 0.95 * before


def test_signed_digits_are_the_fewest() -> None:
    fewest = {0: 0}
    for count in range(1, 5):
        for value in list(fewest):
            for power in range(9):
                for sign in (1, -1):
                    fewest.setdefault(value + sign * (1 << power), count)
    assert list(signed_digits(np.arange(-127, 128))) == [fewest[m] for m in range(-127, 128)]


def test_compensation_recovers_a_gain_that_rounding_took() -> None:
    random = np.random.default_rng(2)
    real = random.normal(size=(500, 6))
    rows = random.normal(size=(4, 6))
    halved = real / 2
    moments, cross = (halved.T @ halved)[None] / 500, (real.T @ halved)[None] / 500
    assert np.allclose(compensated(rows, moments, cross, 1.0, 500), 2 * rows, rtol=0.05)
    assert np.array_equal(compensated(rows, moments, cross, 0.0, 500), rows)


def test_compensated_weights_serve_rounded_operands_better() -> None:
    random = np.random.default_rng(3)
    real = np.maximum(random.normal(size=(2000, 6)) @ random.normal(size=(6, 6)), 0)
    rounded = np.clip(np.rint(real / 2) * 2, 0, 6)
    rows = random.normal(size=(4, 6))
    moments, cross = (rounded.T @ rounded)[None] / 2000, (real.T @ rounded)[None] / 2000
    errors = [
        float(np.square(real @ rows.T - rounded @ compensated(rows, moments, cross, share, 2000).T).mean())
        for share in (0.0, 0.5, 1.0)
    ]
    assert errors[0] > errors[1] > errors[2]


@pytest.mark.parametrize("network", [convolutional, residual])
@pytest.mark.parametrize("weights", ["fixed:3", "pow2:3", "minifloat:e2m1", "ternary"])
def test_every_method_takes_every_format_to_its_grid(network: object, weights: str) -> None:
    graph = network()  # type: ignore[operator]
    x = sampled(graph)
    for method in ROUNDINGS:
        options = QuantizeOptions(
            weights=parse_format(weights, ""), weight_rounding=method, propagate=0.5, equalize=True, smooth=0.5
        )
        made = quantize(graph, x, options, Collector())
        assert made == quantize(graph, x, options, Collector())
        for node in made.nodes:
            held = made.by_name[node.inputs[0]].op if isinstance(node.op, Quantize) else None
            if isinstance(held, Constant) and node.op.quantizer.span is not None and method != "nearest":
                q, axis = node.op.quantizer, node.op.axis
                assert np.array_equal(q.values(q.codes(held.value.values, axis), axis), held.value.values)


def test_few_bits_get_every_method_by_default_and_what_was_chosen_stays() -> None:
    four = QuantizeOptions(activations=parse_format("fixed:4", ""))
    methods = [(o.weight_rounding, o.smooth, o.propagate) for o in (four.settled(8), four.settled(0))]
    assert methods == [("gptq+comq", 1.0, 1.0), ("nearest", 0.0, 0.0)]
    assert QuantizeOptions().settled(8).weight_rounding == "nearest"
    chosen = QuantizeOptions(weights=parse_format("fixed:3", ""), weight_rounding="nearest", smooth=0.0, propagate=0.5)
    assert chosen.settled(8) == chosen
