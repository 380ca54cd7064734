"""Pooling on views of the image, and the padding that convolutions share with it. Planar."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from math import prod
from typing import Any

import numpy as np

from qcompile.emulator.numbers import Numbers, cast, dtype_for, magnitude
from qcompile.ir import integer
from qcompile.ir.integer import IntType
from qcompile.ir.window import Window

Kernel = Callable[..., Numbers]


def max_pool(op: integer.MaxPool, result: IntType, x: IntType) -> Kernel:
    return lambda a: pooled(a, op.window, x.span.low, np.maximum)


def sum_pool(op: integer.SumPool, result: IntType, x: IntType) -> Kernel:
    dtype = dtype_for(max(magnitude(x.span), abs(op.fill)) * prod(op.window.kernel))
    return lambda a: pooled(cast(a, dtype), op.window, op.fill, np.add)


def padded(a: Numbers, window: Window, fill: float, dtype: np.dtype[Any]) -> Numbers:
    """Planar images of ``dtype`` with the window's padding around them."""
    if not window.padded:
        return cast(a, dtype)
    top, left, bottom, right = window.pads
    channels, height, width, count = a.shape
    image = np.empty((channels, height + top + bottom, width + left + right, count), dtype)
    inner = image[:, top : top + height]
    image[:, :top] = image[:, top + height :] = fill
    inner[:, :, :left] = inner[:, :, left + width :] = fill
    inner[:, :, left : left + width] = a
    return image


def pooled(a: Numbers, window: Window, fill: float, combine: np.ufunc) -> Numbers:
    """``combine`` over every window: first down the rows, whose loops run over whole lines of the image."""
    image = padded(a, window, fill, a.dtype)
    rows, columns = replace(window, pads=(0, 0, 0, 0)).output_size(image.shape[1], image.shape[2])
    down = _along(image, 1, rows, window.kernel[0], window.strides[0], window.dilations[0], combine)
    return _along(down, 2, columns, window.kernel[1], window.strides[1], window.dilations[1], combine)


def _along(
    image: Numbers, axis: int, count: int, kernel: int, stride: int, dilation: int, combine: np.ufunc
) -> Numbers:
    def tap(k: int) -> Numbers:
        part = slice(k * dilation, k * dilation + (count - 1) * stride + 1, stride)
        return image[:, part] if axis == 1 else image[:, :, part]

    if kernel == 1:
        return tap(0)
    total: Numbers = combine(tap(0), tap(1))
    for k in range(2, kernel):
        combine(total, tap(k), out=total)
    return total
