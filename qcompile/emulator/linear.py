"""Matrix products and convolutions through BLAS, each with the rescaling behind it where that stays exact."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from qcompile.emulator.numbers import Numbers, PerChannel, cast, dot_bound, dtype_for, magnitude
from qcompile.emulator.pooling import padded, pooled
from qcompile.ir import integer
from qcompile.ir.integer import IntType
from qcompile.ir.window import Window
from qcompile.numerics.rounding import Rounding
from qcompile.numerics.span import Span

Kernel = Callable[..., Numbers]
Finish = Callable[[Numbers], None]
"""Turns contiguous accumulators into codes, in place."""

_PATCH_VALUES = 3 << 15  # gathered values per product: they stay in the second-level cache
_SMALL_PRODUCT = 1_000_000  # multiplications up to which OpenBLAS works in place, without copies of its own


def matmul(op: integer.MatMul, result: IntType, x: IntType) -> Kernel:
    return _matmul(op.weights.values, _dot_dtype(op, x))


def conv(op: integer.Conv, result: IntType, x: IntType) -> Kernel:
    return _conv(op, op.weights.values, x, _dot_dtype(op, x))


def fused(
    op: integer.MatMul | integer.Conv,
    after: integer.Rescale,
    accumulator: IntType,
    x: IntType,
    pool: Window | None = None,
) -> Kernel | None:
    """``after(op(x))``, and the largest of every window ``pool`` of that, in one; planar for a convolution.

    The factors are folded into the weights, and the rest is done in place: ``(factor * w) / 2**shift`` is an
    integer over a power of two, so that sums of such terms are as exact as those of integers. None where that
    needs a wider type than the product alone. Pooling comes before the rest: rounding and clamping keep the
    order, and there are fewer values then.
    """
    parts = [after.of(channel) for channel in range(accumulator.channels)]
    dtype = _dot_dtype(op, x)
    bounds = dot_bound(op.weights.values, x, _fill(op))
    bound = max((b * abs(f) + abs(o) + (1 << s) for b, (f, o, s) in zip(bounds, parts, strict=True)), default=0)
    if dtype.kind != "f" or dtype_for(bound) != dtype or (pool is not None and isinstance(op, integer.MatMul)):
        return None
    weights = op.weights.values * np.array([f / (1 << s) for f, _, s in parts])
    finish = finishing(after, accumulator, dtype, planar=isinstance(op, integer.Conv))
    if isinstance(op, integer.MatMul):
        return _matmul(weights, dtype, finish)
    return _conv(op, weights, x, dtype, finish, pool)


def finishing(op: integer.Rescale, x: IntType, dtype: np.dtype[np.generic], planar: bool = False) -> Finish:
    """What is left of a rescaling once ``factor * x / 2**shift`` is there: offset, rounding, clamp."""
    parts = [op.of(channel) for channel in range(x.channels)]
    offsets = [o / (1 << s) for _, o, s in parts]
    offset = PerChannel(np.array(offsets[:1] if len(set(offsets)) == 1 else offsets).astype(dtype), planar)
    shifted = any(offsets)
    whole = not any(s for _, _, s in parts)
    rounded = np.floor if op.rounding is Rounding.FLOOR else np.rint
    low, high = op.low, op.high
    reached = [Span.of(((f * v + o) // (1 << s)) + e for v in (span.low, span.high) for e in (0, s > 0))
               for (f, o, s), span in zip(parts, x.spans, strict=True)]  # fmt: skip
    clamps = not all(Span(low, high).holds(span) for span in reached)

    def finish(value: Numbers) -> None:
        if shifted:
            view, constant = offset.pair(value)
            np.add(view, constant, out=view)
        if not whole:
            rounded(value, out=value)
        if clamps:
            np.clip(value, low, high, out=value)

    return finish


def _fill(op: integer.MatMul | integer.Conv) -> int:
    return op.fill if isinstance(op, integer.Conv) else 0


def _dot_dtype(op: integer.MatMul | integer.Conv, x: IntType) -> np.dtype[np.generic]:
    """The type in which the product is exact whatever the order of additions."""
    return dtype_for(max([magnitude(x.span), abs(_fill(op)), *dot_bound(op.weights.values, x, _fill(op))]))


def _nothing(value: Numbers) -> None:
    pass


def _matmul(weights: Numbers, dtype: np.dtype[np.generic], finish: Finish = _nothing) -> Kernel:
    matrix = cast(weights, dtype)

    def kernel(a: Numbers) -> Numbers:
        # One product of all positions: NumPy would multiply the samples of a larger array one by one.
        value = cast(a, dtype).reshape(-1, a.shape[-1]) @ matrix
        finish(value)
        return value.reshape(*a.shape[:-1], matrix.shape[1])

    return kernel


def _conv(
    op: integer.Conv,
    weights: Numbers,
    x: IntType,
    dtype: np.dtype[np.generic],
    finish: Finish = _nothing,
    pool: Window | None = None,
) -> Kernel:
    """On planar images: gathered lines of windows, one product per few lines and group."""
    window, (height, width, _) = op.window, x.shape
    rows, columns, per, outs = weights.shape
    size = window.output_size(height, width)
    each = outs // op.groups

    def finished(result: Numbers) -> Numbers:
        if pool is not None:
            result = np.ascontiguousarray(pooled(result, pool, -np.inf, np.maximum))
        finish(result)
        return result

    if op.groups > 1 and per == 1 and each == 1:
        return _depthwise(window, cast(weights, dtype)[:, :, 0], op.fill, size, finished)
    blocks = np.moveaxis(cast(weights, dtype), 3, 0).reshape(op.groups, each, rows * columns * per)
    blocks = np.ascontiguousarray(blocks)
    pointwise = window.kernel == (1, 1) and window.strides == (1, 1)

    def kernel(a: Numbers) -> Numbers:
        image = np.ascontiguousarray(padded(a, window, op.fill, dtype))
        count = image.shape[3]
        result = np.empty((outs, *size, count), dtype)
        if pointwise:
            flat = image.reshape(op.groups, per, -1)
            np.matmul(blocks, flat, out=result.reshape(op.groups, each, -1))
            return finished(result)
        values = max(1, rows * columns * per * size[1] * count)  # of one line
        lines = min(size[0], max(1, min(_PATCH_VALUES // values, _SMALL_PRODUCT // (each * values))))
        held = np.empty((rows, columns, per, lines, size[1], count), dtype)
        for group, block in enumerate(blocks):
            taps = _taps(image[group * per : (group + 1) * per], window, size)
            for first in range(0, size[0], lines):
                part = taps[:, :, :, first : first + lines]
                gathered = held if part.shape[3] == lines else np.empty(part.shape, dtype)
                np.copyto(gathered, part)
                lined = result[group * each : (group + 1) * each, first : first + lines]
                np.matmul(block, gathered.reshape(block.shape[1], -1), out=lined.reshape(each, -1))
        return finished(result)

    return kernel


def _taps(image: Numbers, window: Window, size: tuple[int, int]) -> Numbers:
    """A view ``[kernel rows, kernel columns, channels, rows, columns, samples]`` of a padded planar image."""
    s = image.strides
    shape = (*window.kernel, image.shape[0], *size, image.shape[3])
    inner = (s[1] * window.dilations[0], s[2] * window.dilations[1])
    outer = (s[1] * window.strides[0], s[2] * window.strides[1])
    return np.lib.stride_tricks.as_strided(image, shape, (*inner, s[0], *outer, s[3]), writeable=False)


def _depthwise(
    window: Window, weights: Numbers, fill: int, size: tuple[int, int], finished: Callable[[Numbers], Numbers]
) -> Kernel:
    """One filter ``weights`` [kernel rows, kernel columns, channels] per channel: shifted images, scaled and added."""

    def kernel(a: Numbers) -> Numbers:
        taps = _taps(padded(a, window, fill, weights.dtype), window, size)
        total = np.empty(taps.shape[2:], weights.dtype)
        term = np.empty_like(total)
        for place, factors in enumerate(weights.reshape(-1, weights.shape[2])):
            tap = taps[divmod(place, window.kernel[1])]
            np.multiply(tap, factors[:, None, None, None], out=term if place else total)
            if place:
                total += term
        return finished(total)

    return kernel
