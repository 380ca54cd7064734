"""One fast kernel per integer operation, on ``[samples, *shape]`` arrays; exact by the choice of number type.

Integers travel as float32 while every value (and partial sum) stays below 2**24, as float64 below 2**53, as
int64 below 2**63, else as Python ints. Within those bounds float sums and products of integers are exact in
any order, and BLAS is many times faster than integer loops.
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt

from qcompile.ir import integer
from qcompile.ir.integer import IntegerOp, IntType
from qcompile.numerics.rounding import Rounding
from qcompile.numerics.span import Span, union

Numbers = npt.NDArray[Any]
Kernel = Callable[..., Numbers]


def dtype_for(bound: int) -> np.dtype[Any]:
    """The fastest type that holds every integer up to ``bound`` in magnitude exactly."""
    if bound <= 1 << 24:
        return np.dtype(np.float32)
    if bound <= 1 << 53:
        return np.dtype(np.float64)
    return np.dtype(np.int64) if bound < 1 << 63 else np.dtype(object)


def _magnitude(span: Span) -> int:
    return max(abs(span.low), abs(span.high))


def storage(kind: IntType) -> np.dtype[Any]:
    """The type in which a tensor's codes travel."""
    return dtype_for(_magnitude(kind.span))


def _as(x: Numbers, dtype: np.dtype[Any]) -> Numbers:
    if x.dtype == dtype:
        return x
    if dtype.kind == "O" and x.dtype.kind == "f":
        return x.astype(np.int64).astype(object)
    return x.astype(dtype)


def _constants(values: tuple[int, ...], dtype: np.dtype[Any]) -> Numbers:
    return np.array(values, object).astype(dtype)


def _dot_dtype(weights: npt.NDArray[np.int64], operand: IntType, fill: int = 0) -> np.dtype[Any]:
    """The type in which ``x @ weights`` ([..., in, out]) is exact whatever the order of additions."""
    largest = max(_magnitude(operand.span), abs(fill))
    total = int(np.abs(weights).reshape(-1, weights.shape[-1]).sum(axis=0).max()) if weights.size else 0
    return dtype_for(largest * total)


def matmul(op: integer.MatMul, result: IntType, x: IntType) -> Kernel:
    dtype = _dot_dtype(op.weights.values, x)
    weights = _as(op.weights.values, dtype)
    return lambda a: _as(a, dtype) @ weights


def conv(op: integer.Conv, result: IntType, x: IntType) -> Kernel:
    dtype = _dot_dtype(op.weights.values, x, op.fill)
    rows, columns, per, outs = op.weights.shape
    weights = _as(op.weights.values, dtype)
    if op.groups > 1 and per == 1 and outs == op.groups:
        return lambda a: _depthwise(op, _as(a, dtype), weights, dtype)
    each = outs // op.groups
    blocks = [
        np.ascontiguousarray(weights[..., g * each : (g + 1) * each].reshape(rows * columns * per, each))
        for g in range(op.groups)
    ]

    def kernel(a: Numbers) -> Numbers:
        patches = op.window.patches(_as(a, dtype), op.fill)
        count = patches.shape[:3]
        parts = [
            patches[..., g * per : (g + 1) * per].reshape(prod(count), -1) @ block for g, block in enumerate(blocks)
        ]
        return (parts[0] if len(parts) == 1 else np.concatenate(parts, axis=1)).reshape(*count, outs)

    return kernel


def _depthwise(op: integer.Conv, a: Numbers, weights: Numbers, dtype: np.dtype[Any]) -> Numbers:
    """One filter per channel: shifted images, scaled and added."""
    patches = op.window.patches(a, op.fill)
    total = np.zeros((*patches.shape[:3], patches.shape[5]), dtype)
    for row in range(patches.shape[3]):
        for column in range(patches.shape[4]):
            total += patches[:, :, :, row, column, :] * weights[row, column, 0]
    return total


def max_pool(op: integer.MaxPool, result: IntType, x: IntType) -> Kernel:
    lowest = x.span.low

    def kernel(a: Numbers) -> Numbers:
        patches = op.window.patches(a, lowest)
        best = patches[:, :, :, 0, 0, :].copy()
        for row in range(patches.shape[3]):
            for column in range(patches.shape[4]):
                np.maximum(best, patches[:, :, :, row, column, :], out=best)
        return best

    return kernel


def sum_pool(op: integer.SumPool, result: IntType, x: IntType) -> Kernel:
    largest = max(_magnitude(x.span), abs(op.fill))
    dtype = dtype_for(largest * prod(op.window.kernel))

    def kernel(a: Numbers) -> Numbers:
        patches = op.window.patches(_as(a, dtype), op.fill)
        total = np.zeros((*patches.shape[:3], patches.shape[5]), dtype)
        for row in range(patches.shape[3]):
            for column in range(patches.shape[4]):
                total += patches[:, :, :, row, column, :]
        return total

    return kernel


def weighted_sum(op: integer.WeightedSum, result: IntType, *operands: IntType) -> Kernel:
    bound = max(abs(o) for o in op.offsets)
    for factors, x in zip(op.factors, operands, strict=True):
        bound += max(abs(f) for f in factors) * _magnitude(x.span)
    dtype = dtype_for(bound)
    scales = [_constants(factors, dtype) for factors in op.factors]
    offsets = _constants(op.offsets, dtype)

    def kernel(*values: Numbers) -> Numbers:
        total = _as(values[0], dtype) * scales[0]
        for a, scale in zip(values[1:], scales[1:], strict=True):
            total += _as(a, dtype) * scale
        return total + offsets

    return kernel


def maximum(op: integer.Maximum, result: IntType, a: IntType, b: IntType) -> Kernel:
    dtype = dtype_for(max(_magnitude(a.span), _magnitude(b.span)))
    return lambda p, q: np.maximum(_as(p, dtype), _as(q, dtype))


def requantize(op: integer.Requantize, result: IntType, x: IntType) -> Kernel:
    """By definition, once per distinct value: slow, and there for graphs printed before realisation."""

    def kernel(a: Numbers) -> Numbers:
        flat = _as(a, np.dtype(object)).reshape(-1, a.shape[-1])
        out = np.empty(flat.shape, object)
        for channel in range(a.shape[-1]):
            values, inverse = np.unique(flat[:, channel], return_inverse=True)
            codes = np.array([op.function.code(int(v), channel) for v in values.tolist()], object)
            out[:, channel] = codes[inverse]
        return out.reshape(a.shape)

    return kernel


def rescale(op: integer.Rescale, result: IntType, x: IntType) -> Kernel:
    channels = range(max(len(op.factor), len(op.offset), len(op.shift)))
    parts = [op.of(c) for c in channels]
    reach = union(x.spans)
    bound = max(abs(f) * _magnitude(reach) + abs(o) + (1 << s) for f, o, s in parts)
    low, high = op.low, op.high
    if bound <= 1 << 53:
        # A division by 2**shift is exact in floats, so floor sees the true quotient.
        dtype = dtype_for(bound)
        factor = np.array([f / (1 << s) for f, _, s in parts], np.float64).astype(dtype)
        offset = np.array([o / (1 << s) for _, o, s in parts], np.float64).astype(dtype)
        rounded = np.floor if op.rounding is Rounding.FLOOR else np.rint
        plain = bool((factor == 1).all()), not offset.any(), not any(s for _, _, s in parts)

        def kernel(a: Numbers) -> Numbers:
            value = _as(a, dtype) * factor if not plain[0] else _as(a, dtype).copy()
            if not plain[1]:
                value += offset
            if not plain[2]:
                rounded(value, out=value)
            return np.clip(value, low, high, out=value)

        return kernel
    wide = np.dtype(np.int64) if 2 * bound < 1 << 63 else np.dtype(object)
    factors, offsets, shifts = (_constants(tuple(p[k] for p in parts), wide) for k in range(3))

    def exact(a: Numbers) -> Numbers:
        value = _as(a, wide) * factors + offsets
        below = value >> shifts
        if op.rounding is Rounding.HALF_EVEN:
            rest = (value - (below << shifts)) * 2
            one = np.ones_like(shifts) << shifts
            below = below + ((rest > one) | ((rest == one) & (below % 2 == 1)))
        return np.minimum(np.maximum(below, low), high)

    return exact


def thresholds(op: integer.Thresholds, result: IntType, x: IntType) -> Kernel:
    signs = np.array(op.sign, np.int64)
    base = np.array(op.base, np.int64)
    at = op.at.values

    def kernel(a: Numbers) -> Numbers:
        flat = (_as(a, np.dtype(np.int64)) * signs).reshape(-1, a.shape[-1])
        out = np.empty(flat.shape, np.int64)
        for channel in range(a.shape[-1]):
            out[:, channel] = np.searchsorted(at[channel % at.shape[0]], flat[:, channel], side="right")
        return (out * op.step + base).reshape(a.shape)

    return kernel


def lookup(op: integer.Lookup, result: IntType, x: IntType) -> Kernel:
    rows, entries = op.table.shape
    table = op.table.values.ravel()
    start = (np.arange(x.channels) % rows) * entries - op.low
    return lambda a: table[_as(a, np.dtype(np.int64)) + start]


def reshape(op: integer.Reshape, result: IntType, x: IntType) -> Kernel:
    return lambda a: a.reshape(a.shape[0], *op.shape)


def gather(op: integer.Gather, result: IntType, x: IntType) -> Kernel:
    return lambda a: a.reshape(a.shape[0], -1)[:, op.order.values]


def concat(op: integer.Concat, result: IntType, *operands: IntType) -> Kernel:
    dtype = storage(result)
    return lambda *values: np.concatenate([_as(v, dtype) for v in values], axis=-1)


def argmax(op: integer.ArgMax, result: IntType, x: IntType) -> Kernel:
    return lambda a: a.argmax(axis=-1)[..., None]


def output(op: integer.Output, result: IntType, x: IntType) -> Kernel:
    return lambda a: a


KERNELS: dict[type[IntegerOp], Callable[..., Kernel]] = {
    integer.Conv: conv,
    integer.MatMul: matmul,
    integer.MaxPool: max_pool,
    integer.SumPool: sum_pool,
    integer.WeightedSum: weighted_sum,
    integer.Maximum: maximum,
    integer.Requantize: requantize,
    integer.Rescale: rescale,
    integer.Thresholds: thresholds,
    integer.Lookup: lookup,
    integer.Reshape: reshape,
    integer.Gather: gather,
    integer.Concat: concat,
    integer.ArgMax: argmax,
    integer.Output: output,
}
