"""Element-by-element arithmetic."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np

from qcompile.errors import CompileError
from qcompile.frontend.builder import as_float64
from qcompile.frontend.call import Call
from qcompile.frontend.fold import fold
from qcompile.frontend.gelu import gelu_operand
from qcompile.frontend.grids import channels_of
from qcompile.frontend.registry import operator
from qcompile.frontend.values import Grid, Known, Live, Value
from qcompile.ir import model
from qcompile.numerics.bipolar import BipolarQuantizer
from qcompile.numerics.quantizer import Quantizer
from qcompile.numerics.rounding import Rounding


def _constant_last(call: Call) -> tuple[Live, Live]:
    """Both operands of a commutative operator, a constant one behind."""
    first, second = (1, 0) if isinstance(call.value(0), Known) else (0, 1)
    return call.real(first), call.real(second)


@operator("Add")
def add(call: Call) -> Value:
    x, y = _constant_last(call)
    return call.emit(model.Add(), x, y)


@operator("Mul", folds=False)
def mul(call: Call) -> Value | tuple[Value, ...]:
    a, b = call.value(0), call.value(1)
    if isinstance(a, Known) and isinstance(b, Known):
        return rescaled(call, a, b, divide=False) or rescaled(call, b, a, divide=False) or fold(call)
    x, y = _constant_last(call)
    for value, gate in ((x, y), (y, x)):
        if call.builder.computes(gate, model.Curve("sigmoid"), value):
            # Exporters write SiLU as x * sigmoid(x): one function of x, which a table can hold.
            return call.emit(model.Curve("swish", (Fraction(1),)), value)
    gelu = gelu_operand(call.builder, x, y)
    if gelu is not None:
        return call.emit(model.Curve("gelu"), gelu)
    return call.emit(model.Mul(), x, y)


def rescaled(call: Call, x: Known, factor: Known, *, divide: bool) -> Known | None:
    """A quantized constant times (or divided by) positive numbers: its scale changes, its codes stay.

    None where that cannot be said with one scale per channel.
    """
    grid = x.grid
    if grid is None or x.coded or type(grid.quantizer) not in (Quantizer, BipolarQuantizer):
        return None
    numbers = factor.plain().astype(np.float64)
    if np.broadcast_shapes(numbers.shape, x.shape) != x.shape or not (numbers > 0).all():
        return None
    own = np.array([float(s) for s in grid.quantizer.scale])
    if len(own) > 1 and grid.axis is not None:
        own = own.reshape([-1 if a == grid.axis else 1 for a in range(x.array.ndim)])
    try:
        axis, (scales, factors) = channels_of(call, x.shape, np.broadcast_to(own, own.shape), numbers)
    except CompileError:
        return None
    if grid.axis not in (None, axis):
        axis = grid.axis
    count = max(len(scales), len(factors))
    pairs = [(grid.quantizer.scale_of(i), Fraction(float(factors[i % len(factors)]))) for i in range(count)]
    scale = tuple(s / f if divide else s * f for s, f in pairs)
    quantizer = replace(grid.quantizer, scale=scale)
    spread = numbers if numbers.ndim else float(numbers)
    return replace(
        x,
        array=x.array / spread if divide else x.array * spread,
        grid=replace(grid, quantizer=quantizer, axis=axis if quantizer.channels > 1 else None),
        origin=(*x.origin, call.name),
    )


@operator("Sub")
def sub(call: Call) -> Value:
    a, b = call.value(0), call.value(1)
    if isinstance(b, Known) and b.grid is None:
        negated = Known(np.negative(as_float64(b.array, b.name)), f"{b.name}.negated", b.dtype, origin=b.origin)
        return call.emit(model.Add(), call.real(0), call.as_real(negated))
    minus = call.emit(model.Mul(), call.real(1), call.scalar(-1.0, "minus_one"), part="negated")
    first, second = (minus, call.real(0)) if isinstance(a, Known) else (call.real(0), minus)
    return call.emit(model.Add(), first, second)


@operator("Div", folds=False)
def div(call: Call) -> Value | tuple[Value, ...]:
    """A division stays one: the reciprocal of the divisor is rarely a float. Integers divide towards zero."""
    divisor = call.known(1, "divisor")
    dividend = call.value(0)
    if isinstance(dividend, Known):
        return rescaled(call, dividend, divisor, divide=True) or fold(call)
    if not divisor.plain().astype(np.float64).all():
        raise call.refuse("QC106", "division by zero", "train or export again")
    quotient = call.emit(model.Div(), call.real(0), call.as_real(divisor))
    if dividend.dtype.kind not in "iu":
        return quotient
    return call.quantize(quotient, Grid(Quantizer((Fraction(1),), rounding=Rounding.ZERO)), part="integer")


@operator("Neg")
def neg(call: Call) -> Value:
    x = call.real(0)
    return call.emit(model.Mul(), x, call.scalar(-1.0, "minus_one"))


@operator("Relu")
def relu(call: Call) -> Value:
    x = call.real(0)
    return call.emit(model.Clip(0.0, None), x)


@operator("LeakyRelu")
def leaky_relu(call: Call) -> Value:
    slope = call.attribute("alpha", 0.01)
    return call.emit(model.LeakyRelu(), call.real(0), call.scalar(np.float32(slope), "slope"))


@operator("PRelu")
def prelu(call: Call) -> Value:
    slope = call.known(1, "slope")
    return call.emit(model.LeakyRelu(), call.real(0), call.as_real(slope))


@operator("Sum", "Mean")
def total(call: Call) -> Value:
    """The sum of all operands; their mean is its quotient by their number."""
    result = call.real(0)
    for index in range(1, len(call.operands)):
        result = call.emit(model.Add(), result, call.real(index), part=f"term{index}")
    if call.op_type == "Mean":
        count = call.scalar(float(len(call.operands)), "count")
        result = call.emit(model.Div(), result, count)
    return result


@operator("Max", "Min")
def extreme(call: Call) -> Value:
    """With a single constant number it is a Clip, the form that activations have."""
    result = call.value(0)
    for index in range(1, len(call.operands)):
        other = call.value(index)
        if isinstance(result, Known):
            result, other = other, result
        result = _extreme_of_two(call, call.as_real(result), other)
    return result


def _extreme_of_two(call: Call, x: Live, other: Known | Live) -> Live:
    greatest = call.op_type == "Max"
    if isinstance(other, Known) and other.array.size == 1 and len(other.shape) <= len(x.shape):
        bound = float(as_float64(other.plain(), other.name).ravel()[0])
        return call.emit(model.Clip(bound, None) if greatest else model.Clip(None, bound), x)
    op = model.Maximum() if greatest else model.Minimum()
    return call.emit(op, x, call.as_real(other))
