"""Values of adders, compiled; whether the optimizer's compiled functions are ready."""

from __future__ import annotations

from qcompile.arith.compiled import entry, ready
from qcompile.arith.rows import Ints
from qcompile.arith.search import search


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
    """Whether the optimizer is compiled, in this process or on disk; if not, its first call takes a while."""
    return ready(search)
