"""QuantizeLinear and DequantizeLinear: one `Quantize` per pair."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx

from qcompile.frontend.call import Call
from qcompile.frontend.registry import MICROSOFT, operator
from qcompile.frontend.values import Grid, Known, Live, Value
from qcompile.ir import model
from qcompile.numerics.quantizer import Quantizer


@operator("QuantizeLinear", folds=False)
@operator("QuantizeLinear", domain=MICROSOFT, folds=False)
def quantize_linear(call: Call) -> Value:
    """``saturate(round_half_even(x / scale) + zero_point)`` with the float32 scale taken as the exact rational."""
    x = call.value(0)
    grid, dtype = read_grid(call, len(x.shape), 1, 2, _output_type(call))
    call.dialects.add("qdq")
    if isinstance(x, Known):
        return replace(x, array=x.plain().astype(np.float64), grid=grid, coded=True, dtype=dtype)
    source = call.as_real(x)
    result = call.quantize(source, grid)
    return Live(result.name, result.shape, dtype, grid, source)


@operator("DequantizeLinear", folds=False)
@operator("DequantizeLinear", domain=MICROSOFT, folds=False)
def dequantize_linear(call: Call) -> Value:
    x = call.value(0)
    call.dialects.add("qdq")
    grid, _ = read_grid(call, len(x.shape), 1, 2, x.dtype)
    return dequantized(call, x, grid)


def dequantized(call: Call, x: Known | Live, grid: Grid) -> Known | Live:
    """The reals that the codes ``x`` stand for on ``grid``."""
    if isinstance(x, Known):
        return _dequantized_constant(call, x, grid)
    codes = x.codes
    if codes is not None and _same_line(codes, grid):
        return Live(x.name, x.shape, np.dtype(np.float32))
    plain = call.as_real(x)
    scale, zero = grid.quantizer.scale_array(len(x.shape), grid.axis)
    if zero.any():
        plain = call.emit(model.Add(), plain, call.scalar(-zero, "zero_point"), part="centred")
    if not (scale == 1).all():
        plain = call.emit(model.Mul(), plain, call.scalar(scale, "scale"), part="scaled")
    # The value lies on this grid already; saying so lets later stages use its codes.
    return call.quantize(plain, grid)


def _same_line(a: Grid, b: Grid) -> bool:
    """Whether both give every code the same real value (limits may differ)."""
    return a.axis == b.axis and (a.quantizer.scale, a.quantizer.zero_point) == (
        b.quantizer.scale,
        b.quantizer.zero_point,
    )


def _dequantized_constant(call: Call, x: Known, grid: Grid) -> Known:
    if x.grid is not None and x.coded and _same_line(x.grid, grid):
        return replace(x, coded=False, dtype=np.dtype(np.float32), origin=(*x.origin, call.name))
    codes = x.plain().astype(np.int64)
    scale, zero = grid.quantizer.scale_array(codes.ndim, grid.axis)
    quantizer = grid.quantizer
    if x.limits is not None:
        quantizer = replace(quantizer, low=x.limits[0], high=x.limits[1])
        call.dialects.add("qcdq")
    return Known(
        (codes - zero) * scale,
        x.name,
        np.dtype(np.float32),
        Grid(quantizer, grid.axis),
        origin=(*x.origin, call.name),
    )


# -- parameters


def _output_type(call: Call) -> np.dtype[Any]:
    """The type of QuantizeLinear's codes: the zero point's, else ``output_dtype``, else uint8."""
    if call.has(2):
        return call.known(2, "zero point").dtype
    return np.dtype(onnx.helper.tensor_dtype_to_np_dtype(call.attribute("output_dtype", 0) or 2))


def read_grid(call: Call, rank: int, scale_at: int, zero_at: int, dtype: np.dtype[Any]) -> tuple[Grid, np.dtype[Any]]:
    """The grid that a scale and a zero point (inputs at these places) span, with codes of ``dtype``."""
    scale = call.constant(scale_at, "scale")
    zero = call.constant(zero_at, "zero point") if call.has(zero_at) else np.zeros((), dtype)
    if call.attribute("block_size", 0):
        raise call.refuse("QC104", "blocked scales", "scales per tensor or per channel are supported")
    return grid_of(call, scale, zero, dtype, call.attribute("axis", 1), rank), dtype


def grid_of(
    call: Call,
    scale: npt.NDArray[Any],
    zero: npt.NDArray[Any],
    dtype: np.dtype[Any],
    axis: int,
    rank: int,
) -> Grid:
    """The uniform grid with one scale and zero point, or one of each per channel along ``axis``."""
    wide = scale.astype(np.float64).ravel()
    if not np.isfinite(wide).all() or (wide < 0).any():
        raise call.refuse("QC106", "a scale is negative, NaN or infinite", "scales must be positive numbers")
    # Writers give channels whose weights are all zero a scale of 0; any scale does for those.
    scales = tuple(Fraction(float(s)) if s else Fraction(1) for s in wide)
    zeros = tuple(Fraction(int(z)) for z in zero.astype(np.int64).ravel())
    limits = limits_of(dtype)
    if limits is None:
        raise call.refuse("QC104", f"codes of type {dtype.name}", "integer codes are supported")
    scales = scales[:1] if len(set(scales)) == 1 else scales
    zeros = zeros[:1] if len(set(zeros)) == 1 else zeros
    shared = len(scales) == len(zeros) == 1
    if not shared and not -rank <= axis < rank:
        raise call.refuse("QC107", f"axis {axis} of a tensor with {rank} axes", "fix the axis")
    return Grid(Quantizer(scales, zeros, *limits), None if shared else axis % rank)


def limits_of(dtype: np.dtype[Any]) -> tuple[int, int] | None:
    """The range of an integer element type; None for any other."""
    if dtype.kind in "iu":
        return (int(np.iinfo(dtype).min), int(np.iinfo(dtype).max))
    if dtype.name in ("int2", "int4", "uint2", "uint4"):
        bits = int(dtype.name[-1])
        return (0, 2**bits - 1) if dtype.name[0] == "u" else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
    return None
