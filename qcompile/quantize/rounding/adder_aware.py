"""Adder-aware rounding: of the roundings that are accurate enough, one with few signed digits, thus few adders."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from qcompile.ir.model import Reals
from qcompile.quantize.rounding.problem import Problem

_NEAR = 6
"""Levels on either side of the best one that a weight may take."""
_SWEEPS = 4
_HALVINGS = 12


def fewer_digits(problem: Problem, start: Reals, slack: float) -> Reals:
    """Reachable weights [groups, rows, in] with at most ``1 + slack`` times the error of ``start``, all rows together.

    Coordinate descent, as in `comq`, on the error plus a price for every non-zero signed digit; the price is the
    highest (by bisection) that keeps the error within its budget.
    """
    digits = signed_digits(problem.levels)
    allowed = float(problem.errors(start).sum()) * (1 + slack)
    best, fewest = start, _count(problem, start, digits)
    curvature = np.einsum("gii->gi", problem.moments)
    # At the dearest price every weight gives up a digit; at the cheapest none does.
    unit = float((curvature[:, None] * problem.scale**2).mean())
    low, high = 1e-4 * unit, 10.0 * unit * float(np.abs(problem.levels).max()) ** 2
    for _ in range(_HALVINGS):
        price = float(np.sqrt(low * high))
        found = _descended(problem, start, digits, price, curvature)
        if float(problem.errors(found).sum()) > allowed:
            high = price
            continue
        low = price
        count = _count(problem, found, digits)
        if count < fewest:
            best, fewest = found, count
    return best


def signed_digits(levels: Reals) -> npt.NDArray[np.int64]:
    """Non-zero digits of each level in canonical signed form: those of m xor 3·m."""
    return np.array([(abs(int(m)) ^ 3 * abs(int(m))).bit_count() for m in levels], np.int64)


def _descended(problem: Problem, start: Reals, digits: npt.NDArray[np.int64], price: float, curvature: Reals) -> Reals:
    chosen = start.copy()
    slope = (chosen - problem.weights) @ problem.moments
    count = len(problem.levels)
    for _ in range(_SWEEPS):
        before = chosen.copy()
        for i in range(chosen.shape[2]):
            here = curvature[:, i, None]
            safe = np.where(here > 0, here, 1.0)
            target = np.where(here > 0, chosen[:, :, i] - slope[:, :, i] / safe, problem.weights[:, :, i])
            nearest = problem.index(target, i)
            near = np.clip(nearest[:, :, None] + np.arange(-_NEAR, _NEAR + 1), 0, count - 1)
            # The level of fewest digits, zero, may be further away.
            near = np.concatenate([near, np.full((*nearest.shape, 1), int(np.argmin(digits)))], axis=2)
            values = problem.levels[near] * problem.scale[:, :, i, None]
            loss = here[:, :, None] * (values - target[:, :, None]) ** 2 + price * digits[near]
            taken = np.take_along_axis(values, loss.argmin(axis=2)[:, :, None], axis=2)[:, :, 0]
            step = taken - chosen[:, :, i]
            if step.any():
                chosen[:, :, i] = taken
                slope += step[:, :, None] * problem.moments[:, None, i, :]
        if np.array_equal(before, chosen):
            break
    return chosen


def _count(problem: Problem, chosen: Reals, digits: npt.NDArray[np.int64]) -> int:
    index = np.stack([problem.index(chosen[:, :, i], i) for i in range(chosen.shape[2])], axis=2)
    return int(digits[index].sum())
