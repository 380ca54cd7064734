"""Folds constant factors and offsets (batch normalization, input scaling) into weights and biases."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from qcompile.ir.array import Array
from qcompile.ir.graph import Graph, Level, Node, merge_origins
from qcompile.ir.model import MODEL, Add, Constant, Conv, Div, MatMul, Mul, Reals, Reshape, Transpose
from qcompile.passes.naming import fresh_name


@dataclass(frozen=True)
class FoldAffine:
    """Fold constant Mul, Div and Add into the weights and bias of the linear layer before or behind them.

    Equal in the reals; weights are multiplied in float64. Behind a convolution or matrix product, factors per
    output channel go into the weights and offsets into one bias. Before one (where no linear layer comes
    first), factors per input channel go into the weights; offsets become a bias, but not through a padded
    convolution, where the padding would have to change. Quantized weights are left alone.
    """

    name: ClassVar[str] = "fold_affine"
    requires: ClassVar[Level] = MODEL
    ensures: ClassVar[Level] = MODEL

    def run(self, graph: Graph) -> Graph:
        while (found := _next_fold(graph)) is not None:
            graph = _replaced(graph, *found)
        return graph


@dataclass(frozen=True)
class _Affine:
    """``x * factor`` or ``x + offset``, of which one is given."""

    x: str
    factor: Reals | None = None
    offset: Reals | None = None


_Fold = tuple[Node, tuple[Node, ...]]


def _replaced(graph: Graph, old: Node, new: tuple[Node, ...]) -> Graph:
    return graph.rewrite(lambda node: new if node.name == old.name else None)


def _next_fold(graph: Graph) -> _Fold | None:
    for node in graph.nodes:
        for rule in _RULES:
            found = rule(graph, node)
            if found is not None:
                return node, found
    return None


def _constant(graph: Graph, name: str) -> Reals | None:
    op = graph.by_name[name].op
    return np.asarray(op.value.values, np.float64) if isinstance(op, Constant) else None


def _affine(graph: Graph, node: Node) -> _Affine | None:
    """``node`` as a constant factor or offset that keeps its operand's shape."""
    if not isinstance(node.op, Add | Mul | Div):
        return None
    left, right = (_constant(graph, name) for name in node.inputs)
    if (left is None) == (right is None) or (isinstance(node.op, Div) and right is None):
        return None
    x = node.inputs[0] if left is None else node.inputs[1]
    value = right if left is None else left
    assert value is not None
    if graph.types[x] != graph.types[node.name]:
        return None
    match node.op:
        case Add():
            return _Affine(x, offset=value)
        case Div():
            return _Affine(x, factor=1.0 / value) if np.all(value != 0) else None
    return _Affine(x, factor=value)


def _owned(graph: Graph, name: str) -> bool:
    """Whether one node alone sees this value."""
    return len(graph.users[name]) == 1 and name not in graph.outputs


def _weights(graph: Graph, node: Node) -> tuple[int, Reals] | None:
    """``(operand position, weights)`` of a linear layer with constant weights."""
    if not isinstance(node.op, Conv | MatMul):
        return None
    for position in (1, 0) if isinstance(node.op, MatMul) else (1,):
        value = _constant(graph, node.inputs[position])
        if value is not None and _constant(graph, node.inputs[1 - position]) is None:
            return position, value
    return None


def _after_linear(graph: Graph, name: str) -> bool:
    """Whether ``name`` is a linear layer's result, possibly scaled and offset."""
    while True:
        node = graph.by_name[name]
        if _weights(graph, node) is not None:
            return True
        affine = _affine(graph, node)
        if affine is None or not _owned(graph, affine.x):
            return False
        name = affine.x


def _along(value: Reals, rank: int, axis: int) -> Reals | None:
    """``value`` as a vector (or one number) along ``axis`` of ``rank`` axes; None if it varies along others."""
    shape = (1,) * (rank - value.ndim) + value.shape
    if any(size != 1 for a, size in enumerate(shape) if a != axis % rank):
        return None
    return value.reshape(-1)


def _new_constant(graph: Graph, stem: str, value: Reals, origin: tuple[str, ...]) -> Node:
    return Node(fresh_name(stem, graph.by_name), Constant(Array(value)), (), origin)


def _relinked(node: Node, position: int, x: str, weights: str) -> Node:
    return replace(node, inputs=(x, weights) if position == 1 else (weights, x))


def _factor_into_previous(graph: Graph, node: Node) -> tuple[Node, ...] | None:
    """linear * factor: the factor joins the weights of its output channels."""
    affine = _affine(graph, node)
    if affine is None or affine.factor is None or not _owned(graph, affine.x):
        return None
    linear = graph.by_name[affine.x]
    held = _weights(graph, linear)
    if held is None:
        return None
    position, weights = held
    rank = len(graph.types[linear.name].shape)
    if isinstance(linear.op, Conv):
        factor = _along(affine.factor, rank, 1)
        shape: tuple[int, ...] = (-1, 1, 1, 1)
    else:
        factor = _along(affine.factor, rank, -1 if position == 1 else -2)
        shape = (1, -1) if position == 1 else (-1, 1)
    if factor is None:
        return None
    origin = merge_origins(linear.origin, node.origin)
    constant = _new_constant(graph, f"{node.name}_weights", weights * factor.reshape(shape), origin)
    x = linear.inputs[1 - position]
    return constant, replace(_relinked(linear, position, x, constant.name), name=node.name, origin=origin)


def _factor_before_offset(graph: Graph, node: Node) -> tuple[Node, ...] | None:
    """(linear + offset) * factor = linear * factor + offset * factor."""
    outer = _affine(graph, node)
    if outer is None or outer.factor is None or not _owned(graph, outer.x):
        return None
    inner_node = graph.by_name[outer.x]
    inner = _affine(graph, inner_node)
    if inner is None or inner.offset is None or not _after_linear(graph, inner.x):
        return None
    factor = _new_constant(graph, f"{node.name}_factor", outer.factor, node.origin)
    scaled = Node(fresh_name(f"{node.name}_scaled", graph.by_name), Mul(), (inner.x, factor.name), node.origin)
    offset = _new_constant(graph, f"{node.name}_offset", inner.offset * outer.factor, inner_node.origin)
    origin = merge_origins(inner_node.origin, node.origin)
    return factor, scaled, offset, Node(node.name, Add(), (scaled.name, offset.name), origin)


def _neighbours_merged(graph: Graph, node: Node) -> tuple[Node, ...] | None:
    """Two offsets in a row are one, two factors too."""
    outer = _affine(graph, node)
    if outer is None or not _owned(graph, outer.x):
        return None
    inner_node = graph.by_name[outer.x]
    inner = _affine(graph, inner_node)
    if inner is None or (inner.offset is None) != (outer.offset is None):
        return None
    origin = merge_origins(inner_node.origin, node.origin)
    op: Add | Mul
    if inner.offset is not None and outer.offset is not None:
        op, value = Add(), inner.offset + outer.offset
    else:
        assert inner.factor is not None and outer.factor is not None
        op, value = Mul(), inner.factor * outer.factor
    constant = _new_constant(graph, f"{node.name}_merged", value, origin)
    return constant, Node(node.name, op, (inner.x, constant.name), origin)


def _into_next(graph: Graph, node: Node) -> tuple[Node, ...] | None:
    """linear(x * factor + offset): the factor joins the weights of its input channels, the offset is a bias."""
    held = _weights(graph, node)
    if held is None:
        return None
    position, weights = held
    before = graph.by_name[node.inputs[1 - position]]
    affine = _affine(graph, before)
    if affine is None or not _owned(graph, before.name) or _after_linear(graph, affine.x):
        return None
    origin = merge_origins(node.origin, before.origin)
    if affine.factor is not None:
        scaled = _scaled_inputs(graph, node, position, weights, affine.factor)
        if scaled is None:
            return None
        constant = _new_constant(graph, f"{node.name}_weights", scaled, origin)
        return constant, replace(_relinked(node, position, affine.x, constant.name), origin=origin)
    assert affine.offset is not None
    bias = _bias_of(graph, node, position, weights, affine.offset)
    if bias is None:
        return None
    product = replace(
        _relinked(node, position, affine.x, node.inputs[position]),
        name=fresh_name(f"{node.name}_product", graph.by_name),
    )
    constant = _new_constant(graph, f"{node.name}_bias", bias, before.origin)
    return product, constant, Node(node.name, Add(), (product.name, constant.name), origin)


def _scaled_inputs(graph: Graph, node: Node, position: int, weights: Reals, factor: Reals) -> Reals | None:
    rank = len(graph.types[node.inputs[1 - position]].shape)
    if isinstance(node.op, MatMul):
        vector = _along(factor, rank, -1 if position == 1 else -2)
        if vector is None:
            return None
        return weights * (vector.reshape(-1, 1) if position == 1 else vector.reshape(1, -1))
    vector = _along(factor, rank, 1)
    return None if vector is None else weights * _by_group(graph, node, weights, vector)


def _bias_of(graph: Graph, node: Node, position: int, weights: Reals, offset: Reals) -> Reals | None:
    shape = graph.types[node.inputs[1 - position]].shape
    if isinstance(node.op, MatMul):
        full = np.broadcast_to(offset, shape)
        return np.asarray(full @ weights if position == 1 else weights @ full, np.float64)
    vector = _along(offset, len(shape), 1)
    assert isinstance(node.op, Conv)
    if vector is None or node.op.window.padded:
        return None
    return (weights * _by_group(graph, node, weights, vector)).sum(axis=(1, 2, 3)).reshape(-1, 1, 1)


def _by_group(graph: Graph, node: Node, weights: Reals, vector: Reals) -> Reals:
    """Per input channel values arranged to multiply convolution weights [out, channels / groups, kh, kw]."""
    assert isinstance(node.op, Conv)
    channels = graph.types[node.inputs[0]].shape[1]
    grouped = np.broadcast_to(vector, (channels,)).reshape(node.op.groups, -1)
    return np.repeat(grouped, weights.shape[0] // node.op.groups, axis=0)[:, :, None, None]


def _number_behind_layout(graph: Graph, node: Node) -> tuple[Node, ...] | None:
    """A single factor or offset moves behind a reshape or transpose, towards the layer that can take it."""
    if not isinstance(node.op, Reshape | Transpose):
        return None
    before = graph.by_name[node.inputs[0]]
    affine = _affine(graph, before)
    if affine is None or not _owned(graph, before.name) or _after_linear(graph, affine.x):
        return None
    value = affine.offset if affine.factor is None else affine.factor
    assert value is not None
    if value.size != 1:
        return None
    op = Add() if affine.factor is None else Mul()
    constant = _new_constant(graph, f"{before.name}_number", value.reshape(()), before.origin)
    moved = replace(node, name=fresh_name(f"{node.name}_moved", graph.by_name), inputs=(affine.x,))
    return constant, moved, Node(node.name, op, (moved.name, constant.name), before.origin)


_RULES: tuple[Callable[[Graph, Node], tuple[Node, ...] | None], ...] = (
    _factor_into_previous,
    _factor_before_offset,
    _neighbours_merged,
    _into_next,
    _number_behind_layout,
)
