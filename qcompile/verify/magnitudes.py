"""How large the terms are that a float runtime adds up: its rounding errors are relative to them."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt

from qcompile.ir import integer
from qcompile.ir.graph import Graph
from qcompile.numerics.curves import CURVES
from qcompile.numerics.function import Affine, Clamp, Curve, Leaky, Step

Reals = npt.NDArray[np.float64]


def magnitudes(graph: Graph, values: Mapping[str, npt.NDArray[Any]]) -> dict[str, Reals]:
    """For every element of every tensor ``[samples, *shape]``, the sum of its terms' magnitudes, in its own units.

    Codes count as themselves: a runtime has no larger terms than the code's distance from the lowest code.
    """
    sizes: dict[str, Reals] = {}
    for node in graph.nodes:
        operands = [sizes[name] for name in node.inputs]
        own = np.abs(np.asarray(values[node.name], np.float64))
        match node.op:
            case integer.Conv() as op:
                sizes[node.name] = _conv(op, operands[0])
            case integer.MatMul(weights=weights):
                sizes[node.name] = operands[0] @ np.abs(weights.values).astype(np.float64)
            case integer.WeightedSum() as op:
                sizes[node.name] = sum(
                    (_floats(factors) * x for factors, x in zip(op.factors, operands, strict=True)), _floats(op.offsets)
                )
            case integer.SumPool(window=window, fill=fill):
                sizes[node.name] = window.patches(operands[0], abs(fill)).sum(axis=(3, 4))
            case integer.Reshape(shape=shape):
                sizes[node.name] = operands[0].reshape(len(own), *shape)
            case integer.Gather(order=order):
                sizes[node.name] = operands[0].reshape(len(own), -1)[:, order.values]
            case integer.Concat():
                sizes[node.name] = np.concatenate(operands, axis=-1)
            case integer.Maximum():
                sizes[node.name] = np.maximum(*operands)
            case integer.Product():
                sizes[node.name] = operands[0] * operands[1]
            case integer.Select():
                sizes[node.name] = np.maximum(*operands[1:])
            case _:
                sizes[node.name] = own
    return sizes


def step_values(steps: tuple[Step, ...], values: npt.NDArray[Any], sizes: Reals) -> tuple[Reals, Reals]:
    """Approximate real values of a chain of steps, channels last, and the magnitudes of their terms."""
    real = np.asarray(values, np.float64)
    for step in steps:
        match step:
            case Affine(scale=scale, offset=offset):
                factor, term = (np.array([float(v) for v in part]) for part in (scale, offset))
                real, sizes = real * factor + term, sizes * np.abs(factor) + np.abs(term)
            case Clamp(low=low, high=high):
                ends = (None if low is None else float(low), None if high is None else float(high))
                real = np.clip(real, *ends) if ends != (None, None) else real
            case Leaky(slope=slope):
                bend = np.array([float(v) for v in slope])
                real, sizes = np.where(real >= 0, real, bend * real), np.where(real >= 0, sizes, np.abs(bend) * sizes)
            case Curve(name=name, parameters=parameters):
                real = CURVES[name].fast(real, *map(float, parameters))
                sizes = np.maximum(sizes, np.abs(real))
    return real, sizes


def _floats(values: tuple[int, ...]) -> Reals:
    return np.abs(np.array([float(v) for v in values]))


def _conv(op: integer.Conv, size: Reals) -> Reals:
    weights = np.abs(op.weights.values).astype(np.float64)
    rows, columns, per, outs = weights.shape
    patches = op.window.patches(size, abs(op.fill))
    each = outs // op.groups
    parts = [
        patches[..., g * per : (g + 1) * per].reshape(prod(patches.shape[:3]), rows * columns * per)
        @ weights[..., g * each : (g + 1) * each].reshape(-1, each)
        for g in range(op.groups)
    ]
    return np.concatenate(parts, axis=1).reshape(*patches.shape[:3], outs)
