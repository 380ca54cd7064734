"""The two compiled functions that the optimizer calls: search for rows and make adders of them; propagate values."""

from __future__ import annotations

from typing import Any

import numpy as np

from qcompile.arith.compiled import entry
from qcompile.arith.pricing import emit_adders
from qcompile.arith.rows import Ints
from qcompile.arith.search import Plan, Problem, search


@entry
def solve(problem: Problem, plan: Plan, random: Ints) -> tuple[Ints, Ints]:
    """Adders [n, 5] and outputs [columns, 3], see ``emit_adders``, of the rows that ``search`` finds."""
    rows, row_count, outputs = search(problem, plan, random, np.zeros(1, np.int64))
    ends = np.empty((outputs.source.shape[0], 3), np.int64)
    adders = emit_adders(rows, row_count, outputs, problem.max_depth, ends)
    return adders, ends


@entry
def propagate(values: Ints, adders: Ints) -> None:
    """Fills rows of ``values`` after the inputs by adding: one row per input and adder, int64, no overflow."""
    first = values.shape[0] - adders.shape[0]
    for k in range(adders.shape[0]):
        left = adders[k, 0]
        right = adders[k, 1]
        up = adders[k, 2]
        other = adders[k, 3]
        sign = -1 if adders[k, 4] else 1
        for i in range(values.shape[1]):
            values[first + k, i] = (values[left, i] << up) + sign * (values[right, i] << other)


def kernels_ready() -> bool:
    """Whether the optimizer is compiled, in this process or on disk; if not, its first call takes half a minute."""
    kernel: Any = solve
    return bool(kernel.signatures) or kernel._cache.ready()
