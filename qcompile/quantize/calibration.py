"""The float network on calibration samples: the grids of activations, and the means that bias correction needs."""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction
from math import prod

import numpy as np

from qcompile.ir.graph import Graph, Node
from qcompile.ir.model import Add, Constant, Conv, Input, ModelOp, Reals
from qcompile.numerics.quantizer import Quantizer
from qcompile.quantize.grids import activation_quantizer, observed
from qcompile.quantize.options import QuantizeOptions
from qcompile.quantize.placement import LAYOUT, Place, constants_of, weights_position

_CHUNK = 1 << 21
"""Elements that one operation may hold at once; convolutions hold every window."""

_VECTORS = 1 << 16
"""Operand vectors that second moments are taken from."""
_WIDEST = 2048
"""Inputs of a layer for which second moments are taken: a matrix of 32 MB."""


@dataclass(frozen=True)
class Calibration:
    """What the float network showed.

    ``quantizers`` by place; ``means`` by bias point: mean float value per channel, shaped to add to a bias;
    ``moments`` by layer: second moments of its operands, unless those of the rounded operands count (`propagate`).
    """

    quantizers: dict[str, Quantizer]
    means: dict[str, Reals]
    moments: dict[str, Reals]


def bias_points(graph: Graph, places: dict[str, Place]) -> dict[str, Node]:
    """For each layer with weights, the node behind which its bias is complete, mapped to the layer.

    That is the constant Add right behind the layer, or the layer itself where there is none.
    """
    constants = constants_of(graph)
    found: dict[str, Node] = {}
    for place in places.values():
        if weights_position(graph, place.owner, constants) is None:
            continue
        first = place.steps[0] if place.steps else None
        biased = first is not None and isinstance(first.op, Add) and _has_constant(graph, first)
        found[first.name if biased and first is not None else place.owner.name] = place.owner
    return found


def calibrate(
    graph: Graph, samples: dict[str, Reals], places: dict[str, Place], options: QuantizeOptions
) -> Calibration:
    """One walk over the float network."""
    quantizers: dict[str, Quantizer] = {}
    means: dict[str, Reals] = {}
    points = bias_points(graph, places) if options.bias_correction else {}
    moments: dict[str, Reals] = {}
    constants = constants_of(graph)
    # Where weights make up for rounded operands, the moments of those count.
    needs_moments = not options.propagate and (options.weight_range == "output" or options.needs_moments)
    walk = Walk(graph)
    for node in graph.nodes:
        position = weights_position(graph, node, constants)
        if position is not None and needs_moments:
            vectors = operand_vectors(node, position, walk.values[node.inputs[1 - position]], options.bias_correction)
            moments |= {} if vectors is None else {node.name: mean_products(vectors, vectors)}
        value = walk.visit(node, samples)
        if node.name in places:
            quantizers[node.name] = activation_quantizer(places[node.name], observed(value), options)
        if node.name in points:
            means[node.name] = channel_means(value, channel_axis(graph, points[node.name]))
    if options.scales == "free":
        quantizers = _joined_scales(graph, quantizers)
    return Calibration(quantizers, means, moments)


def operand_vectors(node: Node, position: int, x: Reals, centred: bool) -> Reals | None:
    """The vectors of operand ``x`` that a layer multiplies with its rows: [groups, vectors, in].

    ``centred``: less their mean, for a layer whose mean error bias correction removes. From evenly spread samples
    if there are many; None for layers too wide to take second moments of.
    """
    _, count, width = _vectors(node, position, x[:1]).shape
    if width > _WIDEST:
        return None
    vectors = _vectors(node, position, x[:: -(-len(x) * count // _VECTORS)])
    if not centred:
        return vectors
    mean = vectors.mean(axis=1, keepdims=True)
    return np.subtract(vectors, mean, out=None if np.may_share_memory(vectors, x) else vectors)


def operand_count(node: Node, position: int, x: Reals) -> int:
    """How many vectors all samples of ``x`` have."""
    return len(x) * _vectors(node, position, x[:1]).shape[1]


def mean_products(u: Reals, v: Reals) -> Reals:
    """Mean of u·vᵀ over vectors [groups, vectors, in]: second moments [groups, in, in]."""
    found: Reals = np.matmul(u.transpose(0, 2, 1), v) / u.shape[1]
    return found


def _vectors(node: Node, position: int, x: Reals) -> Reals:
    """[groups, vectors, in], elements in the order of the weights' rows."""
    op = node.op
    if isinstance(op, Conv):
        patches = op.window.patches(x.reshape(-1, *x.shape[2:]).transpose(0, 2, 3, 1), 0.0)
        # Channels are split and axes turned in the view, so that the last reshape copies, once.
        grouped = patches.reshape(*patches.shape[:5], op.groups, -1).transpose(5, 0, 1, 2, 6, 3, 4)
        return grouped.reshape(op.groups, prod(patches.shape[:3]), -1)
    turned = x if position == 1 else x.swapaxes(-1, -2)
    return turned.reshape(1, -1, turned.shape[-1])


class Walk:
    """Values of a graph's nodes, computed in order and forgotten after their last use."""

    def __init__(self, graph: Graph) -> None:
        self.values: dict[str, Reals] = {}
        self._left = {name: len(users) for name, users in graph.users.items()}

    def visit(self, node: Node, samples: dict[str, Reals]) -> Reals:
        """The value of ``node``, a node of the graph whose operands were visited."""
        value = samples[node.name] if isinstance(node.op, Input) else apply(node, self.values)
        self.values[node.name] = value
        for name in set(node.inputs):
            self._left[name] -= 1
            if not self._left[name]:
                del self.values[name]
        return value


def apply(node: Node, values: dict[str, Reals]) -> Reals:
    """The node's value, computed for a few samples at a time where all would need too much memory."""
    assert isinstance(node.op, ModelOp)
    op = node.op
    operands = [values[name] for name in node.inputs]
    count = max((operand.shape[0] for operand in operands), default=1)
    window = prod(op.window.kernel) if isinstance(op, Conv) else 1
    per_sample = max((operand[0].size for operand in operands), default=1) * window
    step = max(1, _CHUNK // per_sample)
    if count <= step:
        return op.evaluate(*operands)
    parts = [
        op.evaluate(*(x if x.shape[0] == 1 else x[start : start + step] for x in operands))
        for start in range(0, count, step)
    ]
    return np.concatenate(parts)


def channel_axis(graph: Graph, layer: Node) -> int:
    """The axis of a layer's result that counts output channels, samples not counted."""
    if isinstance(layer.op, Conv):
        return 1
    position = weights_position(graph, layer, constants_of(graph))
    return len(graph.types[layer.name].shape) - (1 if position == 1 else 2)


def channel_means(value: Reals, axis: int) -> Reals:
    """Means over samples and everything but ``axis`` (samples not counted); the result broadcasts to one sample."""
    others = tuple(a for a in range(value.ndim) if a != axis + 1)
    means: Reals = value.mean(axis=others, keepdims=True)[0]
    return means


def _has_constant(graph: Graph, node: Node) -> bool:
    return any(isinstance(graph.by_name[name].op, Constant) for name in node.inputs)


def _joined_scales(graph: Graph, quantizers: dict[str, Quantizer]) -> dict[str, Quantizer]:
    """Scales that differ by powers of two among all tensors that a residual sum joins: codes add after a shift.

    The coarsest stays; every other one grows, by less than a factor of two.
    """
    group = {name: name for name in quantizers}

    def root(name: str) -> str:
        while group[name] != name:
            name = group[name]
        return name

    for node in graph.nodes:
        if not isinstance(node.op, Add):
            continue
        sources = [_place_of(graph, name, quantizers) for name in node.inputs]
        held = [root(name) for name in sources if name is not None]
        if len(held) == 2:
            group[held[1]] = held[0]
    coarsest: dict[str, Fraction] = {}
    for name, quantizer in quantizers.items():
        coarsest[root(name)] = max(coarsest.get(root(name), Fraction(0)), quantizer.scale[0])
    joined: dict[str, Quantizer] = {}
    for name, quantizer in quantizers.items():
        shift = int(coarsest[root(name)] / quantizer.scale[0]).bit_length() - 1
        joined[name] = replace(quantizer, scale=(coarsest[root(name)] / 2**shift,))
    return joined


def _place_of(graph: Graph, name: str, quantizers: dict[str, Quantizer]) -> str | None:
    node = graph.by_name[name]
    while node.name not in quantizers and isinstance(node.op, LAYOUT):
        node = graph.by_name[node.inputs[0]]
    return node.name if node.name in quantizers else None
