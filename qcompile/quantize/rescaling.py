"""Moves factors per channel from one layer to the next, where the float network does not notice.

A ReLU, a pooling or a reshape lets positive factors through, so channel c of the layer before may be divided by any
s[c] if the weights behind it are multiplied by s[c]. Weights and activations get ranges that one grid suits better.
Factors are powers of two: the float network stays equal bit for bit.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from math import prod
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from qcompile.ir.array import Array
from qcompile.ir.graph import Graph, Level, Node
from qcompile.ir.model import (
    MODEL,
    Add,
    AveragePool,
    Clip,
    Constant,
    Conv,
    LeakyRelu,
    MatMul,
    MaxPool,
    Reals,
    Reshape,
)
from qcompile.quantize.calibration import Walk
from qcompile.quantize.placement import constants_of, weights_position

_ROUNDS = 10
"""Rounds over all pairs; powers of two settle after three or four."""
_LARGEST = 8.0
"""Factors reach from 2^-8 to 2^8."""


@dataclass(frozen=True)
class Pair:
    """Layer ``first``, whose results reach layer ``second`` alone; ``biases``: the constants added on the way.

    ``end`` is the value that the second layer reads. Each channel of the first feeds ``repeat`` inputs in a row of
    the second (more than one where an image is flattened).
    """

    first: str
    second: str
    biases: tuple[str, ...]
    end: str
    repeat: int


@dataclass(frozen=True)
class EqualizeWeights:
    """Give each channel the same weight range in the layer that makes it and in the one that reads it.

    Markus Nagel et al., "Data-Free Quantization Through Weight Equalization and Bias Correction", ICCV 2019,
    section 4.1, with factors rounded to powers of two.
    """

    name: ClassVar[str] = "equalize_weights"
    requires: ClassVar[Level] = MODEL
    ensures: ClassVar[Level] = MODEL

    def run(self, graph: Graph) -> Graph:
        for _ in range(_ROUNDS):
            before = graph
            for pair in pairs(graph):
                made, read = ranges(graph, pair)
                graph = scaled(graph, pair, _powers(np.sqrt(made / np.maximum(read, 1e-30)), (made > 0) & (read > 0)))
            if graph == before:
                break
        return graph


def migrate(graph: Graph, samples: dict[str, Reals], strength: float) -> Graph:
    """Outliers of activations move into the weights that read them, as far as ``strength`` (0 to 1) says.

    Channel c of an activation is divided by max|x[c]|^strength / max|w[c]|^(1 - strength). Guangxuan Xiao et al.,
    "SmoothQuant: Accurate and Efficient Post-Training Quantization for Large Language Models", ICML 2023, section 4,
    with factors rounded to powers of two and relative to their mean, since one scale serves the whole tensor.
    """
    found = list(pairs(graph))
    peaks = _peaks(graph, samples, found)
    for pair in found:
        _, read = ranges(graph, pair)
        peak = peaks[pair.end]
        sound = (peak > 0) & (read > 0)
        factors = np.where(sound, peak, 1.0) ** strength / np.where(sound, read, 1.0) ** (1 - strength)
        if sound.any():
            factors /= np.exp(np.log(factors[sound]).mean())
        graph = scaled(graph, pair, _powers(factors, sound))
    return graph


def pairs(graph: Graph) -> Iterator[Pair]:
    """Every pair between whose layers factors can move, in graph order."""
    constants = constants_of(graph)
    for node in graph.nodes:
        if _has_own_weights(graph, node, constants):
            pair = _followed(graph, node, constants)
            if pair is not None:
                yield pair


def ranges(graph: Graph, pair: Pair) -> tuple[Reals, Reals]:
    """Largest magnitudes of the weights that make each channel, and of those that read it."""
    made = _weights(graph, pair.first)
    read = _weights(graph, pair.second)
    op = graph.by_name[pair.second].op
    if isinstance(op, Conv):
        by_group = read.reshape(op.groups, -1, read.shape[1], read.shape[2] * read.shape[3])
        readers = np.abs(by_group).max(axis=(1, 3)).reshape(-1)
    else:
        readers = np.abs(read).max(axis=1).reshape(-1, pair.repeat).max(axis=1)
    channels = 0 if isinstance(graph.by_name[pair.first].op, Conv) else 1
    return np.abs(np.moveaxis(made, channels, 0)).reshape(len(readers), -1).max(axis=1), readers


def scaled(graph: Graph, pair: Pair, factors: Reals) -> Graph:
    """``graph`` with each channel between ``pair`` divided by its factor, and multiplied where it is read."""
    if np.all(factors == 1):
        return graph
    convolves = isinstance(graph.by_name[pair.first].op, Conv)
    axis = 1 if convolves else len(graph.types[pair.first].shape) - 1
    changed = {
        name: _value(graph, name) / _along(factors, len(graph.types[pair.first].shape), axis) for name in pair.biases
    }
    first = graph.by_name[pair.first].inputs[1]
    changed[first] = _value(graph, first) / _along(factors, len(graph.types[first].shape), 0 if convolves else 1)
    second = graph.by_name[pair.second]
    held = _weights(graph, pair.second)
    repeated = np.repeat(factors, pair.repeat)
    if isinstance(second.op, Conv):
        by_group = np.repeat(repeated.reshape(second.op.groups, -1), len(held) // second.op.groups, axis=0)
        changed[second.inputs[1]] = held * by_group[:, :, None, None]
    else:
        changed[second.inputs[1]] = held * repeated[:, None]

    def step(node: Node) -> tuple[Node, ...] | None:
        return (replace(node, op=Constant(Array(changed[node.name]))),) if node.name in changed else None

    return graph.rewrite(step)


def _followed(graph: Graph, layer: Node, constants: frozenset[str]) -> Pair | None:
    """The pair that begins with ``layer``: one reader after the other, each letting factors through."""
    biases: list[str] = []
    node, repeat = layer, 1
    while node.name not in graph.outputs and len(graph.users[node.name]) == 1:
        before, (node,) = node, graph.users[node.name]
        match node.op:
            case Add():
                other = [name for name in node.inputs if name != before.name]
                if len(other) != 1 or not _is_own_constant(graph, other[0]) or repeat > 1:
                    return None
                biases += other
            case Clip(low=0, high=None) | LeakyRelu() | MaxPool() | AveragePool():
                pass
            case Reshape():
                shape = graph.types[before.name].shape
                if len(shape) != 4 or graph.types[node.name].shape != (1, prod(shape[1:])):
                    return None
                repeat = prod(shape[2:])
            case Conv() | MatMul() if _has_own_weights(graph, node, constants):
                # A matrix product mixes the last axis, which counts channels only behind another one or flattened.
                flat = isinstance(layer.op, MatMul) or len(graph.types[before.name].shape) == 2
                return (
                    Pair(layer.name, node.name, tuple(biases), before.name, repeat)
                    if flat or isinstance(node.op, Conv)
                    else None
                )
            case _:
                return None
    return None


def _has_own_weights(graph: Graph, node: Node, constants: frozenset[str]) -> bool:
    """Whether ``node`` is a layer whose weights, unquantized and on the right, no other node reads."""
    if weights_position(graph, node, constants) != 1 or not _is_own_constant(graph, node.inputs[1]):
        return False
    return isinstance(node.op, Conv) or len(graph.types[node.inputs[1]].shape) == 2


def _is_own_constant(graph: Graph, name: str) -> bool:
    return isinstance(graph.by_name[name].op, Constant) and len(graph.users[name]) == 1


def _value(graph: Graph, name: str) -> Reals:
    op = graph.by_name[name].op
    assert isinstance(op, Constant)
    return np.asarray(op.value.values, np.float64)


def _weights(graph: Graph, layer: str) -> Reals:
    return _value(graph, graph.by_name[layer].inputs[1])


def _along(factors: Reals, rank: int, axis: int) -> Reals:
    return factors.reshape([-1 if a == axis else 1 for a in range(rank)])


def _powers(factors: Reals, sound: npt.NDArray[np.bool_]) -> Reals:
    """The powers of two next to ``factors``; 1 where a channel is not ``sound`` (nobody makes or reads it)."""
    exponents = np.rint(np.log2(np.where(sound, factors, 1.0)))
    return np.exp2(np.clip(exponents, -_LARGEST, _LARGEST))


def _peaks(graph: Graph, samples: dict[str, Reals], found: list[Pair]) -> dict[str, Reals]:
    """Largest magnitudes per channel of what each pair's second layer reads, by the name of that value."""
    walk = Walk(graph)
    ends = {pair.end: pair.repeat for pair in found}
    peaks: dict[str, Reals] = {}
    for node in graph.nodes:
        value = walk.visit(node, samples)
        if node.name in ends:
            axis = 2 if value.ndim == 5 else value.ndim - 1
            by_channel = np.abs(np.moveaxis(value, axis, 0)).reshape(value.shape[axis], -1).max(axis=1)
            peaks[node.name] = by_channel.reshape(-1, ends[node.name]).max(axis=1)
    return peaks
