"""Reshaping and transposing of values of every kind; a quantizer's channel axis moves along.

A known tensor is moved before its quantizer, so that a linear operator sees ``Quantize(Constant)``.
"""

from __future__ import annotations

from dataclasses import replace
from math import prod
from typing import overload

import numpy as np

from qcompile.frontend.call import Call
from qcompile.frontend.values import Grid, Known, Live
from qcompile.ir import model


@overload
def reshaped(call: Call, value: Known, shape: tuple[int, ...], part: str = "") -> Known: ...
@overload
def reshaped(call: Call, value: Live, shape: tuple[int, ...], part: str = "") -> Live: ...
@overload
def reshaped(call: Call, value: Known | Live, shape: tuple[int, ...], part: str = "") -> Known | Live: ...
def reshaped(call: Call, value: Known | Live, shape: tuple[int, ...], part: str = "") -> Known | Live:
    """The same elements in row-major order with another shape."""
    if value.shape == shape:
        return value
    if prod(value.shape) != prod(shape):
        raise call.refuse("QC107", f"{list(value.shape)} cannot become {list(shape)}", "fix the shape")
    if isinstance(value, Known):
        grid = value.grid
        if grid is not None and grid.axis is not None:
            grid = replace(grid, axis=_axis_after_reshape(call, value.shape, shape, grid))
        return replace(value, array=value.array.reshape(shape), grid=grid, parts=())
    return _moved(call, value, model.Reshape(shape), part)


@overload
def permuted(call: Call, value: Known, axes: tuple[int, ...], part: str = "") -> Known: ...
@overload
def permuted(call: Call, value: Live, axes: tuple[int, ...], part: str = "") -> Live: ...
@overload
def permuted(call: Call, value: Known | Live, axes: tuple[int, ...], part: str = "") -> Known | Live: ...
def permuted(call: Call, value: Known | Live, axes: tuple[int, ...], part: str = "") -> Known | Live:
    """Axes permuted as ``numpy.transpose``."""
    if sorted(axes) != list(range(len(value.shape))):
        raise call.refuse("QC107", f"axes {list(axes)} of a tensor {list(value.shape)}", "name every axis once")
    if isinstance(value, Known):
        grid = value.grid
        if grid is not None and grid.axis is not None:
            grid = replace(grid, axis=axes.index(grid.axis))
        return replace(
            value,
            array=value.array.transpose(axes),
            grid=grid,
            parts=tuple(permuted(call, part, axes) for part in value.parts),
            parts_axis=axes.index(value.parts_axis),
        )
    kept = [a for a in axes if value.shape[a] != 1]
    if kept == sorted(kept):
        # Only axes of size 1 change places: the order of the elements stays.
        return reshaped(call, value, tuple(value.shape[a] for a in axes), part)
    return _moved(call, value, model.Transpose(axes), part)


def _moved(call: Call, value: Live, op: model.ModelOp, part: str) -> Live:
    """``op`` on the real value; codes on a shared grid stay codes."""
    if value.codes is None:
        return call.emit(op, value, part=part)
    if value.codes.axis is not None:
        return call.emit(op, call.as_real(value), part=part)
    moved = call.emit(op, Live(value.name, value.shape, value.dtype), part=part)
    return replace(moved, codes=value.codes)


def _axis_after_reshape(call: Call, old: tuple[int, ...], new: tuple[int, ...], grid: Grid) -> int:
    """Where the channel axis is after a reshape that keeps it whole."""
    assert grid.axis is not None
    before = prod(old[: grid.axis])
    for axis, size in enumerate(new):
        if size == old[grid.axis] and prod(new[:axis]) == before:
            return axis
    raise call.refuse(
        "QC104",
        f"reshapes {list(old)} to {list(new)}, which splits the quantizer's channel axis {grid.axis}",
        "quantize per tensor, or reshape the weights before export",
    )


def taken(call: Call, value: Known | Live, axis: int, indices: tuple[int, ...], part: str = "") -> Known | Live:
    """``numpy.take`` along ``axis``; a known tensor's quantizer loses the channels that go."""
    if indices == tuple(range(value.shape[axis])):
        return value
    if isinstance(value, Live):
        return _moved(call, value, model.Take(axis, indices), part)
    grid = value.grid
    if grid is not None and grid.axis == axis:
        quantizer = grid.quantizer.picked(indices)
        grid = replace(grid, quantizer=quantizer, axis=axis if quantizer.channels > 1 else None)
    return replace(value, array=np.take(value.array, indices, axis), grid=grid, parts=())
