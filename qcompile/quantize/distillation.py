"""Samples made from batch normalization alone: inputs whose activations have the statistics that training saw."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from qcompile.errors import fail
from qcompile.frontend.imported import Statistics
from qcompile.ir.graph import Graph, Node
from qcompile.ir.model import (
    Add,
    AveragePool,
    Clip,
    Constant,
    Conv,
    Div,
    Input,
    LeakyRelu,
    MatMul,
    MaxPool,
    ModelOp,
    Mul,
    Reals,
    Reshape,
    Transpose,
)
from qcompile.ir.model.base import aligned
from qcompile.ir.window import Window

_COUNT = 32
_STEPS = 80
_RATE = 0.1
"""Of Adam, in units of a quarter of the input's range."""


def distill(graph: Graph, statistics: Mapping[str, Statistics], low: float, high: float) -> Reals:
    """Samples [n, *input shape] between ``low`` and ``high``, deterministic.

    By gradient descent on the inputs of a float network with one input, ``statistics`` being those of its nodes.
    Yaohui Cai et al., "ZeroQ: A Novel Zero Shot Quantization Framework", CVPR 2020, section 3.2. QC210 where the
    network has no statistics, or something between them and the input has no gradient here.
    """
    inputs = [node for node in graph.nodes if isinstance(node.op, Input)]
    used = {name: held for name, held in statistics.items() if name in graph.by_name and held.deviation.any()}
    if not used or len(inputs) != 1:
        found = "the network has no batch normalization of its own" if not used else f"it has {len(inputs)} inputs"
        raise fail("QC210", graph.name, found, "give real samples with --calibrate")
    (source,) = inputs
    assert isinstance(source.op, Input)
    part = Graph(graph.level, graph.name, graph.nodes, tuple(used)).without_dead_nodes()
    unit = (high - low) / 4
    x = np.random.default_rng(0).uniform(low, high, (_COUNT, *source.op.shape))
    first, second = np.zeros_like(x), np.zeros_like(x)
    for step in range(1, _STEPS + 1):
        gradient = mismatch(part, source.name, x, used)[1] * unit
        first += 0.1 * (gradient - first)
        second += 0.001 * (gradient**2 - second)
        rate = _RATE * unit * (1 - (step - 1) / _STEPS)
        x = x - rate * first / (1 - 0.9**step) / (np.sqrt(second / (1 - 0.999**step)) + 1e-12)
        x = np.clip(x, low, high)
    return x


def mismatch(graph: Graph, source: str, x: Reals, statistics: Mapping[str, Statistics]) -> tuple[float, Reals]:
    """How far the statistics are from those wanted, in units of the deviations squared; and the gradient in ``x``."""
    values: dict[str, Reals] = {}
    for node in graph.nodes:
        assert isinstance(node.op, ModelOp)
        values[node.name] = x if node.name == source else node.op.evaluate(*(values[name] for name in node.inputs))
    total = 0.0
    slopes: dict[str, Reals] = {}
    for node in reversed(graph.nodes):
        if node.name in statistics:
            loss, slope = _statistics_loss(values[node.name], statistics[node.name])
            total += loss
            slopes[node.name] = slopes.get(node.name, 0.0) + slope
        if node.name not in slopes or node.name == source:
            continue
        for name, slope in _backward(graph, node, slopes.pop(node.name), values):
            slopes[name] = slopes.get(name, 0.0) + slope
    return total, slopes[source]


def _statistics_loss(value: Reals, wanted: Statistics) -> tuple[float, Reals]:
    axes = tuple(a for a in range(value.ndim) if a != 2)
    shape = [1, 1, -1] + [1] * (value.ndim - 3)
    weight = np.where(wanted.deviation > 0, 1 / np.maximum(wanted.deviation, 1e-12) ** 2, 0.0) / len(wanted.mean)
    mean, deviation = value.mean(axis=axes), np.maximum(value.std(axis=axes), 1e-12)
    off, wide = mean - wanted.mean, deviation - wanted.deviation
    count = value.size / len(mean)
    centred = value - mean.reshape(shape)
    slope = (2 * weight * off).reshape(shape) + (2 * weight * wide / deviation).reshape(shape) * centred
    return float((weight * (off**2 + wide**2)).sum()), slope / count


def _backward(graph: Graph, node: Node, slope: Reals, values: Mapping[str, Reals]) -> list[tuple[str, Reals]]:
    """The slope with respect to each operand that is not a constant."""
    computed = [name for name in node.inputs if not isinstance(graph.by_name[name].op, Constant)]
    if not computed:
        return []
    name = computed[0]
    x = values[name]
    match node.op:
        case Add():
            return [(other, _summed(slope, values[other].shape)) for other in computed]
        case Mul() | Div() if len(computed) == 1:
            other = values[node.inputs[1] if node.inputs[0] == name else node.inputs[0]]
            if isinstance(node.op, Div) and node.inputs[1] == name:
                return _without_gradient(node)
            return [(name, _summed(slope / other if isinstance(node.op, Div) else slope * other, x.shape))]
        case Clip(low=low, high=high):
            inside = (x > (-np.inf if low is None else float(low))) & (x < (np.inf if high is None else float(high)))
            return [(name, slope * inside)]
        case LeakyRelu():
            return [(name, slope * np.where(x < 0, aligned(x, values[node.inputs[1]])[1], 1.0))]
        case Conv(window=window, groups=groups) if name == node.inputs[0]:
            return [(name, _through_conv(window, groups, slope, values[node.inputs[1]][0], x))]
        case MatMul() if name == node.inputs[0] and values[node.inputs[1]].ndim == 3:
            return [(name, slope @ values[node.inputs[1]][0].T)]
        case MaxPool(window=window):
            value = values[node.name]
            return [(name, _spread(window, x, lambda seen: slope * (seen == value), -np.inf))]
        case AveragePool(window=window, count_pads=count_pads):
            covered = window.positions_covered(*x.shape[3:])
            share = slope / (np.prod(window.kernel) if count_pads else covered)
            return [(name, _spread(window, x, lambda seen: share, 0.0))]
        case Reshape():
            return [(name, slope.reshape(x.shape))]
        case Transpose(axes=axes):
            back = np.argsort([0, *(axis + 1 for axis in axes)])
            return [(name, slope.transpose(tuple(back)))]
    return _without_gradient(node)


def _without_gradient(node: Node) -> list[tuple[str, Reals]]:
    where = node.origin[0] if node.origin else node.name
    raise fail("QC210", where, f"{node.op.mnemonic} has no gradient here", "give real samples with --calibrate")


def _summed(slope: Reals, shape: tuple[int, ...]) -> Reals:
    """``slope`` summed over the axes along which an operand of ``shape`` was repeated."""
    full = (shape[0], *[1] * (slope.ndim - len(shape)), *shape[1:])
    axes = tuple(a for a in range(1, slope.ndim) if full[a] == 1 and slope.shape[a] != 1)
    return slope.sum(axis=axes, keepdims=True).reshape(shape)


def _through_conv(window: Window, groups: int, slope: Reals, weights: Reals, x: Reals) -> Reals:
    per = weights.shape[0] // groups
    grouped = slope.reshape(*slope.shape[:2], groups, per, *slope.shape[3:])
    kernel = weights.reshape(groups, per, *weights.shape[1:])
    result = _Padded(window, x)
    for row in range(window.kernel[0]):
        for column in range(window.kernel[1]):
            part = np.einsum("sngohw,goi->sngihw", grouped, kernel[..., row, column], optimize=True)
            result.add(row, column, part.reshape(*slope.shape[:2], -1, *slope.shape[3:]))
    return result.inner


def _spread(window: Window, x: Reals, share: Callable[[Reals], Reals], fill: float) -> Reals:
    """What each position of the window gives back to the elements it covers."""
    result, seen = _Padded(window, x), _Padded(window, x, fill)
    seen.inner[...] = x
    for row in range(window.kernel[0]):
        for column in range(window.kernel[1]):
            result.add(row, column, share(seen.at(row, column)))
    return result.inner


class _Padded:
    """An image with its padding; ``at`` is what one place of the kernel sees, a view."""

    def __init__(self, window: Window, x: Reals, fill: float = 0.0) -> None:
        self.window = window
        top, left, bottom, right = window.pads
        height, width = x.shape[3:]
        self.whole = np.full((*x.shape[:3], height + top + bottom, width + left + right), fill)
        self.inner = self.whole[..., top : top + height, left : left + width]
        self.sizes = window.output_size(height, width)

    def at(self, row: int, column: int) -> Reals:
        slices = []
        for place, size, axis in ((row, self.sizes[0], 0), (column, self.sizes[1], 1)):
            start = place * self.window.dilations[axis]
            stride = self.window.strides[axis]
            slices.append(slice(start, start + (size - 1) * stride + 1, stride))
        return self.whole[..., slices[0], slices[1]]

    def add(self, row: int, column: int, value: Reals) -> None:
        view = self.at(row, column)
        view += value
