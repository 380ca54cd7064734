"""The least number of adders for small matrices, by exhaustive search: ``python tests/arith/exact_adders.py``."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from itertools import combinations_with_replacement

import numpy as np

from qcompile.arith import CostModel, optimize

Vector = tuple[int, ...]


def normal(vector: Vector) -> Vector:
    """The one of all shifts and signs of a vector that has an odd entry and a positive first one; zero is empty."""
    used = [v for v in vector if v]
    if not used:
        return ()
    joint = 0
    for v in used:
        joint |= v
    divisor = (joint & -joint) * (1 if used[0] > 0 else -1)
    return tuple(v // divisor for v in vector)


def sums(values: list[Vector], shifts: int, limit: int) -> Iterator[Vector]:
    """Every new value that one adder makes of two, entries up to ``limit``."""
    known = set(values)
    for a, b in combinations_with_replacement(values, 2):
        for up in range(-shifts, shifts + 1):
            for sign in (1, -1):
                left, right = max(-up, 0), sign << max(up, 0)
                made = normal(tuple((x << left) + y * right for x, y in zip(a, b, strict=True)))
                if made and made not in known and max(map(abs, made)) <= limit:
                    known.add(made)
                    yield made


def least_adders(matrix: np.ndarray, most: int) -> int:
    """Adders that ``x @ matrix`` cannot do without ; ``most + 1`` if ``most`` do not suffice.

    Outputs may come negated. Values on the way have entries below eight times the largest power of two in the matrix.
    """
    inputs = [tuple(int(i == k) for i in range(len(matrix))) for k in range(len(matrix))]
    wanted = {normal(tuple(int(v) for v in column)) for column in matrix.T} - {(), *inputs}
    shifts = int(np.abs(matrix).max()).bit_length() + 1
    limit = 2 << shifts

    def within(values: list[Vector], missing: frozenset[Vector], adders: int) -> bool:
        if not missing:
            return True
        if len(missing) > adders:
            return False
        for made in sums(values, shifts, limit):
            # With as many adders as outputs to make, each must make one.
            useful = len(missing) < adders or made in missing
            if useful and within([*values, made], missing - {made}, adders - 1):
                return True
        return False

    return next((n for n in range(most + 1) if within(inputs, frozenset(wanted), n)), most + 1)


def found_adders(matrix: np.ndarray, effort: int) -> int:
    """Adders that ``optimize`` takes when it counts adders; negations of outputs left out, as above."""
    graph = optimize(matrix, [(-128, 127)] * len(matrix), effort=effort, cost=CostModel(per_adder=1.0, per_bit=0.0))
    return len(graph.nodes)


def cases() -> dict[str, list[np.ndarray]]:
    """Small matrices whose optimum is quickly proved."""
    rng = np.random.default_rng(0)
    return {
        "odd constants below 256": [np.array([[c]]) for c in range(3, 256, 2)],
        "1x2, entries up to 15": [rng.integers(1, 16, (1, 2)) for _ in range(20)],
        "2x2, entries up to 3": [rng.integers(-3, 4, (2, 2)) for _ in range(20)],
        "3x3, ternary": [rng.integers(-1, 2, (3, 3)) for _ in range(20)],
    }


def main() -> int:
    for name, matrices in cases().items():
        least = sum(least_adders(matrix, 4) for matrix in matrices)
        found = [sum(found_adders(matrix, effort) for matrix in matrices) for effort in (1, 2)]
        print(f"{name}: {len(matrices)} matrices, least {least} adders, effort 1 {found[0]}, effort 2 {found[1]}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
