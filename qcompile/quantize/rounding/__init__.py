"""Which level each weight takes: to the nearest, or so that the layer's results move least."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from qcompile.ir.model import Reals
from qcompile.quantize.rounding.adaround import adaround
from qcompile.quantize.rounding.adder_aware import fewer_digits
from qcompile.quantize.rounding.comq import comq
from qcompile.quantize.rounding.gptq import gptq
from qcompile.quantize.rounding.problem import Problem

__all__ = ["ROUNDINGS", "Problem", "fewer_digits", "round_weights"]


def _nearest(problem: Problem) -> Reals:
    return problem.nearest(problem.weights)


def _gptq_comq(problem: Problem) -> Reals:
    return comq(problem, gptq(problem))


_METHODS: Mapping[str, Callable[[Problem], Reals]] = {
    "nearest": _nearest,
    "gptq": gptq,
    "comq": comq,
    "gptq+comq": _gptq_comq,
    "adaround": adaround,
}
ROUNDINGS = tuple(_METHODS)


def round_weights(problem: Problem, method: str) -> Reals:
    """Reachable weights [groups, rows, in] by one of `ROUNDINGS`; where the nearest ones serve a row better, those."""
    nearest = _nearest(problem)
    if method == "nearest":
        return nearest
    chosen = _METHODS[method](problem)
    better = problem.errors(chosen) < problem.errors(nearest)
    kept: Reals = np.where(better[:, :, None], chosen, nearest)
    return kept
