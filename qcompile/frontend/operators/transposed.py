"""ConvTranspose: zeros between the pixels, then a convolution with the turned kernel."""

from __future__ import annotations

from dataclasses import replace
from math import prod

import numpy as np

from qcompile.frontend.call import Call
from qcompile.frontend.operators.linear import add_bias
from qcompile.frontend.operators.windows import as_images
from qcompile.frontend.registry import operator
from qcompile.frontend.values import Grid, Known, Live, Value
from qcompile.ir import model
from qcompile.ir.window import Window


@operator("ConvTranspose")
def conv_transpose(call: Call) -> Value:
    x, weights = call.real(0), call.known(1, "weights")
    groups = int(call.attribute("group", 1))
    rank = len(x.shape) - 2
    if len(weights.shape) != rank + 2 or not 1 <= rank <= 2:
        raise call.refuse(
            "QC104", f"input {list(x.shape)}, weights {list(weights.shape)}", "1-D and 2-D ones are supported"
        )
    if x.shape[1] != weights.shape[0] or x.shape[1] % groups:
        raise call.refuse(
            "QC107", f"weights {list(weights.shape)} for {x.shape[1]} channels in {groups} groups", "fix either"
        )
    kernel = weights.shape[2:]
    strides = list(call.attribute("strides") or [1] * rank)
    dilations = list(call.attribute("dilations") or [1] * rank)
    front, back = _pads(call, x.shape[2:], kernel, strides, dilations)
    turned = _turned(weights, groups)
    image = as_images(call, x)
    if rank == 1:
        turned = replace(turned, array=turned.array[:, :, None, :])
        kernel, strides, dilations = (1, *kernel), [1, *strides], [1, *dilations]
        front, back = [0, *front], [0, *back]
    # Row r of the result is a window over the spread image that starts at r - (extent - 1) + pad.
    reach = [(k - 1) * d for k, d in zip(kernel, dilations, strict=True)]
    before = [r - p for r, p in zip(reach, front, strict=True)]
    after = [r - p for r, p in zip(reach, back, strict=True)]
    spread = _cropped(call, _spread(call, image, strides), before, after)
    window = Window(
        (kernel[0], kernel[1]),
        pads=(max(0, before[0]), max(0, before[1]), max(0, after[0]), max(0, after[1])),
        dilations=(dilations[0], dilations[1]),
    )
    result = call.emit(model.Conv(window, groups), spread, call.as_real(turned))
    if call.has(2):
        result = add_bias(call, result, call.value(2), (1, -1, 1, 1))
    return call.reshape(result, (*result.shape[:2], *result.shape[-rank:]), part="output")


def _pads(
    call: Call, sizes: tuple[int, ...], kernel: tuple[int, ...], strides: list[int], dilations: list[int]
) -> tuple[list[int], list[int]]:
    """What is cut off the full result in front and behind; negative behind adds zeros (output_padding)."""
    rank = len(kernel)
    extra = list(call.attribute("output_padding") or [0] * rank)
    full = [(n - 1) * s + (k - 1) * d + 1 for n, s, k, d in zip(sizes, strides, kernel, dilations, strict=True)]
    mode = call.attribute("auto_pad", "NOTSET") or "NOTSET"
    wanted = call.attribute("output_shape")
    if wanted is None and mode in ("SAME_UPPER", "SAME_LOWER"):
        wanted = [n * s for n, s in zip(sizes, strides, strict=True)]
    if wanted is not None:
        totals = [f + e - w for f, e, w in zip(full, extra, list(wanted)[-rank:], strict=True)]
        halves = [t // 2 if mode == "SAME_UPPER" else t - t // 2 for t in totals]
        front, back = halves, [t - h for t, h in zip(totals, halves, strict=True)]
    else:
        pads = [0] * 2 * rank if mode == "VALID" else list(call.attribute("pads") or [0] * 2 * rank)
        front, back = pads[:rank], pads[rank:]
    return front, [b - e for b, e in zip(back, extra, strict=True)]


def _turned(weights: Known, groups: int) -> Known:
    """[in, out/groups, ...] as [out, in/groups, ...] with the kernel rotated by half a turn."""
    inputs, outs, *kernel = weights.shape
    array = weights.array.reshape(groups, inputs // groups, outs, *kernel)
    array = np.swapaxes(array, 1, 2).reshape(groups * outs, inputs // groups, *kernel)
    array = np.flip(array, tuple(range(2, array.ndim)))
    grid = weights.grid
    if grid is not None and grid.axis == 1:
        # Output channel o of every group has the parameters of channel o.
        channels = [o for _ in range(groups) for o in range(outs)]
        grid = Grid(grid.quantizer.picked(channels), 0, grid.unit)
    elif grid is not None and grid.axis == 0:
        # Parameters per input channel: with one group they lie along axis 1 now.
        grid = replace(grid, axis=1) if groups == 1 else None
    if grid is None and weights.grid is not None:
        return _turned(Known(weights.plain(), weights.name, weights.dtype, origin=weights.origin), groups)
    return replace(weights, array=np.ascontiguousarray(array), grid=grid)


def _spread(call: Call, x: Live, strides: list[int]) -> Live:
    """``stride - 1`` zeros between neighbouring pixels."""
    if prod(strides) == 1:
        return x
    n, c, h, w = x.shape
    rows, columns = strides
    split = call.reshape(x, (n, c, h, 1, w, 1), part="pixels")
    padded = call.emit(model.Pad((0,) * 6, (0, 0, 0, rows - 1, 0, columns - 1)), split, part="spread")
    whole = call.reshape(padded, (n, c, h * rows, w * columns), part="image")
    for axis, size, stride in ((2, h * rows, rows), (3, w * columns, columns)):
        if stride > 1:
            whole = call.emit(model.Take(axis, tuple(range(size - stride + 1))), whole, part=f"cut{axis}")
    return whole


def _cropped(call: Call, x: Live, before: list[int], after: list[int]) -> Live:
    """Negative pads of a window as a smaller image."""
    for axis in (2, 3):
        first, last = max(0, -before[axis - 2]), x.shape[axis] - max(0, -after[axis - 2])
        if (first, last) != (0, x.shape[axis]):
            x = call.emit(model.Take(axis, tuple(range(first, last))), x, part=f"crop{axis}")
    return x
