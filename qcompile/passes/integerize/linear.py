"""Convolutions and matrix products: codes times integer weights."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt

from qcompile.ir import integer, model
from qcompile.ir.array import Array
from qcompile.ir.graph import Node, merge_origins
from qcompile.ir.window import Window
from qcompile.numerics.function import Affine
from qcompile.numerics.products import Product
from qcompile.passes.integerize.approximate import expand
from qcompile.passes.integerize.builder import Builder, Value
from qcompile.passes.integerize.carried import Carried, Known, Refused, integer_weights, shared
from qcompile.passes.integerize.grids import one_grid, straight
from qcompile.passes.integerize.placing import entire, image, placed
from qcompile.passes.integerize.pointwise import product

_MAX_WEIGHT_BITS = 62  # what the IR's arrays hold; exact float32 weights need some 25 to 40


def conv(build: Builder, node: Node) -> Value:
    op = node.op
    assert isinstance(op, model.Conv)
    x = image(build, build.carried(node))
    zero = (Fraction(0),) if op.window.padded else ()
    x, scale, offset = one_grid(build, x, *zero)
    fill = int(-offset / scale) if zero else 0
    weights, scales = _weights(build, node, 1, out_axis=0)
    source, window, fill = _with_pads(build, x.node, op.window, fill)
    if build.product is not Product.EXACT:
        _no_offset(offset)
        quantizer = build.known(node, 1).quantizer
        made = expand(build, source, weights.transpose(1, 2, 3, 0), quantizer, build.product, op.groups)
        source, scale, weights = made.node, scale * made.unit, made.weights.transpose(3, 0, 1, 2)
    kernel = Array(weights.transpose(2, 3, 1, 0))
    name = build.emit(
        node.name, integer.Conv(kernel, window, op.groups, fill), (source,), merge_origins(x.origin, node.origin)
    )
    sums = weights.reshape(weights.shape[0], -1).sum(axis=1)
    shape = build.types[name].shape
    index = np.arange(int(np.prod(shape))).reshape(shape).transpose(2, 0, 1)[None]
    return Carried(name, shape, index, (_accumulator(scale, offset, scales, sums),))


def _with_pads(build: Builder, name: str, window: Window, fill: int) -> tuple[str, Window, int]:
    """A pad in front of the window (a 1x1 sum) becomes the window's own, unless that has one of another code."""
    node = build.nodes[[n.name for n in build.nodes].index(name)]
    if not isinstance(node.op, integer.SumPool) or node.op.window.kernel != (1, 1) or not node.op.window.padded:
        return name, window, fill
    if node.op.window.strides != (1, 1) or (window.padded and node.op.fill != fill):
        return name, window, fill
    pads = tuple(a + b for a, b in zip(window.pads, node.op.window.pads, strict=True))
    if any(p >= e for p, e in zip(pads, (*window.extent, *window.extent), strict=True)):
        return name, window, fill  # a window must not lie in the padding alone
    own = Window(window.kernel, window.strides, pads, window.dilations)  # type: ignore[arg-type]
    return node.inputs[0], own, node.op.fill


def _weights(build: Builder, node: Node, position: int, out_axis: int) -> tuple[npt.NDArray[np.int64], list[Fraction]]:
    known = build.known(node, position)
    if known.values.ndim > 2 and not isinstance(node.op, model.Conv):
        known = known.picked(np.arange(known.values.size).reshape(_matrix_shape(known.shape)))
    weights, scales = integer_weights(known, out_axis)
    bits = max(abs(int(weights.max())), abs(int(weights.min())), 1).bit_length() if weights.size else 1
    if bits > _MAX_WEIGHT_BITS:
        raise Refused(
            "QC108",
            f"the weights are not quantized (they need {bits} bits to be exact)",
            "quantize the weights in the file, or compile the float model with --weights fixed:8",
        )
    return weights.astype(np.int64), scales


def _no_offset(offset: Fraction) -> None:
    if offset:
        raise Refused("QC212", "its operands have a zero point, so they are no floats", "use --multiply exact")


def _matrix_shape(shape: tuple[int, ...]) -> tuple[int, ...]:
    if any(size != 1 for size in shape[:-2]):
        raise Refused("QC104", f"constant weights {shape}", "MatMul needs [..., in] and constant weights [in, out]")
    return shape[-2:]


def _accumulator(scale: Fraction, offset: Fraction, scales: list[Fraction], sums: Any) -> Affine:
    """A linear layer's result: real = scale * scales[c] * acc + offset * scales[c] * sums[c]."""
    factors = [scale * s for s in scales]
    offsets = [offset * s * int(total) for s, total in zip(scales, sums, strict=True)]
    return Affine(shared(factors), shared(offsets))


def matmul(build: Builder, node: Node) -> Value:
    side = build.constant_side(node)
    if side is None:
        return _computed_matmul(build, node, build.carried(node, 0), build.carried(node, 1))
    if side == 0:
        return _left_matmul(build, node)
    x = build.carried(node)
    weights, scales = _weights(build, node, 1, out_axis=-1)
    if x.index.ndim < 2 or weights.ndim != 2:
        raise Refused("QC104", f"input {x.index.shape}", "MatMul needs [..., in] and constant weights [in, out]")
    result = _product(build, node, x, weights, scales)
    return result.viewed(result.index.reshape(build.graph.types[node.name].shape))


def _left_matmul(build: Builder, node: Node) -> Value:
    """``constant @ x`` as the transpose of ``x.T @ constant.T``."""
    x = build.carried(node, 1)
    weights, scales = _weights(build, node, 0, out_axis=-2)
    if any(size != 1 for size in x.index.shape[:-2]) or weights.ndim != 2:
        raise Refused("QC104", f"constant on the left of {x.index.shape}", "use a matrix on the right")
    turned = x.viewed(x.index.reshape(x.index.shape[-2:]).T)
    result = _product(build, node, turned, weights.T, scales)
    return result.viewed(result.index.T.reshape(build.graph.types[node.name].shape))


def _computed_matmul(build: Builder, node: Node, a: Carried, b: Carried) -> Carried:
    """Two computed matrices: products element by element, then their sums.

    Every row of ``a`` times every column of ``b``, where columns of ``b`` lie together in the channels; else every
    element of ``a`` times a row of ``b``. So several neighbours move at a time.
    """
    *rows, outs = shape = build.graph.types[node.name].shape
    inner = a.index.shape[-1]
    a, b = straight(build, a), straight(build, b)
    part = replace(node, name=f"{node.name}_products")
    beside = bool((np.diff(b.index, axis=-2) == 1).all())
    if beside:
        pairs = (*shape, inner)
        left, right = a.index[..., :, None, :], np.swapaxes(b.index, -1, -2)[..., None, :, :]
    else:
        a = placed(build, entire(build, a), np.arange(a.index.size).reshape(-1, inner, 1))
        pairs = (*rows, inner, outs)
        left, right = a.index[..., None], b.index[..., None, :, :]
    layout = np.arange(prod(pairs)).reshape(-1, *pairs[-2:])
    operands = ((a, left), (b, right))
    products = product(
        build, part, *(placed(build, x.viewed(np.broadcast_to(at, pairs)), layout) for x, at in operands)
    )
    op: integer.IntegerOp = integer.SumPool(Window((1, inner), (1, inner)), 0)
    steps = products.steps
    if beside:
        products, scale, offset = one_grid(build, products)
        op, steps = integer.MatMul(Array(np.ones((inner, 1), np.int64))), (Affine((scale,), (offset * inner,)),)
    name = build.emit(node.name, op, (products.node,), products.origin)
    return Carried(name, build.types[name].shape, np.arange(prod(shape)).reshape(shape), steps)


def _product(build: Builder, node: Node, x: Carried, weights: npt.NDArray[np.int64], scales: list[Fraction]) -> Carried:
    """The last axis of ``x`` times ``weights`` [in, out]."""
    x = entire(build, x)
    if x.index.size == x.index.shape[-1]:
        # Any order of the inputs will do: the weights' rows follow the integers.
        layout = x.layout.ravel()
        x = placed(build, x, layout)
        weights = weights[layout]
    else:
        positions = np.arange(x.index.size).reshape(x.index.shape)
        x = placed(build, x, positions[0] if x.index.shape[0] == 1 else positions)
    x, scale, offset = one_grid(build, x)
    origin = merge_origins(x.origin, node.origin)
    source = x.node
    if build.product is not Product.EXACT:
        _no_offset(offset)
        (quantizer,) = (v.quantizer for v in map(build.values.get, node.inputs) if isinstance(v, Known))
        made = expand(build, source, weights, quantizer, build.product)
        source, scale, weights = made.node, scale * made.unit, made.weights
    name = build.emit(node.name, integer.MatMul(Array(weights)), (source,), origin)
    shape = build.types[name].shape
    index = np.arange(int(np.prod(shape))).reshape(*x.index.shape[:-1], shape[-1])
    return Carried(name, shape, index, (_accumulator(scale, offset, scales, weights.sum(axis=0)),))
