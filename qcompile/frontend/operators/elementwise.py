"""Element-by-element operators."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import onnx

from qcompile.frontend.builder import as_float64
from qcompile.frontend.call import Call
from qcompile.frontend.registry import operator
from qcompile.frontend.values import Grid, Known, Live, Value
from qcompile.ir import model


def _constant_last(call: Call) -> tuple[Live, Live]:
    """Both operands of a commutative operator, a constant one behind."""
    first, second = (1, 0) if isinstance(call.value(0), Known) else (0, 1)
    return call.real(first), call.real(second)


@operator("Add")
def add(call: Call) -> Value:
    x, y = _constant_last(call)
    return call.emit(model.Add(), x, y, dtype=x.dtype)


@operator("Mul")
def mul(call: Call) -> Value:
    x, y = _constant_last(call)
    return call.emit(model.Mul(), x, y, dtype=x.dtype)


@operator("Sub")
def sub(call: Call) -> Value:
    a, b = call.value(0), call.value(1)
    if isinstance(b, Known) and b.grid is None:
        negated = Known(-as_float64(b.array, b.name), f"{b.name}.negated", b.dtype, origin=b.origin)
        return call.emit(model.Add(), call.real(0), call.as_real(negated), dtype=a.dtype)
    minus = call.emit(model.Mul(), call.real(1), call.scalar(-1.0, "minus_one"), part="negated", dtype=b.dtype)
    first, second = (minus, call.real(0)) if isinstance(a, Known) else (call.real(0), minus)
    return call.emit(model.Add(), first, second, dtype=a.dtype)


@operator("Div")
def div(call: Call) -> Value:
    """A division stays one: the reciprocal of the divisor is rarely a float."""
    divisor = call.known(1, "divisor")
    x = call.real(0)
    if x.dtype.kind in "iu":
        raise call.refuse("QC104", "division of integers", "divide in floating point and round where needed")
    if not divisor.plain().all():
        raise call.refuse("QC106", "division by zero", "train or export again")
    return call.emit(model.Div(), x, call.as_real(divisor), dtype=x.dtype)


@operator("Neg")
def neg(call: Call) -> Value:
    x = call.real(0)
    return call.emit(model.Mul(), x, call.scalar(-1.0, "minus_one"), dtype=x.dtype)


@operator("Relu")
def relu(call: Call) -> Value:
    x = call.real(0)
    return call.emit(model.Clip(0.0, None), x, dtype=x.dtype)


@operator("Clip", folds=False)
def clip(call: Call) -> Value:
    """Bounds are attributes before opset 11, inputs since. On codes it narrows the grid (Brevitas QCDQ)."""
    x = call.value(0)
    if call.version >= 11:
        low = call.number(1, "min") if call.has(1) else None
        high = call.number(2, "max") if call.has(2) else None
    else:
        low, high = call.attribute("min"), call.attribute("max")
    low = None if low is None or low <= _LOWEST else float(low)
    high = None if high is None or high >= -_LOWEST else float(high)
    if isinstance(x, Known):
        return _clip_known(x, low, high)
    if x.codes is not None and x.source is not None:
        return _narrowed(call, x, x.codes, x.source, low, high)
    return call.emit(model.Clip(low, high), call.as_real(x), dtype=x.dtype)


_LOWEST = float(np.finfo(np.float32).min)
"""Exporters write an open bound as infinity or as the largest float."""


def _clip_known(x: Known, low: float | None, high: float | None) -> Value:
    plain = x.plain()
    array = np.clip(plain.astype(np.float64), low, high).astype(plain.dtype)
    integer = plain.dtype.kind in "iu" and low is not None and high is not None
    limits = (int(low), int(high)) if integer and low is not None and high is not None else None
    return Known(array, x.name, x.dtype, limits=limits, origin=x.origin)


def _narrowed(
    call: Call, x: Live, grid: Grid, source: Live, low: float | None, high: float | None
) -> Live:
    q = grid.quantizer
    lows = [v for v in (q.low, None if low is None else int(low)) if v is not None]
    highs = [v for v in (q.high, None if high is None else int(high)) if v is not None]
    narrow = replace(q, low=max(lows) if lows else None, high=min(highs) if highs else None)
    call.dialects.add("qcdq")
    result = call.quantize(source, Grid(narrow, grid.axis))
    return Live(result.name, result.shape, x.dtype, Grid(narrow, grid.axis), source)


@operator("LeakyRelu")
def leaky_relu(call: Call) -> Value:
    slope = call.attribute("alpha", 0.01)
    return call.emit(model.LeakyRelu(), call.real(0), call.scalar(np.float32(slope), "slope"))


@operator("PRelu")
def prelu(call: Call) -> Value:
    slope = call.known(1, "slope")
    return call.emit(model.LeakyRelu(), call.real(0), call.as_real(slope))


@operator("Sigmoid", "Tanh", "Exp")
def curve(call: Call) -> Value:
    return call.emit(model.Curve(call.op_type.lower()), call.real(0))


@operator("Cast")
def cast(call: Call) -> Value:
    """Reals do not change where the target type holds all of them; what would round is refused."""
    x = call.value(0)
    target = np.dtype(onnx.helper.tensor_dtype_to_np_dtype(call.attribute("to")))
    live = call.as_real(x)
    if target.kind == "f" or target == x.dtype:
        return Live(live.name, live.shape, target)
    raise call.refuse(
        "QC104",
        f"from {x.dtype.name} to {target.name}",
        "casts to floating point are supported; express rounding with Round, Floor or QuantizeLinear",
    )


