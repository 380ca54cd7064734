"""Pooling and reductions: sums and maxima over windows, of which an axis is one."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np

from qcompile.ir import integer, model
from qcompile.ir.array import Array
from qcompile.ir.graph import Node, merge_origins
from qcompile.ir.window import Window
from qcompile.numerics.function import Affine, direction
from qcompile.passes.integerize.builder import Builder, Value
from qcompile.passes.integerize.carried import Carried, Index, Refused, shared
from qcompile.passes.integerize.grids import lines, one_grid, same_grid, straight
from qcompile.passes.integerize.placing import entire, image, placed


def max_pool(build: Builder, node: Node) -> Value:
    assert isinstance(node.op, model.MaxPool)
    x = image(build, _ascending(build, build.carried(node)))
    name = build.emit(node.name, integer.MaxPool(node.op.window), (x.node,), node.origin)
    return _pooled(build, name, replace(x, origin=()))


def _ascending(build: Builder, x: Carried, negate: bool = False) -> Carried:
    """``x`` such that its largest codes are its largest values (smallest with ``negate``)."""
    wanted = (0, -1) if negate else (0, 1)
    if all(direction(x.steps, c) in wanted for c in range(x.channels)):
        return x
    return same_grid(build, [x], negate)[0]


def _pooled(build: Builder, name: str, x: Carried) -> Carried:
    shape = build.types[name].shape
    index = np.arange(int(np.prod(shape))).reshape(shape).transpose(2, 0, 1)[None]
    return replace(x, node=name, shape=shape, index=index)


def average_pool(build: Builder, node: Node) -> Value:
    op = node.op
    assert isinstance(op, model.AveragePool)
    x = image(build, straight(build, build.carried(node)))
    window = op.window
    covered = window.positions_covered(*x.shape[:2])
    fill = 0
    if window.padded:
        x, scale, offset = one_grid(build, x, Fraction(0))
        fill = int(-offset / scale)
    name = build.emit(node.name, integer.SumPool(window, fill), (x.node,), merge_origins(x.origin, node.origin))
    total = int(np.prod(window.kernel))  # padding's codes stand for zero, so every element's offset counts
    scales, offsets = lines(x)
    sums = Affine(shared(scales), shared([o * total for o in offsets]))
    pooled = replace(_pooled(build, name, replace(x, origin=())), steps=(sums,))
    if op.count_pads or covered.min() == covered.max():
        count = total if op.count_pads else int(covered.max())
        return pooled.then(Affine((Fraction(1, count),), (Fraction(0),)), ())
    # Windows at the border have fewer elements: every element of the result has a divisor of its own.
    counts = np.broadcast_to(covered[:, :, None], pooled.shape).ravel()
    flat = placed(build, pooled, pooled.layout.ravel())
    return flat.then(Affine(tuple(Fraction(1, int(n)) for n in counts), (Fraction(0),)), ())


def reduce(build: Builder, node: Node) -> Value:
    op = node.op
    assert isinstance(op, model.Reduce)
    x = build.carried(node)
    shape = build.graph.types[node.name].shape
    count = int(np.prod([x.index.shape[a] for a in op.axes]))
    kept = [a for a in range(x.index.ndim) if a not in op.axes]
    positions = np.arange(x.index.size).reshape(x.index.shape).transpose(*op.axes, *kept)
    if op.function in ("max", "min"):
        x = entire(build, _ascending(build, x, negate=op.function == "min"))
        x = placed(build, x, positions.reshape(count, 1, -1))
        if op.function == "min" or not x.affine():
            x = _ascending(build, x, negate=op.function == "min")
        name = build.emit(node.name, integer.MaxPool(Window((count, 1))), (x.node,), node.origin)
    elif _within_positions(x := entire(build, straight(build, x)), op.axes):
        x, scale, offset = one_grid(build, placed(build, x, positions.reshape(count, -1).T.copy()))
        name = build.emit(node.name, integer.MatMul(Array(np.ones((count, 1), np.int64))), (x.node,), node.origin)
        x = replace(x, steps=(Affine((scale,), (offset * count,)),))
    else:
        x = placed(build, x, positions.reshape(count, 1, -1))
        name = build.emit(node.name, integer.SumPool(Window((count, 1))), (x.node,), node.origin)
        scales, offsets = lines(x)
        x = replace(x, steps=(Affine(shared(scales), shared([o * count for o in offsets])),))
    index = np.arange(positions.size // count).reshape(shape)
    result = replace(x, node=name, shape=build.types[name].shape, index=index)
    if op.function == "mean":
        return result.then(Affine((Fraction(1, count),), (Fraction(0),)), node.origin)
    return result


def _within_positions(x: Carried, axes: tuple[int, ...]) -> bool:
    """Whether only channels are summed, never positions."""
    first = x.index // x.channels
    return bool((first == first.min(axis=axes, keepdims=True)).all())


def argmax(build: Builder, node: Node) -> Value:
    """Also behind a softmax, which keeps the order."""
    assert isinstance(node.op, model.ArgMax)
    value = build.values[node.inputs[0]]
    if isinstance(value, Carried) and value.host == "softmax" and value.grid is None:
        value = replace(value, host=None)
        build.values[node.inputs[0]] = value
    x = build.carried(node)
    axis = node.op.axis % x.index.ndim
    positions: Index = np.moveaxis(np.arange(x.index.size).reshape(x.index.shape), axis, -1)
    rows = positions.size // positions.shape[-1]
    batch = 1 if len(positions) == 1 and positions.ndim > 1 else 0
    layout: Index = positions.reshape((-1,) if rows == 1 else positions.shape[batch:])
    x, _, _ = one_grid(build, placed(build, entire(build, x), layout))
    name = build.emit(node.name, integer.ArgMax(), (x.node,), merge_origins(x.origin, node.origin))
    shape = build.types[name].shape
    index = np.arange(rows).reshape(build.graph.types[node.name].shape)
    return Carried(name, shape, index, ())


def softmax(build: Builder, node: Node) -> Value:
    assert isinstance(node.op, model.Softmax)
    x = build.carried(node)
    if node.op.axis % x.index.ndim != x.index.ndim - 1:
        raise Refused("QC104", f"softmax over axis {node.op.axis}", "use the last axis")
    return replace(straight(build, x), host="softmax", origin=merge_origins(x.origin, node.origin))
