"""Moves factors per channel from one layer to the next, where the float network does not notice.

A ReLU, a pooling or a reshape lets positive factors through, so channel c of the layer before may be divided by any
s[c] if the weights behind it are multiplied by s[c]. Weights and activations get ranges that one grid suits better.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
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
from qcompile.numerics.formats import Format
from qcompile.quantize.calibration import Walk
from qcompile.quantize.grids import observed
from qcompile.quantize.placement import constants_of, weights_position
from qcompile.quantize.ranges import least_error_scale

_ROUNDS = 10
"""Rounds over all pairs; powers of two settle after three or four."""
_LARGEST = 8.0
"""Factors reach from 2^-8 to 2^8."""
_OBSERVED = 1 << 13
"""Values of a channel that its step is found from."""


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
    section 4.1, with factors rounded to powers of two: the float network stays equal bit for bit.
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


def migrate(
    graph: Graph,
    samples: dict[str, Reals],
    strength: float,
    formats: Mapping[str, Format],
    kept: frozenset[str] = frozenset(),
) -> Graph:
    """Every channel of an activation gets the range that one grid for all of them suits, as far as ``strength`` says.

    Channel c is divided by step[c]^strength / max|w[c]|^(1 - strength), with its own least-error step in the
    tensor's format (``formats``, by the value that is rounded). Guangxuan Xiao et al., "SmoothQuant: Accurate and
    Efficient Post-Training Quantization for Large Language Models", ICML 2023, section 4, has the largest magnitude
    in the step's place. The common part of the factors is a power of two, so that at strength 1 the best scale of
    the whole tensor is one too. Layers that are ``kept`` stay as they are. The float network stays equal up to the
    rounding of its float64 constants.
    """
    found = [pair for pair in pairs(graph) if pair.first not in kept and pair.second not in kept]
    steps = _steps(graph, samples, found, formats)
    for pair in found:
        _, read = ranges(graph, pair)
        step = steps[pair.end]
        sound = (step > 0) & (read > 0)
        factors = np.where(sound, step, 1.0) ** strength / np.where(sound, read, 1.0) ** (1 - strength)
        if sound.any():
            factors /= np.exp2(np.rint(np.log2(factors[sound]).mean()))
        factors = np.where(sound, np.clip(factors, 2.0**-_LARGEST, 2.0**_LARGEST), 1.0)
        graph = scaled(graph, pair, factors)
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


def _steps(
    graph: Graph, samples: dict[str, Reals], found: list[Pair], formats: Mapping[str, Format]
) -> dict[str, Reals]:
    """The least-error step of each channel of what the pairs' second layers read, by the name of that value."""
    walk = Walk(graph)
    ends = {pair.end: pair for pair in found}
    steps: dict[str, Reals] = {}
    for node in graph.nodes:
        value = walk.visit(node, samples)
        if node.name not in ends:
            continue
        format = formats[_rounded_as(graph, node, formats)]
        axis = 2 if value.ndim == 5 else value.ndim - 1
        channels = value.shape[axis] // ends[node.name].repeat
        by_channel = np.moveaxis(value, axis, 0).reshape(channels, -1)
        steps[node.name] = np.array([_least_error_step(observed(row, _OBSERVED), format) for row in by_channel])
    return steps


def _least_error_step(values: Reals, format: Format) -> float:
    """0 where all ``values`` are."""
    return float(least_error_scale(values, format, "free")) if values.any() else 0.0


def _rounded_as(graph: Graph, node: Node, formats: Mapping[str, Format]) -> str:
    """The value that is rounded and then, as it is, becomes that of ``node``."""
    while node.name not in formats:
        node = graph.by_name[node.inputs[0]]
    return node.name
