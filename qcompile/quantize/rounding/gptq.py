"""GPTQ: weights are rounded one input after the other, and those that are left make up for each mistake."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from qcompile.ir.model import Reals
from qcompile.quantize.rounding.problem import Problem


def gptq(problem: Problem) -> Reals:
    """Reachable weights [groups, rows, in], inputs with the largest second moment rounded first.

    Elias Frantar et al., "GPTQ: Accurate Post-Training Quantization for Generative Pre-trained Transformers",
    ICLR 2023, section 3, for levels at any distance from each other.
    """
    groups, _, width = problem.weights.shape
    order = np.argsort(-np.einsum("gii->gi", problem.moments), axis=1, kind="stable")
    every = np.arange(groups)[:, None, None]
    moments = problem.damped[every, order[:, :, None], order[:, None, :]]
    # Row i of the transposed factor: how a mistake at input i is spread over the inputs behind it.
    spread = np.linalg.cholesky(np.linalg.inv(moments)).transpose(0, 2, 1)
    left = np.take_along_axis(problem.weights, order[:, None, :], axis=2)
    sorted_problem = replace(problem, scale=np.take_along_axis(problem.scale, order[:, None, :], axis=2))
    chosen = np.empty_like(left)
    for i in range(width):
        chosen[:, :, i] = sorted_problem.nearest(left[:, :, i], i)
        mistake = (left[:, :, i] - chosen[:, :, i]) / spread[:, i, i, None]
        left[:, :, i:] -= mistake[:, :, None] * spread[:, None, i, i:]
    found = np.empty_like(chosen)
    np.put_along_axis(found, np.broadcast_to(order[:, None, :], found.shape), chosen, axis=2)
    return found
