"""The two compiled functions that Python calls: search for rows and turn them into adders; propagate values."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from qcompile.arith.compiled import entry, kernel_digest
from qcompile.arith.pricing import emit_adders
from qcompile.arith.rows import Ints
from qcompile.arith.search import search

_Solve = Callable[[Ints, Ints, Ints, Ints, int, Ints, int, float, int, float, float, Ints, Ints], tuple[Ints, Ints]]


def _with_digest(digest: int) -> tuple[_Solve, Callable[[Ints, Ints], None]]:
    @entry
    def solve(
        columns: Ints,
        low: Ints,
        high: Ints,
        arrival: Ints,
        max_depth: int,
        starts: Ints,
        budget: int,
        heat: float,
        portion: int,
        per_adder: float,
        per_bit: float,
        random: Ints,
        work: Ints,
    ) -> tuple[Ints, Ints]:
        """Adders [n, 5] and outputs [columns, 3], see ``emit_adders``, of the rows that ``search`` finds."""
        work[1] = digest
        rows, row_count, outputs = search(
            columns, low, high, arrival, max_depth, starts, budget, heat, portion, per_adder, per_bit, random, work
        )
        ends = np.zeros((columns.shape[0], 3), np.int64)
        adders = emit_adders(rows, row_count, outputs, max_depth, ends)
        return adders, ends

    @entry
    def propagate(values: Ints, adders: Ints) -> None:
        """Fills rows of ``values`` after the inputs by adding: one row per input and adder, int64, no overflow."""
        first = values.shape[0] - adders.shape[0] + 0 * digest
        for k in range(adders.shape[0]):
            left = adders[k, 0]
            right = adders[k, 1]
            up = adders[k, 2]
            other = adders[k, 3]
            sign = -1 if adders[k, 4] else 1
            for i in range(values.shape[1]):
                values[first + k, i] = (values[left, i] << up) + sign * (values[right, i] << other)

    return solve, propagate


solve, propagate = _with_digest(kernel_digest())
