"""QuantizeLinear and DequantizeLinear: one `Quantize` per pair."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx

from qcompile.errors import CompileError
from qcompile.frontend.call import Call
from qcompile.frontend.grids import MINIFLOATS, channels_of, grid_of
from qcompile.frontend.registry import MICROSOFT, operator
from qcompile.frontend.values import Grid, Known, Live, Value
from qcompile.ir import model

FLOAT = np.dtype(np.float32)


@operator("QuantizeLinear", folds=False)
@operator("QuantizeLinear", domain=MICROSOFT, folds=False)
def quantize_linear(call: Call) -> Value:
    """``saturate(round_half_even(x / scale) + zero_point)``; the float32 scale is taken as the exact rational."""
    x = call.value(0)
    if call.has(2):
        dtype = call.known(2, "zero point").dtype
    else:
        dtype = np.dtype(onnx.helper.tensor_dtype_to_np_dtype(call.attribute("output_dtype", 0) or 2))
    if dtype.name in MINIFLOATS and not call.attribute("saturate", 1):
        raise call.refuse("QC104", "saturate=0", "saturating conversion (saturate=1) is supported")
    if _blocks(call):
        raise call.refuse("QC104", "blocked scales on a computed tensor", "quantize per tensor or per channel")
    grid = read_grid(call, x.shape, 1, 2, dtype)
    call.dialects.add("qdq")
    return quantized(call, x, grid, dtype)


def quantized(call: Call, x: Known | Live, grid: Grid, dtype: np.dtype[Any], part: str = "") -> Known | Live:
    """The codes of ``x`` on ``grid``."""
    if isinstance(x, Known):
        return replace(x, array=x.plain().astype(np.float64), grid=grid, coded=True, dtype=dtype)
    source = call.as_real(x)
    result = call.quantize(source, grid, part)
    return Live(result.name, result.shape, dtype, grid, source)


@operator("DequantizeLinear", folds=False)
@operator("DequantizeLinear", domain=MICROSOFT, folds=False)
def dequantize_linear(call: Call) -> Value:
    x = call.value(0)
    call.dialects.add("qdq")
    if _blocks(call):
        return _dequantized_blocks(call, x)
    result = dequantized(call, x, read_grid(call, x.shape, 1, 2, x.dtype))
    return replace(result, dtype=call.known(1, "scale").dtype)


def dequantized(call: Call, x: Known | Live, grid: Grid, part: str = "") -> Known | Live:
    """The reals that the codes ``x`` stand for on ``grid``, as float32."""
    if isinstance(x, Known):
        return _dequantized_constant(call, x, grid)
    if x.codes is not None and x.codes.same_line(grid):
        return Live(x.name, x.shape, FLOAT)
    plain = call.as_real(x)
    scale, zero = grid.real_scale(len(x.shape))
    if zero.any():
        plain = call.emit(model.Add(), plain, call.scalar(-zero, "zero_point"), part=f"{part}centred")
    if not (scale == 1).all():
        plain = call.emit(model.Mul(), plain, call.scalar(scale, "scale"), part=f"{part}scaled")
    # The value lies on this grid already; saying so lets later stages use its codes.
    return replace(call.quantize(plain, grid, part), dtype=FLOAT)


def _dequantized_constant(call: Call, x: Known, grid: Grid) -> Known:
    origin = (*x.origin, call.name)
    if x.grid is not None and x.coded and x.grid.same_line(grid):
        return replace(x, coded=False, dtype=FLOAT, origin=origin)
    scale, zero = grid.real_scale(x.array.ndim)
    if x.limits is not None:
        grid = replace(grid, quantizer=replace(grid.quantizer, low=x.limits[0], high=x.limits[1]))
        call.dialects.add("qcdq")
    return Known((x.plain().astype(np.float64) - zero) * scale, x.name, FLOAT, grid, origin=origin)


# -- parameters


def read_grid(
    call: Call, shape: tuple[int, ...], scale_at: int, zero_at: int, dtype: np.dtype[Any], axis: int | None = None
) -> Grid:
    """The grid that a scale and a zero point (inputs at these places) span, with codes of ``dtype``.

    ``axis`` defaults to the node's attribute.
    """
    scale = call.constant(scale_at, "scale")
    zero = call.constant(zero_at, "zero point") if call.has(zero_at) else np.zeros((), np.int64)
    return grid_of(call, scale, zero, dtype, call.attribute("axis", 1) if axis is None else axis, shape)


def _blocks(call: Call) -> int:
    """Elements per scale along the axis; 0 where each axis position or the whole tensor has one."""
    size = int(call.attribute("block_size", 0))
    scale = call.known(1, "scale")
    return size if scale.array.ndim > 1 or (size > 1 and scale.shape != ()) else 0


def _dequantized_blocks(call: Call, x: Known | Live) -> Known:
    """A constant with one scale per block: its exact values, and the blocks as parts with a grid each."""
    if not isinstance(x, Known):
        raise call.refuse("QC104", "blocked scales on a computed tensor", "quantize per tensor or per channel")
    axis = call.attribute("axis", 1) % x.array.ndim
    size = int(call.attribute("block_size", 0))
    scale = call.constant(1, "scale")
    zero = call.constant(2, "zero point") if call.has(2) else np.zeros(scale.shape, np.int64)
    blocks = -(-x.shape[axis] // size)
    expected = (*x.shape[:axis], blocks, *x.shape[axis + 1 :])
    if scale.shape != expected or zero.shape != expected:
        raise call.refuse("QC107", f"scales of shape {list(scale.shape)}", f"blocks need the shape {list(expected)}")
    codes = x.plain()
    parts = []
    for index in range(blocks):
        piece = codes.take(range(index * size, min((index + 1) * size, x.shape[axis])), axis)
        parts.append(_block(call, x, piece, scale.take([index], axis), zero.take([index], axis), index))
    values = np.concatenate([part.array for part in parts], axis)
    gridded = all(part.grid is not None for part in parts)
    return Known(
        values,
        x.name,
        FLOAT,
        origin=(*x.origin, call.name),
        parts=tuple(parts) if gridded else (),
        parts_axis=axis,
    )


def _block(
    call: Call, x: Known, codes: npt.NDArray[Any], scale: npt.NDArray[Any], zero: npt.NDArray[Any], index: int
) -> Known:
    """One block; without a grid where its scales vary along more than one axis."""
    values = (codes.astype(np.float64) - zero.astype(np.float64)) * scale.astype(np.float64)
    try:
        axis, (scales, zeros) = channels_of(call, codes.shape, scale, zero)
        grid = grid_of(call, scales, zeros, codes.dtype, axis or 0, codes.shape)
    except CompileError:
        return Known(values, x.name, FLOAT)
    return Known(values, f"{x.name}.block{index}", FLOAT, grid, origin=(*x.origin, call.name))
