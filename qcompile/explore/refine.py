"""From an allocation to better ones: losses are measured again around it, and what they promise is tried."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import islice

from qcompile.explore.evaluation import Evaluation, Measured
from qcompile.explore.neighbours import foretold, neighbours, steps
from qcompile.explore.solve import Program, Solution, solve

_ROUNDS, _TRIES = 8, 16
"""Of the allocations that look best from where the search is, so many are measured, for so many rounds."""
_MARGINS = (1.02, 1.0, 0.98, 0.95)
"""Budgets of which the program is solved: its sums are not what the whole design takes exactly."""


def refined(
    evaluation: Evaluation, program: Program, start: Solution, amount: float, progress: Callable[[float], None]
) -> Measured:
    """``start``, whose cost is within ``amount``, or an allocation within it whose measured error is less.

    Losses do not add up, least of all at few bits: what one layer's mistake costs depends on the others'. So each
    round measures every change of one format by one step from where the search is, solves the program with these
    losses, and measures what that finds, and the neighbours of which it foretells least. It ends where nothing is
    better.
    """
    best = start
    tried = {start}
    for number in range(_ROUNDS):
        single = [one for _, one in steps(program, best)]
        _measure(evaluation, single, progress, number / _ROUNDS)
        tried |= set(single)
        here = around(evaluation, program, best)
        offset = foretold(here, best).cost - evaluation.built(best)[2]
        proposed = (one for one in _promising(here, best, amount, offset) if one not in tried)
        chosen = list(islice(proposed, _TRIES))
        _measure(evaluation, chosen, progress, (number + 0.5) / _ROUNDS)
        tried |= set(chosen)
        better = [one for one in (*single, *chosen) if evaluation.error(one) < evaluation.error(best)]
        near = (one for one in better if foretold(here, one).cost - offset <= amount * _MARGINS[0])
        built = (one for one in sorted(near, key=evaluation.error) if evaluation.built(one)[2] <= amount)
        found = next(built, None)
        if found is None:
            break
        best = found
    return evaluation.built(best)


def _measure(
    evaluation: Evaluation, solutions: list[Solution], progress: Callable[[float], None], begun: float
) -> None:
    for index, one in enumerate(solutions, 1):
        evaluation.error(one)
        progress(begun + index / len(solutions) / (2 * _ROUNDS))


def around(evaluation: Evaluation, program: Program, held: Solution) -> Program:
    """``program`` with losses less those of ``held``: measured one step from there, beyond that as before."""
    base = evaluation.error(held)
    measured = {
        (kind, key, dict(getattr(one, kind))[key]): evaluation.error(one) - base
        for (kind, key), one in steps(program, held)
    }

    def moved(kind: str, key: str | int, index: int, losses: list[float]) -> list[float]:
        found = []
        for other, loss in enumerate(losses):
            nearest = max(index - 1, min(index + 1, other))
            found.append(measured.get((kind, key, nearest), 0.0) + loss - losses[nearest])
        return found

    return replace(
        program,
        loss_of_weights={n: moved("weights", n, held.weights[n], own) for n, own in program.loss_of_weights.items()},
        loss_of_tensors={t: moved("tensors", t, held.tensors[t], own) for t, own in program.loss_of_tensors.items()},
    )


def _promising(program: Program, start: Solution, amount: float, offset: float) -> Iterator[Solution]:
    """The program's solutions for about ``amount``, then what is next to ``start``; the least foretold loss first.

    ``offset``: what the program's cost is more than the real one at ``start``.
    """
    for margin in _MARGINS:
        found = solve(program, amount * margin + offset)
        if found is not None:
            yield found
    for one in neighbours(program, start):
        if one.cost - offset <= amount * _MARGINS[0]:
            yield one
