"""COMQ: one weight after the other takes the level that is best while all others stay."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from qcompile.ir.model import Reals
from qcompile.quantize.rounding.problem import Problem

_SWEEPS = 20
"""Passes over all weights at most; it settles after four to eight."""


def comq(problem: Problem, start: Reals | None = None) -> Reals:
    """Reachable weights [groups, rows, in] that no change of a single one improves (or those after `_SWEEPS`)."""
    chosen = problem.nearest(problem.weights) if start is None else start
    for better in descent(problem, chosen):
        chosen = better
    return chosen


def descent(problem: Problem, start: Reals) -> Iterator[Reals]:
    """The levels after each pass, until nothing changes. No row's error ever grows.

    Aozhong Zhang et al., "COMQ: A Backpropagation-Free Algorithm for Post-Training Quantization", 2024: the error
    is a parabola in each weight, so the best level is the one nearest to its minimum. Inputs that matter most
    come first.
    """
    curvature = np.einsum("gii->gi", problem.moments)
    magnitude = np.abs(problem.weights).mean(axis=1)
    order = np.argsort(-curvature.mean(axis=0) * magnitude.mean(axis=0), kind="stable")
    order = order[curvature.max(axis=0)[order] > 0]
    safe = np.where(curvature > 0, curvature, 1.0)
    chosen = start.copy()
    slope = (chosen - problem.weights) @ problem.moments
    for _ in range(_SWEEPS):
        changed = False
        for i in order:
            best = problem.nearest(chosen[:, :, i] - slope[:, :, i] / safe[:, i, None], i)
            # Of two equally good levels the present one: a tie must not keep the descent busy.
            step = best - chosen[:, :, i]
            gain = -step * (2 * slope[:, :, i] + curvature[:, i, None] * step)
            step[gain <= 1e-12 * np.abs(step * slope[:, :, i])] = 0.0
            if step.any():
                changed = True
                chosen[:, :, i] += step
                slope += step[:, :, None] * problem.moments[:, None, i, :]
        yield chosen.copy()
        if not changed:
            return
