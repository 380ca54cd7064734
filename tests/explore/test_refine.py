"""Refining an allocation: what is measured decides where losses do not add up."""

from __future__ import annotations

from itertools import product
from typing import Any, cast

import numpy as np
import pytest

from qcompile.explore.evaluation import Evaluation
from qcompile.explore.neighbours import foretold, steps
from qcompile.explore.refine import around, refined
from qcompile.explore.solve import Program, Solution, solve
from qcompile.explore.structure import Site

WEIGHTS, ACTIVATIONS = 4, 3
NAMES, TENSORS = ("a", "b", "c"), (0, 1)


class Interacting:
    """Mistakes of three layers and two tensors that partly cancel; costs that the program misses by some percent."""

    def __init__(self, seed: int) -> None:
        random = np.random.default_rng(seed)
        self.mistakes = {key: self._falling(random, WEIGHTS) for key in NAMES}
        self.mistakes |= {key: self._falling(random, ACTIVATIONS) for key in TENSORS}
        chain = [Site("input", frozenset(), 0, (), 0)]
        chain += [Site(n, frozenset(), t, (r,), 10) for n, t, r in (("a", 1, 0), ("b", 1, 1), ("c", None, 1))]
        cost = {
            name: {(w, a): float((w + 2) * (a + 3) * scale) for w in range(WEIGHTS) for a in range(ACTIVATIONS)}
            for name, scale in zip(NAMES, random.integers(5, 20, 3), strict=True)
        }
        self.wrong_by = {name: float(random.uniform(0.96, 1.04)) for name in NAMES}
        widest = dict.fromkeys(NAMES, WEIGHTS - 1), dict.fromkeys(TENSORS, ACTIVATIONS - 1)

        def alone(key: str | int, index: int) -> float:
            weights, tensors = ({**held} for held in widest)
            held = cast("dict[Any, int]", weights if key in NAMES else tensors)
            held[key] = index
            return self.error(Solution(weights, tensors)) - self.error(Solution(*widest))

        self.program = Program(
            chain,
            {n: [alone(n, w) for w in range(WEIGHTS)] for n in NAMES},
            {t: [alone(t, a) for a in range(ACTIVATIONS)] for t in TENSORS},
            cost,
            {},
            7.0,
        )
        self.measured: set[Solution] = set()

    @staticmethod
    def _falling(random: np.random.Generator, count: int) -> list[np.ndarray]:
        return [random.normal(size=8) * 2.0**-index for index in range(count)]

    def error(self, solution: Solution) -> float:
        held: dict[Any, int] = {**solution.weights, **solution.tensors}
        if hasattr(self, "measured"):
            self.measured.add(solution)
        return float(np.square(sum(self.mistakes[key][index] for key, index in held.items())).sum())

    def cost(self, solution: Solution) -> float:
        program = self.program
        found = program.fixed
        for site in program.sites[1:]:
            choice = solution.weights[site.name], solution.tensors[site.reads[0]]
            found += program.cost[site.name][choice] * self.wrong_by[site.name]
        return found

    def built(self, solution: Solution) -> tuple[Solution, float, float]:
        return solution, self.error(solution), self.cost(solution)

    def every(self) -> list[Solution]:
        weights = product(range(WEIGHTS), repeat=len(NAMES))
        tensors = list(product(range(ACTIVATIONS), repeat=len(TENSORS)))
        return [
            Solution(dict(zip(NAMES, w, strict=True)), dict(zip(TENSORS, t, strict=True)))
            for w, t in product(weights, tensors)
        ]


def start_of(given: Interacting, amount: float) -> Solution:
    """The dearest that the program's own losses choose and that really fits."""
    solutions = (solve(given.program, amount * margin) for margin in (1.0, 0.95, 0.9, 0.8))
    return next(one for one in solutions if one is not None and given.cost(one) <= amount)


@pytest.mark.parametrize("seed", range(8))
def test_refining_keeps_the_budget_never_loses_and_ends_among_the_best(seed: int) -> None:
    given = Interacting(seed)
    costs = sorted(given.cost(one) for one in given.every())
    for amount in (costs[len(costs) // 4], costs[len(costs) // 2]):
        start = start_of(given, amount)
        shown: list[float] = []
        _, error, cost = cast(Any, refined(cast(Evaluation, given), given.program, start, amount, shown.append))
        assert cost <= amount
        assert error <= given.error(start)
        within = [given.error(one) for one in given.every() if given.cost(one) <= amount]
        assert sum(other < error for other in within) < len(within) / 10
        assert shown == sorted(shown) and shown[-1] <= 1


def test_refining_mostly_ends_at_the_best_of_all_where_the_program_alone_hardly_ever_does() -> None:
    at_best = alone = 0
    for seed in range(8):
        given = Interacting(seed)
        amount = sorted(given.cost(one) for one in given.every())[144]
        start = start_of(given, amount)
        _, error, _ = cast(Any, refined(cast(Evaluation, given), given.program, start, amount, lambda done: None))
        best = min(given.error(one) for one in given.every() if given.cost(one) <= amount)
        at_best += error == best
        alone += given.error(start) == best
    assert at_best >= 6
    assert alone <= 2


def test_of_what_is_around_only_a_part_is_measured() -> None:
    given = Interacting(1)
    amount = sorted(given.cost(one) for one in given.every())[200]
    given.measured.clear()
    refined(cast(Evaluation, given), given.program, start_of(given, amount), amount, lambda done: None)
    assert len(given.measured) < len(given.every()) / 2


@pytest.mark.parametrize("seed", range(3))
def test_around_an_allocation_the_program_foretells_what_is_measured_one_step_from_it(seed: int) -> None:
    given = Interacting(seed)
    held = given.every()[100 + 37 * seed]
    here = around(cast(Evaluation, given), given.program, held)
    assert foretold(here, held).loss == 0
    changes = [one for _, one in steps(given.program, held)]
    assert len(changes) >= len(NAMES) + len(TENSORS)
    for one in changes:
        assert foretold(here, one).loss == pytest.approx(given.error(one) - given.error(held), rel=1e-9)
