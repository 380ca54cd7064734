"""Operations that move, repeat, join and surround elements."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise

import numpy as np

from qcompile.ir import integer, model
from qcompile.ir.array import Array
from qcompile.ir.graph import Node, merge_origins
from qcompile.numerics.function import Affine
from qcompile.passes.integerize import inputs
from qcompile.passes.integerize.builder import Builder, Value
from qcompile.passes.integerize.carried import Carried, Index, Known, Raw, Refused, shared
from qcompile.passes.integerize.grids import lines, straight
from qcompile.passes.integerize.placing import default_layout, placed

_ONE, _ZERO = Fraction(1), Fraction(0)


def reshape(build: Builder, node: Node) -> Value:
    shape = build.graph.types[node.name].shape
    return _viewed(build, node, lambda index: index.reshape(shape))


def transpose(build: Builder, node: Node) -> Value:
    assert isinstance(node.op, model.Transpose)
    axes = node.op.axes
    return _viewed(build, node, lambda index: index.transpose(axes))


def take(build: Builder, node: Node) -> Value:
    assert isinstance(node.op, model.Take)
    op = node.op
    return _viewed(build, node, lambda index: np.take(index, op.indices, op.axis))


def _viewed(build: Builder, node: Node, view: Callable[[Index], Index]) -> Value:
    value = build.values[node.inputs[0]]
    if isinstance(value, Raw):
        return inputs.viewed(value, view, node.origin)
    assert isinstance(value, Carried)
    index = view(value.index)
    if value.host is not None and not _keeps_rows(value.index, index):
        raise Refused(
            "QC104",
            f"{node.op.mnemonic} after {value.host} moves elements between rows",
            f"a {value.host} may only stand at the output; cut the graph before it",
        )
    return value.viewed(index, node.origin)


def _keeps_rows(before: Index, after: Index) -> bool:
    return after.shape[-1:] == before.shape[-1:] and np.array_equal(before.ravel(), after.ravel())


def concat(build: Builder, node: Node) -> Value:
    """Along the channels each part keeps its scales; along other axes all get one grid."""
    assert isinstance(node.op, model.Concat)
    shape = build.graph.types[node.name].shape
    axis = node.op.axis % len(shape)
    parts = _parts(build, node)
    bounds = np.cumsum([0, *(x.index.shape[axis] for x in parts)]).tolist()
    positions = np.arange(int(np.prod(shape))).reshape(shape)
    pieces = [np.take(positions, range(a, b), axis) for a, b in pairwise(bounds)]
    layouts = [default_layout(piece.shape) for piece in pieces]
    if len({layout.shape[:-1] for layout in layouts}) > 1:
        layouts = [layout.ravel() for layout in layouts]
    placed_parts = [placed(build, x, layout) for x, layout in zip(parts, layouts, strict=True)]
    where = [piece.ravel()[layout] for piece, layout in zip(pieces, layouts, strict=True)]
    scales: list[Fraction] = []
    offsets: list[Fraction] = []
    for x in placed_parts:
        own = lines(x)
        scales += own[0]
        offsets += own[1]
    origin = merge_origins(*(x.origin for x in placed_parts), node.origin)
    name = build.emit(node.name, integer.Concat(), tuple(x.node for x in placed_parts), origin)
    layout = np.concatenate(where, axis=-1)
    index = np.empty(layout.size, np.int64)
    index[layout.ravel()] = np.arange(layout.size)
    return Carried(name, layout.shape, index.reshape(shape), (Affine(shared(scales), shared(offsets)),))


def _parts(build: Builder, node: Node) -> list[Carried]:
    """All operands as straight tensors, constants among them."""
    live = next(
        build.carried(node, k) for k, name in enumerate(node.inputs) if not isinstance(build.values[name], Known)
    )
    parts = []
    for k, name in enumerate(node.inputs):
        value = build.values[name]
        x = constant_tensor(build, live, value) if isinstance(value, Known) else straight(build, build.carried(node, k))
        parts.append(x)
    return parts


def constant_tensor(build: Builder, live: Carried, known: Known) -> Carried:
    """A constant as a computed tensor: elements of ``live`` times 0, plus the constant."""
    source = Carried(live.node, live.shape, np.zeros(known.shape, np.int64), ())
    layout = default_layout(known.shape)
    channels = Carried("", layout.shape, Carried("", layout.shape, layout, ()).layout.reshape(known.shape), ())
    if channels.per_channel(known) is None:
        layout = layout.ravel()
        channels = Carried("", layout.shape, Carried("", layout.shape, layout, ()).layout.reshape(known.shape), ())
    values = channels.per_channel(known)
    assert values is not None
    moved = build.emit(f"{live.node}_some", integer.Gather(Array(np.zeros(layout.shape, np.int64))), (source.node,), ())
    zeros = build.emit(f"{live.node}_none", integer.WeightedSum(((0,),), (0,)), (moved,), ())
    return replace(channels, node=zeros, steps=(Affine((_ONE,), values),))
