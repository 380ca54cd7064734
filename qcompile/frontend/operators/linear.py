"""Convolutions and matrix products."""

from __future__ import annotations

import numpy as np

from qcompile.frontend.call import Call
from qcompile.frontend.operators.windows import as_images, read_window
from qcompile.frontend.registry import operator
from qcompile.frontend.reorder import permuted, reshaped, taken
from qcompile.frontend.values import Known, Live, Value
from qcompile.ir import model


@operator("Conv")
def conv(call: Call) -> Value:
    return convolved(call, call.real(0), call.known(1, "weights"), call.value(2) if call.has(2) else None)


def convolved(call: Call, x: Live, weights: Known, bias: Known | Live | None = None) -> Live:
    """The convolution that the node's attributes describe; 1-D is 2-D with one row."""
    groups = int(call.attribute("group", 1))
    spatial = weights.shape[2:]
    if len(weights.shape) != len(x.shape) or not 1 <= len(spatial) <= 2:
        raise call.refuse(
            "QC104",
            f"input {list(x.shape)} with weights {list(weights.shape)}",
            "1-D and 2-D convolutions are supported; export a 3-D one as several 2-D ones",
        )
    declared = call.attribute("kernel_shape")
    if declared is not None and tuple(declared) != spatial:
        raise call.refuse("QC107", f"kernel_shape {list(declared)} but weights {list(weights.shape)}", "fix either")
    window, _ = read_window(call, spatial, x.shape[2:])
    if len(spatial) == 1:
        weights = reshaped(call, weights, (*weights.shape[:2], 1, spatial[0]))
    result = call.emit(model.Conv(window, groups), as_images(call, x), call.as_real(weights))
    if bias is not None:
        result = add_bias(call, result, bias, (1, -1, 1, 1))
    return call.reshape(result, (*result.shape[:2], *result.shape[-len(spatial) :]), part="output")


def add_bias(call: Call, x: Live, bias: Known | Live, shape: tuple[int, ...]) -> Live:
    """``x`` plus a 1-D bias laid along the axis that ``shape`` gives."""
    size = int(np.prod(bias.shape))
    wanted = tuple(size if n == -1 else n for n in shape)
    if isinstance(bias, Known):
        return call.emit(model.Add(), x, call.as_real(reshaped(call, bias, wanted)), part="bias")
    return call.emit(model.Add(), x, call.reshape(call.as_real(bias), wanted, "bias"), part="bias")


@operator("MatMul")
def matmul(call: Call) -> Value:
    return multiplied(call, call.value(0), call.value(1))


def multiplied(call: Call, a: Known | Live, b: Known | Live) -> Live:
    """``numpy.matmul``: a 1-D operand counts as a row in front, as a column behind."""
    if isinstance(a, Live) and isinstance(b, Known) and b.parts and b.parts_axis == len(b.shape) - 2:
        return _sum_of_blocks(call, call.as_real(a), b)
    row, column = len(a.shape) == 1, len(b.shape) == 1
    left = _with_shape(call, a, (1, *a.shape)) if row else call.as_real(a)
    right = _with_shape(call, b, (*b.shape, 1)) if column else call.as_real(b)
    result = call.emit(model.MatMul(), left, right)
    shape = list(result.shape)
    if column:
        del shape[-1]
    if row:
        del shape[-1 if column else -2]
    return call.reshape(result, tuple(shape), part="vector")


def _sum_of_blocks(call: Call, a: Live, b: Known) -> Live:
    """A product with weights in blocks of inputs: the sum of the blocks' products, each with one scale."""
    total: Live | None = None
    first = 0
    for index, part in enumerate(b.parts):
        size = part.shape[-2]
        piece = taken(call, a, len(a.shape) - 1, tuple(range(first, first + size)), part=f"input{index}")
        term = call.emit(model.MatMul(), call.as_real(piece), call.as_real(part), part=f"block{index}")
        total = term if total is None else call.emit(model.Add(), total, term, part=f"sum{index}")
        first += size
    assert total is not None
    return total


def _with_shape(call: Call, x: Known | Live, shape: tuple[int, ...]) -> Live:
    if isinstance(x, Known):
        return call.as_real(reshaped(call, x, shape))
    return call.reshape(call.as_real(x), shape, part="vector")


@operator("Gemm")
def gemm(call: Call) -> Value:
    """``alpha * A' B' + beta * C``; alpha and beta are applied after the product, where they are exact."""
    result = scaled(call, transposed_product(call, call.value(0), call.value(1)), call.attribute("alpha", 1.0), "alpha")
    if call.has(2):
        bias = scaled(call, call.real(2), call.attribute("beta", 1.0), "beta")
        result = call.emit(model.Add(), result, bias, part="bias")
    return result


def transposed_product(call: Call, a: Known | Live, b: Known | Live) -> Live:
    """``A' B'`` with the transpositions that transA and transB ask for."""
    if len(a.shape) != 2 or len(b.shape) != 2:
        raise call.refuse("QC107", f"operands {list(a.shape)} and {list(b.shape)}", "both must be matrices; use MatMul")
    if call.attribute("transA", 0):
        a = permuted(call, a, (1, 0), part="transposed")
    if call.attribute("transB", 0):
        b = permuted(call, b, (1, 0), part="transposed")
    return multiplied(call, a, b)


def scaled(call: Call, x: Live, factor: float, part: str) -> Live:
    return x if factor == 1 else call.emit(model.Mul(), x, call.scalar(factor, f"{part}_value"), part=part)
