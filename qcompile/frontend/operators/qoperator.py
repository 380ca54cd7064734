"""Operators on codes: QLinearConv and its kin, MatMulInteger, ConvInteger, and onnxruntime's contributions.

Each is the real operator between DequantizeLinear and QuantizeLinear. The exact rational result is rounded
half to even, once.
"""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from qcompile.frontend.call import Call
from qcompile.frontend.grids import grid_of
from qcompile.frontend.operators.linear import convolved, multiplied, scaled, transposed_product
from qcompile.frontend.operators.pooling import averaged, globally_averaged
from qcompile.frontend.operators.qdq import dequantized, quantized, read_grid
from qcompile.frontend.registry import MICROSOFT, operator
from qcompile.frontend.reorder import permuted
from qcompile.frontend.values import Grid, Known, Live, Value
from qcompile.ir import model
from qcompile.numerics.quantizer import Quantizer

INT32 = np.dtype(np.int32)
_INT32_LIMITS = (-(2**31), 2**31 - 1)


def _operand(call: Call, index: int, axis: int = 0, part: str = "") -> Known | Live:
    """The reals behind codes at ``index``, with scale and zero point in the two inputs behind."""
    x = call.value(index)
    return dequantized(call, x, read_grid(call, x.shape, index + 1, index + 2, x.dtype, axis), part)


def _live(call: Call, index: int, part: str = "input") -> Live:
    return call.as_real(_operand(call, index, part=part))


def _result(call: Call, y: Live, scale_at: int, zero_at: int, axis: int = 0) -> Value:
    """Codes of ``y`` on the grid of the inputs at these places; without a zero point they are uint8."""
    dtype = call.known(zero_at, "zero point").dtype if call.has(zero_at) else np.dtype(np.uint8)
    call.dialects.add("qoperator")
    grid = read_grid(call, y.shape, scale_at, zero_at, dtype, axis)
    return quantized(call, y, grid, dtype, part="quantized")


def _bias(call: Call, index: int, x_scale_at: int, w_scale_at: int) -> Known:
    """An int32 bias, whose scale is the exact product of those of input and weights."""
    bias = call.known(index, "bias")
    x_scale = Fraction(call.number(x_scale_at, "scale of the input"))
    w_scales = [Fraction(float(s)) for s in call.constant(w_scale_at, "scale of the weights").ravel()]
    scales = tuple(x_scale * (s or 1) for s in w_scales)
    codes = bias.plain().astype(np.int64)
    factors = np.array([float(s) for s in scales])
    grid = Grid(Quantizer(scales, (Fraction(0),), *_INT32_LIMITS), codes.ndim - 1 if len(scales) > 1 else None)
    return Known(codes * (factors if len(scales) > 1 else factors[0]), bias.name, INT32, grid, origin=(call.name,))


@operator("QLinearConv")
def qlinear_conv(call: Call) -> Value:
    x = _live(call, 0)
    weights = _weights(call, 3, axis=0)
    bias = _bias(call, 8, 1, 4) if call.has(8) else None
    return _result(call, convolved(call, x, weights, bias), 6, 7)


def _weights(call: Call, index: int, axis: int) -> Known:
    call.known(index, "weights")
    found = _operand(call, index, axis)
    assert isinstance(found, Known)
    return found


@operator("QLinearMatMul")
def qlinear_matmul(call: Call) -> Value:
    """Scales of a may differ by row, those of b by column."""
    a = _operand(call, 0, axis=-2, part="a")
    b = _operand(call, 3, axis=-1, part="b")
    return _result(call, multiplied(call, a, b), 6, 7, axis=-2)


def _integers(call: Call, index: int, zero_at: int, axis: int) -> Known | Live:
    """Codes minus their zero point, as reals with scale 1."""
    x = call.value(index)
    zero = call.constant(zero_at, "zero point") if call.has(zero_at) else np.zeros((), np.int64)
    if isinstance(x, Live) and x.codes is not None and (x.codes.real_scale(0)[0] == 1).all():
        same = tuple(Fraction(int(z)) for z in zero.ravel()) == x.codes.quantizer.zero_point
        if same and x.codes.axis is None:
            return Live(x.name, x.shape, x.dtype)
    return dequantized(call, x, grid_of(call, np.ones(()), zero, x.dtype, axis, x.shape), part=f"codes{index}")


@operator("MatMulInteger")
def matmul_integer(call: Call) -> Value:
    product = multiplied(call, _integers(call, 0, 2, axis=-2), _integers(call, 1, 3, axis=-1))
    call.dialects.add("qoperator")
    return Live(product.name, product.shape, INT32)


@operator("ConvInteger")
def conv_integer(call: Call) -> Value:
    call.known(1, "weights")
    weights = _integers(call, 1, 3, axis=0)
    assert isinstance(weights, Known)
    result = convolved(call, call.as_real(_integers(call, 0, 2, axis=1)), weights)
    call.dialects.add("qoperator")
    return Live(result.name, result.shape, INT32)


# -- com.microsoft


@operator("QLinearAdd", "QLinearMul", domain=MICROSOFT)
def qlinear_pair(call: Call) -> Value:
    a, b = (call.as_real(_operand(call, i, part=p)) for i, p in ((0, "a"), (3, "b")))
    if isinstance(call.value(0), Known):
        a, b = b, a
    op = model.Add() if call.op_type == "QLinearAdd" else model.Mul()
    return _result(call, call.emit(op, a, b), 6, 7)


@operator("QLinearConcat", domain=MICROSOFT)
def qlinear_concat(call: Call) -> Value:
    parts = [call.as_real(_operand(call, i, part=f"part{i // 3}")) for i in range(2, len(call.operands), 3)]
    axis = call.attribute("axis") % len(parts[0].shape)
    return _result(call, call.emit(model.Concat(axis), *parts), 0, 1)


@operator("QLinearGlobalAveragePool", "QLinearAveragePool", domain=MICROSOFT)
def qlinear_pool(call: Call) -> Value:
    x = _live(call, 0)
    last = bool(call.attribute("channels_last", 0))
    rank = len(x.shape)
    if last:
        x = permuted(call, x, (0, rank - 1, *range(1, rank - 1)), part="channels_first")
    y = globally_averaged(call, x) if "Global" in call.op_type else averaged(call, x)
    if last:
        y = permuted(call, y, (0, *range(2, rank), 1), part="channels_last")
    return _result(call, y, 3, 4)


@operator("QLinearSigmoid", "QLinearLeakyRelu", "QLinearSoftmax", domain=MICROSOFT)
def qlinear_function(call: Call) -> Value:
    x = _live(call, 0)
    match call.op_type:
        case "QLinearSigmoid":
            y = call.emit(model.Curve("sigmoid"), x)
        case "QLinearLeakyRelu":
            slope = call.scalar(np.float32(call.attribute("alpha", 0.01)), "slope")
            y = call.emit(model.LeakyRelu(), x, slope)
        case _:
            y = call.emit(model.Softmax(call.attribute("axis", -1) % len(x.shape)), x)
    return _result(call, y, 3, 4)


@operator("QLinearReduceMean", domain=MICROSOFT)
def qlinear_mean(call: Call) -> Value:
    x = _live(call, 0)
    axes = tuple(sorted(a % len(x.shape) for a in call.attribute("axes") or range(len(x.shape))))
    y = call.emit(model.Reduce("mean", axes, bool(call.attribute("keepdims", 1))), x)
    return _result(call, y, 3, 4)


@operator("QGemm", domain=MICROSOFT)
def qgemm(call: Call) -> Value:
    """``alpha * A' B' + C``, with C as codes of scale alpha * scale(A) * scale(B); floats where y has no scale."""
    a = _operand(call, 0, part="a")
    b = _operand(call, 3, axis=0 if call.attribute("transB", 0) else 1, part="b")
    alpha = call.attribute("alpha", 1.0)
    y = transposed_product(call, a, b)
    if call.has(6):
        bias = _bias(call, 6, 1, 4)
        y = call.emit(model.Add(), y, call.as_real(bias), part="bias")
    y = scaled(call, y, alpha, "alpha")
    if not call.has(7):
        call.dialects.add("qoperator")
        return y
    return _result(call, y, 7, 8)
