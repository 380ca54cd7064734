"""Constant borders: around images, beside channels, and anywhere else."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from math import prod

import numpy as np

from qcompile.ir import integer, model
from qcompile.ir.array import Array
from qcompile.ir.graph import Graph, Node, merge_origins
from qcompile.ir.window import Window
from qcompile.passes.integerize.builder import Builder, Value
from qcompile.passes.integerize.carried import Carried
from qcompile.passes.integerize.grids import one_grid
from qcompile.passes.integerize.placing import entire, flat, image


def pad(build: Builder, node: Node) -> Value:
    """Around an image a 1x1 sum with pads, which a convolution behind it takes over; else constant channels."""
    op = node.op
    assert isinstance(op, model.Pad)
    x = build.carried(node)
    if not any((*op.before, *op.after)):
        return x
    x, scale, offset = one_grid(build, entire(build, x), Fraction(op.value))
    code = int((Fraction(op.value) - offset) / scale)
    before, after = list(op.before), list(op.after)
    for axis in range(x.index.ndim):
        if (before[axis] or after[axis]) and _within_positions(x, axis):
            x = _beside(build, node, x, axis, (before[axis], after[axis]), code)
            before[axis] = after[axis] = 0
    if not any((*before, *after)):
        return x
    if x.index.ndim == 4 and x.index.shape[0] == 1 and not any((*before[:2], *after[:2])):
        x = image(build, x)
        window = Window((1, 1), pads=(before[2], before[3], after[2], after[3]))
        origin = merge_origins(x.origin, node.origin)
        name = build.emit(node.name, integer.SumPool(window, code), (x.node,), origin)
        shape = build.types[name].shape
        index = np.arange(prod(shape)).reshape(shape).transpose(2, 0, 1)[None]
        return replace(x, node=name, shape=shape, index=index, origin=())
    x = flat(build, x)
    joined = _with_constants(build, node, x, 1, code)
    index = np.pad(x.index, list(zip(before, after, strict=True)), constant_values=x.size)
    return entire(build, replace(x, node=joined, shape=(x.size + 1,), index=index))


def _within_positions(x: Carried, axis: int) -> bool:
    """Whether elements along ``axis`` are channels of one position, as many at every position."""
    position = x.index // x.channels
    per = np.bincount(np.take(position, [0], axis).ravel(), minlength=x.size // x.channels)
    return bool((position == np.take(position, [0], axis)).all() and (per == per[0]).all())


def _beside(build: Builder, node: Node, x: Carried, axis: int, sizes: tuple[int, int], code: int) -> Carried:
    """``axis`` padded by ``sizes`` (before, after) with constant channels at every position."""
    first = np.take(x.index, [0], axis) // x.channels
    per = first.size // (x.size // x.channels)
    order = np.argsort(first.ravel(), kind="stable")
    rank = np.empty(first.size, np.int64)
    rank[order] = np.arange(first.size) % per
    total = x.channels + per * sum(sizes)
    own = x.index // x.channels * total + x.index % x.channels
    borders = [first * total + x.channels + k * per + rank.reshape(first.shape) for k in range(sum(sizes))]
    index = np.concatenate([*borders[: sizes[0]], own, *borders[sizes[0] :]], axis)
    name = _with_constants(build, node, x, per * sum(sizes), code)
    return replace(x, node=name, shape=(*x.shape[:-1], total), index=index)


def _with_constants(build: Builder, node: Node, x: Carried, count: int, code: int) -> str:
    """``x`` with ``count`` more channels, which all hold ``code``."""
    positions = np.arange(x.size // x.channels).reshape(*x.shape[:-1], 1) * x.channels
    some = integer.Gather(Array(np.broadcast_to(positions, (*x.shape[:-1], count)).copy()))
    origin = merge_origins(x.origin, node.origin)
    picked = build.emit(f"{node.name}_some", some, (x.node,), origin)
    border = build.emit(f"{node.name}_border", integer.WeightedSum(((0,),), (code,)), (picked,), origin)
    return build.emit(f"{node.name}_bordered", integer.Concat(), (x.node, border), origin)


def pads_as_windows(graph: Graph) -> Graph:
    """Pads that no convolution took over, as windows that pass on one tap: hardware pads less than a kernel."""

    def step(node: Node) -> list[Node] | None:
        op = node.op
        if not isinstance(op, integer.SumPool) or op.window.kernel != (1, 1) or not op.window.padded:
            return None
        if op.window.strides != (1, 1):
            return None
        top, left, bottom, right = op.window.pads
        rows, columns = top + bottom, left + right
        channels = graph.types[node.name].channels
        taps = np.zeros((rows + 1, columns + 1, 1, channels), np.int64)
        taps[bottom, right] = 1
        window = Window((rows + 1, columns + 1), pads=(rows, columns, rows, columns))
        return [replace(node, op=integer.Conv(Array(taps), window, channels, op.fill))]

    return graph.rewrite(step)
