"""The vectors that a layer multiplies with its rows: one for each position and group, in the order of the weights."""

from __future__ import annotations

import numpy as np
import pytest

from qcompile.ir.graph import Node
from qcompile.ir.model import Conv, MatMul
from qcompile.ir.window import Window
from qcompile.quantize.calibration import mean_products, operand_count, operand_vectors

CONV = Node("conv", Conv(Window((3, 2), (2, 1), (1, 0, 1, 1)), groups=2), ("x", "w"))
MATMUL = Node("matmul", MatMul(), ("x", "w"))


@pytest.mark.parametrize("groups", [1, 2, 4])
def test_vectors_times_rows_are_the_convolution(groups: int) -> None:
    random = np.random.default_rng(groups)
    node = Node("conv", Conv(Window((3, 2), (2, 1), (1, 0, 1, 1)), groups), ("x", "w"))
    x, w = random.normal(size=(3, 1, 4, 7, 6)), random.normal(size=(1, 8, 4 // groups, 3, 2))
    vectors = operand_vectors(node, 1, x, centred=False)
    assert vectors is not None and vectors.shape[:2] == (groups, operand_count(node, 1, x))
    rows = w[0].reshape(groups, 8 // groups, -1)
    found = np.matmul(vectors, rows.transpose(0, 2, 1))  # [groups, vectors, outs]
    assert isinstance(node.op, Conv)
    wanted = node.op.evaluate(x, w).transpose(0, 1, 3, 4, 2).reshape(found.shape[1], groups, -1)
    np.testing.assert_allclose(found.transpose(1, 0, 2), wanted, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("node", "shape"), [(CONV, (3, 1, 4, 7, 6)), (MATMUL, (5, 3, 8))])
def test_centred_vectors_have_no_mean_and_leave_the_samples_as_they_are(node: Node, shape: tuple[int, ...]) -> None:
    x = np.random.default_rng(0).normal(1.0, 1.0, shape)
    before = x.copy()
    centred = operand_vectors(node, 1, x, centred=True)
    assert centred is not None
    assert np.array_equal(x, before)
    np.testing.assert_allclose(centred.mean(axis=1), 0.0, atol=1e-12)
    plain = operand_vectors(node, 1, x, centred=False)
    assert plain is not None
    mean = plain.mean(axis=1)
    second = mean_products(plain, plain) - mean[:, :, None] * mean[:, None, :]
    np.testing.assert_allclose(mean_products(centred, centred), second, rtol=1e-9, atol=1e-12)
