"""One fast kernel per integer operation, on blocks of samples; exact by the choice of number type."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np

from qcompile.emulator.linear import conv, finishing, matmul
from qcompile.emulator.numbers import Numbers, PerChannel, cast, constants, dtype_for, magnitude, storage
from qcompile.emulator.pooling import max_pool, sum_pool
from qcompile.ir import integer
from qcompile.ir.integer import IntegerOp, IntType
from qcompile.numerics.rounding import Rounding, round_array
from qcompile.numerics.span import union

Kernel = Callable[..., Numbers]


def weighted_sum(op: integer.WeightedSum, result: IntType, *operands: IntType, planar: bool = False) -> Kernel:
    bound = max(abs(o) for o in op.offsets)
    for factors, x in zip(op.factors, operands, strict=True):
        bound += max(abs(f) for f in factors) * magnitude(x.span)
    dtype = dtype_for(bound)
    scales = [PerChannel(constants(factors, dtype), planar) for factors in op.factors]
    offsets = PerChannel(constants(op.offsets, dtype), planar)

    def scaled(a: Numbers, scale: PerChannel) -> Numbers:
        view, constant = scale.pair(np.ascontiguousarray(cast(a, dtype)))
        return (view * constant).reshape(a.shape)

    def kernel(*values: Numbers) -> Numbers:
        total = scaled(values[0], scales[0])
        for a, scale in zip(values[1:], scales[1:], strict=True):
            total += scaled(a, scale)
        view, constant = offsets.pair(total)
        np.add(view, constant, out=view)
        return total

    return kernel


def maximum(op: integer.Maximum, result: IntType, a: IntType, b: IntType) -> Kernel:
    dtype = dtype_for(max(magnitude(a.span), magnitude(b.span)))
    return lambda p, q: np.maximum(cast(p, dtype), cast(q, dtype))


def product(op: integer.Product, result: IntType, a: IntType, b: IntType) -> Kernel:
    dtype = dtype_for(magnitude(a.span) * magnitude(b.span))
    return lambda p, q: cast(p, dtype) * cast(q, dtype)


def xnor(op: integer.Xnor, result: IntType, a: IntType, b: IntType) -> Kernel:
    dtype = storage(result)
    return lambda p, q: (p == q).astype(dtype)


def select(op: integer.Select, result: IntType, condition: IntType, a: IntType, b: IntType) -> Kernel:
    dtype = storage(result)
    return lambda c, p, q: np.where(c.astype(bool), cast(p, dtype), cast(q, dtype))


def requantize(op: integer.Requantize, result: IntType, x: IntType) -> Kernel:
    """By definition, once per distinct value: slow, and there for graphs printed before realisation."""

    def kernel(a: Numbers) -> Numbers:
        flat = cast(a, np.dtype(object)).reshape(-1, a.shape[-1])
        out = np.empty(flat.shape, object)
        for channel in range(a.shape[-1]):
            values, inverse = np.unique(flat[:, channel], return_inverse=True)
            codes = np.array([op.function.code(int(v), channel) for v in values.tolist()], object)
            out[:, channel] = codes[inverse]
        return out.reshape(a.shape)

    return kernel


def rescale(op: integer.Rescale, result: IntType, x: IntType, planar: bool = False) -> Kernel:
    channels = range(max(len(op.factor), len(op.offset), len(op.shift)))
    parts = [op.of(c) for c in channels]
    reach = union(x.spans)
    bound = max(abs(f) * magnitude(reach) + abs(o) + (1 << s) for f, o, s in parts)
    low, high = op.low, op.high
    if bound <= 1 << 53:
        # A division by 2**shift is exact in floats, so floor sees the true quotient.
        dtype = dtype_for(bound)
        factor = np.array([f / (1 << s) for f, _, s in parts], np.float64).astype(dtype)
        scale = PerChannel(factor, planar)
        plain = bool((factor == 1).all())
        finish = finishing(op, x, dtype, planar)

        def kernel(a: Numbers) -> Numbers:
            value = np.array(a, dtype, order="C") if plain else np.empty(a.shape, dtype)
            if not plain:
                view, constant = scale.pair(np.ascontiguousarray(cast(a, dtype)))
                np.multiply(view, constant, out=value.reshape(view.shape))
            finish(value)
            return value

        return kernel
    wide = np.dtype(np.int64) if 2 * bound < 1 << 63 else np.dtype(object)
    shape = (-1, 1, 1, 1) if planar else (-1,)
    factors, offsets, shifts = (constants(tuple(p[k] for p in parts), wide).reshape(shape) for k in range(3))

    def exact(a: Numbers) -> Numbers:
        value = cast(a, wide) * factors + offsets
        below = value >> shifts
        if op.rounding is Rounding.HALF_EVEN:
            rest = (value - (below << shifts)) * 2
            one = np.ones_like(shifts) << shifts
            below = below + ((rest > one) | ((rest == one) & (below % 2 == 1)))
        return np.minimum(np.maximum(below, low), high)

    return exact


def round_significand(op: integer.RoundSignificand, result: IntType, x: IntType) -> Kernel:
    if 2 * magnitude(x.span) > 1 << 53:

        def definition(a: Numbers) -> Numbers:
            return op.evaluate(cast(a, np.dtype(object)))

        return definition

    def kernel(a: Numbers) -> Numbers:
        value = cast(a, np.dtype(np.float64)) * 2.0**-op.shift
        _, exponent = np.frexp(value)
        step = np.exp2(np.maximum(exponent - op.bits, 0))
        return round_array(value / step, op.rounding) * step

    return kernel


def thresholds(op: integer.Thresholds, result: IntType, x: IntType) -> Kernel:
    signs = np.array(op.sign, np.int64)
    base = np.array(op.base, np.int64)
    # Of signed operands, so that neither they nor the thresholds nor the signs leave int64.
    exact = np.dtype(object if storage(x).kind == "O" or op.at.values.dtype == object else np.int64)
    at = op.at.values.astype(exact)

    def kernel(a: Numbers) -> Numbers:
        flat = (cast(a, exact) * signs).reshape(-1, a.shape[-1])
        out = np.empty(flat.shape, np.int64)
        for channel in range(a.shape[-1]):
            out[:, channel] = np.searchsorted(at[channel % at.shape[0]], flat[:, channel], side="right")
        return (out * op.step + base).reshape(a.shape)

    return kernel


def lookup(op: integer.Lookup, result: IntType, x: IntType) -> Kernel:
    rows, entries = op.table.shape
    table = op.table.values.ravel()
    start = (np.arange(x.channels) % rows) * entries - op.low
    return lambda a: table[cast(a, np.dtype(np.int64)) + start]


def reshape(op: integer.Reshape, result: IntType, x: IntType) -> Kernel:
    return lambda a: a.reshape(a.shape[0], *op.shape)


def gather(op: integer.Gather, result: IntType, x: IntType) -> Kernel:
    return lambda a: a.reshape(a.shape[0], -1)[:, op.order.values]


def concat(op: integer.Concat, result: IntType, *operands: IntType) -> Kernel:
    dtype = storage(result)
    return lambda *values: np.concatenate([cast(v, dtype) for v in values], axis=-1)


def argmax(op: integer.ArgMax, result: IntType, x: IntType) -> Kernel:
    return lambda a: a.argmax(axis=-1)[..., None]


def output(op: integer.Output, result: IntType, x: IntType) -> Kernel:
    return lambda a: a


KERNELS: dict[type[IntegerOp], Callable[..., Kernel]] = {
    integer.MatMul: matmul,
    integer.WeightedSum: weighted_sum,
    integer.Maximum: maximum,
    integer.Product: product,
    integer.Xnor: xnor,
    integer.Select: select,
    integer.Requantize: requantize,
    integer.Rescale: rescale,
    integer.RoundSignificand: round_significand,
    integer.Thresholds: thresholds,
    integer.Lookup: lookup,
    integer.Reshape: reshape,
    integer.Gather: gather,
    integer.Concat: concat,
    integer.ArgMax: argmax,
    integer.Output: output,
}

PLANAR: dict[type[IntegerOp], Callable[..., Kernel]] = {
    integer.Conv: conv,
    integer.MaxPool: max_pool,
    integer.SumPool: sum_pool,
    integer.Rescale: partial(rescale, planar=True),
    integer.WeightedSum: partial(weighted_sum, planar=True),
    integer.Maximum: maximum,
    integer.Product: product,
    integer.Xnor: xnor,
}
"""Kernels on planar blocks: of operations that have no other, and of those that may follow them."""
