"""Where a tensor's elements lie: layouts of integer nodes, and moves between them."""

from __future__ import annotations

from dataclasses import replace
from math import prod
from typing import Any

import numpy as np

from qcompile.ir import integer
from qcompile.ir.array import Array
from qcompile.numerics.function import Affine, Leaky, Step
from qcompile.passes.integerize.builder import Builder
from qcompile.passes.integerize.carried import Carried, Index, Refused, shared
from qcompile.passes.integerize.grids import one_grid


def placed(build: Builder, x: Carried, layout: Index) -> Carried:
    """``x`` as a node of the shape of ``layout``, which holds each ONNX position once."""
    shape = layout.shape
    order = x.index.ravel()[layout]
    where = np.empty(layout.size, np.int64)
    where[layout.ravel()] = np.arange(layout.size)
    index = where.reshape(x.index.shape)
    in_order = order.size == x.size and np.array_equal(order.ravel(), np.arange(x.size))
    if in_order and shape == x.shape:
        return replace(x, index=index)
    if not _channels_stay(x, order):
        steps = _moved_steps(x.steps, order.reshape(-1, shape[-1]) % x.channels)
        if steps is None:
            return placed(build, one_grid(build, x)[0], layout)
        x = replace(x, steps=steps)
    op = integer.Reshape(shape) if in_order else integer.Gather(Array(order))
    node = build.emit(f"{x.node}_{'view' if in_order else 'moved'}", op, (x.node,), x.origin)
    return replace(x, node=node, shape=shape, index=index)


def default_layout(shape: tuple[int, ...]) -> Index:
    """Channels last: [1, c, h, w] as [h, w, c]; other shapes as they are, without the batch axis."""
    positions = np.arange(prod(shape)).reshape(shape)
    if len(shape) == 4 and shape[0] == 1:
        return positions[0].transpose(1, 2, 0)
    if len(shape) > 1 and shape[0] == 1:
        return positions[0]
    return positions.reshape(shape or (1,))


def entire(build: Builder, x: Carried) -> Carried:
    """``x`` with a node that holds exactly its elements."""
    return x if x.whole else placed(build, x, default_layout(x.index.shape))


def image(build: Builder, x: Carried) -> Carried:
    """``x`` (ONNX [1, c, h, w]) as [h, w, c]."""
    if x.index.ndim != 4 or x.index.shape[0] != 1:
        raise Refused("QC104", f"input shape {x.index.shape}", "the batch must be 1 and the image 1-D or 2-D")
    return placed(build, x, default_layout(x.index.shape))


def flat(build: Builder, x: Carried) -> Carried:
    """``x`` with every element a channel, in the order of the node."""
    x = entire(build, x)
    return placed(build, x, x.layout.ravel())


def widened(build: Builder, x: Carried, shape: tuple[int, ...]) -> Carried:
    """``x`` broadcast to an ONNX ``shape``; repetitions of an element become channels beside each other."""
    if x.index.shape == shape:
        return x
    if prod(shape) == x.index.size:
        return x.viewed(x.index.reshape(shape))
    x = entire(build, x)
    full = np.broadcast_to(x.index, shape)
    times = full.size // x.size
    layout = np.argsort(full.ravel(), kind="stable").reshape(*x.shape[:-1], x.channels * times)
    return placed(build, x.viewed(full), layout)


def side_by_side(build: Builder, *operands: Carried) -> list[Carried]:
    """The operands broadcast to one shape and placed alike."""
    shape = np.broadcast_shapes(*(x.index.shape for x in operands))
    full = [x for x in operands if x.index.shape == shape and x.whole]
    first = full[0] if full else entire(build, widened(build, operands[0], shape))
    result = []
    for x in operands:
        if x is first or (x is operands[0] and not full):
            result.append(first)
            continue
        x = x.viewed(np.broadcast_to(x.index, shape))
        result.append(placed(build, x, first.layout))
    return result


def _channels_stay(x: Carried, order: Index) -> bool:
    channels = order.shape[-1]
    return channels == x.channels and bool((order % x.channels == np.arange(channels)).all())


def _moved_steps(steps: tuple[Step, ...], picked: Index) -> tuple[Step, ...] | None:
    """Per-channel parameters after a move: ``picked`` [positions, new channels] holds old channels.

    None where a new channel would get several.
    """
    moved: list[Step] = []
    for step in steps:
        match step:
            case Affine(scale=scale, offset=offset):
                parts = [_moved(values, picked) for values in (scale, offset)]
                if parts[0] is None or parts[1] is None:
                    return None
                moved.append(Affine(parts[0], parts[1]))
            case Leaky(slope=slope):
                slopes = _moved(slope, picked)
                if slopes is None:
                    return None
                moved.append(Leaky(slopes))
            case _:
                moved.append(step)
    return tuple(moved)


def _moved(values: tuple[Any, ...], picked: Index) -> tuple[Any, ...] | None:
    if len(values) == 1:
        return values
    kinds = {value: number for number, value in enumerate(dict.fromkeys(values))}
    own = np.array([kinds[value] for value in values])[picked]
    if not (own == own[:1]).all():
        return None
    listed = list(kinds)
    return shared([listed[number] for number in own[0].tolist()])
