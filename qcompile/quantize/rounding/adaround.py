"""AdaRound: whether each weight goes up or down is learned, by gradient descent on a soft choice."""

from __future__ import annotations

import numpy as np

from qcompile.ir.model import Reals
from qcompile.quantize.rounding.problem import Problem

_STEPS = 600
_RATE = 0.02
_WARM = 0.2
"""The share of the steps before choices are pressed to become hard."""
_SHARPNESS = (20.0, 2.0)
_PRESSURE = 5.0
_STRETCH = (-0.1, 1.1)


def adaround(problem: Problem) -> Reals:
    """Reachable weights [groups, rows, in], each one of the two next to its weight.

    Markus Nagel et al., "Up or Down? Adaptive Rounding for Post-Training Quantization", ICML 2020, section 3.3:
    rectified sigmoids, Adam, and an annealed regularizer that drives every choice to 0 or 1. The loss is the
    layer's own quadratic error, so that its gradient is one matrix product and no samples are needed.
    """
    above = np.searchsorted(problem.levels, problem.weights / problem.scale, side="right")
    above = np.clip(above, 1, len(problem.levels) - 1)
    low, high = problem.levels[above - 1] * problem.scale, problem.levels[above] * problem.scale
    gap = high - low
    start, end = _STRETCH
    part = np.clip((problem.weights - low) / gap, 0.01, 0.99)
    soft = (part - start) / (end - start)
    logit = np.log(soft / (1 - soft))
    # In units of the error of rounding to the nearest, so that one pressure suits every layer.
    reference = problem.errors(problem.nearest(problem.weights))[:, :, None]
    unit = np.where(reference > 0, reference, 1.0) / problem.weights.shape[2]
    first, second = np.zeros_like(logit), np.zeros_like(logit)
    for step in range(1, _STEPS + 1):
        sigmoid = 1 / (1 + np.exp(-logit))
        stretched = sigmoid * (end - start) + start
        up = np.clip(stretched, 0.0, 1.0)
        gradient = 2 * gap * ((low + gap * up - problem.weights) @ problem.moments) / unit
        done = step / _STEPS
        if done > _WARM:
            beta = _SHARPNESS[0] + (_SHARPNESS[1] - _SHARPNESS[0]) * (done - _WARM) / (1 - _WARM)
            off = 2 * up - 1
            gradient -= _PRESSURE * 2 * beta * np.sign(off) * np.abs(off) ** (beta - 1)
        gradient *= ((stretched > 0) & (stretched < 1)) * sigmoid * (1 - sigmoid) * (end - start)
        first += 0.1 * (gradient - first)
        second += 0.001 * (gradient**2 - second)
        logit -= _RATE * first / (1 - 0.9**step) / (np.sqrt(second / (1 - 0.999**step)) + 1e-8)
    chosen: Reals = np.where(logit > 0, high, low)
    return chosen
