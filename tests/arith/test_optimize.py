"""The adder graph is the matrix, exactly."""

from __future__ import annotations

import numpy as np
import pytest

from qcompile.arith import optimize


@pytest.mark.parametrize("bits", [2, 4, 8])
@pytest.mark.parametrize("shape", [(1, 1), (3, 5), (8, 8), (16, 4)])
def test_evaluate_equals_the_matrix_product(shape: tuple[int, int], bits: int) -> None:
    rng = np.random.default_rng(bits)
    matrix = rng.integers(-(1 << (bits - 1)), 1 << (bits - 1), shape)
    graph = optimize(matrix, [(-128, 127)] * shape[0])
    x = rng.integers(-128, 128, (50, shape[0]))
    assert np.array_equal(graph.evaluate(x), x @ matrix)


def test_a_zero_column_is_the_constant_zero() -> None:
    graph = optimize(np.array([[0, 3], [0, -5]]), [(0, 7), (-4, 3)])
    assert graph.outputs[0].source is None
    assert np.array_equal(graph.coefficients(), [[0, 3], [0, -5]])
