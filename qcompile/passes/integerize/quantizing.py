"""Quantizers, and the comparisons that are quantizers to 0 and 1."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np

from qcompile.ir import integer, model
from qcompile.ir.graph import Node, merge_origins
from qcompile.numerics.function import Affine, Curve, Leaky, ScalarFunction, direction
from qcompile.numerics.quantizer import Quantizer
from qcompile.numerics.rounding import Rounding
from qcompile.passes.integerize.builder import Builder, Value
from qcompile.passes.integerize.carried import Carried, Index, Known, Raw, Refused
from qcompile.passes.integerize.grids import straight
from qcompile.passes.integerize.inputs import dequantize, quantized_input
from qcompile.passes.integerize.placing import entire, flat

_ONE, _ZERO = Fraction(1), Fraction(0)
_LARGEST_TABLE = 1 << 16

ABOVE = Quantizer((_ONE,), low=0, high=1, rounding=Rounding.CEIL)
"""1 where the value is above 0."""
AT_LEAST = Quantizer((_ONE,), (_ONE,), low=0, high=1, rounding=Rounding.FLOOR)
"""1 where the value is at least 0."""
SIGN = Quantizer((_ONE,), low=-1, high=1, rounding=Rounding.AWAY)
"""-1, 0 or 1."""


def quantize(build: Builder, node: Node) -> Value:
    op = node.op
    assert isinstance(op, model.Quantize)
    value = build.values[node.inputs[0]]
    axis_index = None
    if op.quantizer.channels > 1:
        assert op.axis is not None
        shape = build.graph.types[node.name].shape
        along = [-1 if a == op.axis % len(shape) else 1 for a in range(len(shape))]
        axis_index = np.broadcast_to(np.arange(shape[op.axis]).reshape(along), shape)
    if isinstance(value, Known):
        axis = None if op.axis is None else op.axis % value.values.ndim
        codes = op.quantizer.codes(np.asarray(value.values, np.float64), axis)
        if value.codes is not None or value.values.dtype == object:  # not floats: rounded exactly
            channels = np.zeros(value.shape, np.int64) if axis_index is None else axis_index
            for position, channel in enumerate(channels.ravel().tolist()):
                codes.flat[position] = op.quantizer.code(value.exact(position), channel)
        return Known(value.values, codes, op.quantizer, axis_index)
    if isinstance(value, Raw):
        return quantized_input(build, value, op.quantizer, axis_index, node.origin)
    if value.host is not None:
        return replace(value, grid=op.quantizer, origin=merge_origins(value.origin, node.origin))
    return quantized(build, node, value, op.quantizer, axis_index)


def quantized(build: Builder, node: Node, x: Carried, quantizer: Quantizer, axis_index: Index | None = None) -> Carried:
    """The codes of ``x`` under ``quantizer``, whose channels ``axis_index`` holds for every ONNX element."""
    x = entire(build, x)
    if quantizer.channels > 1:
        assert axis_index is not None
        rows = axis_index.ravel()[x.layout].reshape(-1, x.channels)
        if not (rows == rows[:1]).all():  # along another axis: every element gets its own
            x = flat(build, x)
            rows = axis_index.ravel()[x.layout][None]
        quantizer = quantizer.picked(rows[0].tolist())
    origin = merge_origins(x.origin, node.origin)
    if _on_grid(build, x, quantizer):
        return replace(x, origin=origin)
    x = _monotone(build, x)
    requantize = integer.Requantize(ScalarFunction(x.steps, quantizer))
    name = build.emit(node.name, requantize, (x.node,), origin)
    return Carried(name, x.shape, x.index, (dequantize(quantizer),))


def _on_grid(build: Builder, x: Carried, quantizer: Quantizer) -> bool:
    """Whether the codes are this quantizer's already."""
    affine = x.affine()
    return (
        quantizer.every_integer
        and affine is not None
        and affine == dequantize(quantizer)
        and all(z.denominator == 1 for z in quantizer.zero_point)
        and (quantizer.span is None or quantizer.span.holds(build.types[x.node].span))
    )


def _monotone(build: Builder, x: Carried) -> Carried:
    """``x`` with steps that a requantization of many accumulators can have."""
    if build.types[x.node].span.size <= _LARGEST_TABLE >> 4:
        return x
    if all(direction(x.steps, c) is not None for c in range(x.channels)):
        return x
    curved = next((place for place, step in enumerate(x.steps) if isinstance(step, Curve)), len(x.steps))
    bends = [place for place, step in enumerate(x.steps[:curved]) if isinstance(step, Leaky)]
    if bends and all(direction(x.steps[bends[-1] + 1 :], c) is not None for c in range(x.channels)):
        bent = straight(build, replace(x, steps=x.steps[: bends[-1] + 1]))
        for step in x.steps[bends[-1] + 1 :]:
            bent = bent.then(step, ())
        return bent
    span = build.types[x.node].span
    if span.size <= _LARGEST_TABLE:
        return x
    raise Refused(
        "QC301",
        f"a function that rises and falls, of an accumulator in {span}, needs a table of more than "
        f"{_LARGEST_TABLE} entries",
        "quantize the accumulator to at most 16 bits before the nonlinearity",
    )


def compared(build: Builder, node: Node, difference: Carried, or_equal: bool = False) -> Carried:
    """1 where ``difference`` is above 0 (``or_equal``: at least 0), else 0."""
    result = quantized(build, node, difference, AT_LEAST if or_equal else ABOVE)
    return replace(result, steps=(Affine((_ONE,), (_ZERO,)),))
