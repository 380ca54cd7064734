"""Operators that pick, repeat and join elements; all become `Take`, `Pad` and `Concat`."""

from __future__ import annotations

import numpy as np

from qcompile.frontend.builder import as_float64
from qcompile.frontend.call import Call
from qcompile.frontend.operators.resizing import nearest_positions, wanted_sizes
from qcompile.frontend.registry import operator
from qcompile.frontend.reorder import reshaped, taken
from qcompile.frontend.values import Known, Live, Value
from qcompile.ir import model


@operator("Concat")
def concat(call: Call) -> Value:
    values = [call.value(i) for i in range(len(call.operands))]
    axis = call.attribute("axis", 1) % len(values[0].shape)
    first = values[0]
    if isinstance(first, Live) and first.codes is not None and first.codes.axis is None:
        grid = first.codes
        if all(isinstance(v, Live) and v.codes == grid for v in values):
            joined = call.emit(model.Concat(axis), *(Live(v.name, v.shape, v.dtype) for v in values))
            return Live(joined.name, joined.shape, first.dtype, grid)
    lives = [call.as_real(v) for v in values]
    return lives[0] if len(lives) == 1 else call.emit(model.Concat(axis), *lives)


@operator("Split", folds=False)
def split(call: Call) -> tuple[Value, ...]:
    x = call.value(0)
    axis = call.attribute("axis", 0) % len(x.shape)
    sizes = list(call.integers(1, "split")) if call.has(1) else list(call.attribute("split") or ())
    if not sizes:
        count = call.attribute("num_outputs") or len(call.node.output)
        part = -(-x.shape[axis] // count)
        sizes = [min(part, x.shape[axis] - part * i) for i in range(count)]
    if sum(sizes) != x.shape[axis]:
        raise call.refuse("QC107", f"parts {sizes} of an axis with {x.shape[axis]} positions", "fix the parts")
    starts = np.cumsum([0, *sizes]).tolist()
    return tuple(
        taken(call, x, axis, tuple(range(start, start + size)), part=f"part{index}")
        for index, (start, size) in enumerate(zip(starts, sizes, strict=False))
    )


@operator("Slice", folds=False)
def cut(call: Call) -> Value:
    """Bounds are attributes before opset 10, inputs since; they clamp as NumPy's do."""
    x = call.value(0)
    if call.version >= 10:
        starts, ends = call.integers(1, "starts"), call.integers(2, "ends")
        axes = call.integers(3, "axes") if call.has(3) else tuple(range(len(starts)))
        steps = call.integers(4, "steps") if call.has(4) else (1,) * len(starts)
    else:
        starts, ends = tuple(call.attribute("starts")), tuple(call.attribute("ends"))
        axes, steps = tuple(call.attribute("axes") or range(len(starts))), (1,) * len(starts)
    result: Known | Live = x
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        axis %= len(x.shape)
        result = taken(call, result, axis, tuple(range(x.shape[axis])[start:end:step]), part=f"axis{axis}")
    return result


@operator("Gather", folds=False)
def gather(call: Call) -> Value:
    x = call.value(0)
    indices = call.constant(1, "indices").astype(np.int64)
    axis = call.attribute("axis", 0) % len(x.shape)
    size = x.shape[axis]
    if ((indices < -size) | (indices >= size)).any():
        raise call.refuse("QC107", f"indices beyond the {size} positions of axis {axis}", "fix the indices")
    picked = taken(call, x, axis, tuple((indices % size).ravel().tolist()), part="picked")
    return reshaped(call, picked, (*x.shape[:axis], *indices.shape, *x.shape[axis + 1 :]))


@operator("Tile", folds=False)
def tile(call: Call) -> Value:
    x = call.value(0)
    for axis, count in enumerate(call.integers(1, "repeats")):
        x = taken(call, x, axis, tuple(range(x.shape[axis])) * count, part=f"axis{axis}")
    return x


@operator("Expand", folds=False)
def expand(call: Call) -> Value:
    x, wanted = call.value(0), call.integers(1, "shape")
    try:
        shape = np.broadcast_shapes(x.shape, wanted)
    except ValueError:
        raise call.refuse("QC107", f"{list(x.shape)} does not expand to {list(wanted)}", "fix the shape") from None
    x = reshaped(call, x, (1,) * (len(shape) - len(x.shape)) + x.shape, part="rank")
    for axis, size in enumerate(shape):
        if x.shape[axis] != size:
            x = taken(call, x, axis, (0,) * size, part=f"axis{axis}")
    return x


@operator("Pad")
def pad(call: Call) -> Value:
    """Negative pads crop. Modes other than constant repeat elements of the tensor."""
    x = call.real(0)
    rank = len(x.shape)
    pads = call.integers(1, "pads") if call.has(1) else tuple(call.attribute("pads") or call.attribute("paddings"))
    axes = tuple(a % rank for a in call.integers(3, "axes")) if call.has(3) else tuple(range(rank))
    if len(pads) != 2 * len(axes):
        raise call.refuse("QC107", f"{len(pads)} pads for {len(axes)} axes", "two pads per axis are needed")
    mode = call.attribute("mode", "constant")
    before, after = [0] * rank, [0] * rank
    for place, axis in enumerate(axes):
        before[axis], after[axis] = pads[place], pads[place + len(axes)]
    for axis in range(rank):
        kept = range(x.shape[axis])[max(0, -before[axis]) : x.shape[axis] - max(0, -after[axis])]
        x = _live(taken(call, x, axis, tuple(kept), part=f"crop{axis}"))
        before[axis], after[axis] = max(0, before[axis]), max(0, after[axis])
    if mode == "constant":
        given = call.has(2) and call.constant(2, "constant_value").size
        value = call.number(2, "constant_value") if given else call.attribute("value", 0.0)
        as_float64(np.array(value), call.name)
        if not any(before) and not any(after):
            return x
        return call.emit(model.Pad(tuple(before), tuple(after), float(value)), x)
    for axis in range(rank):
        indices = _padded(call, mode, x.shape[axis], before[axis], after[axis])
        x = _live(taken(call, x, axis, indices, part=f"axis{axis}"))
    return x


def _live(value: Known | Live) -> Live:
    assert isinstance(value, Live)
    return value


def _padded(call: Call, mode: str, size: int, before: int, after: int) -> tuple[int, ...]:
    places = range(-before, size + after)
    match mode:
        case "edge":
            return tuple(min(max(p, 0), size - 1) for p in places)
        case "wrap":
            return tuple(p % size for p in places)
        case "reflect":
            period = max(1, 2 * (size - 1))
            return tuple(min(p % period, period - p % period) for p in places)
    raise call.refuse("QC104", f"mode {mode}", "constant, edge, reflect and wrap are supported")


@operator("DepthToSpace", "SpaceToDepth")
def depth_space(call: Call) -> Value:
    x = call.real(0)
    block = call.attribute("blocksize")
    n, c, h, w = x.shape
    if call.op_type == "SpaceToDepth":
        split = call.reshape(x, (n, c, h // block, block, w // block, block), part="blocks")
        order = (0, 1, 3, 5, 2, 4) if call.attribute("mode", "DCR") == "CRD" else (0, 3, 5, 1, 2, 4)
        moved = call.emit(model.Transpose(order), split, part="moved")
        return call.reshape(moved, (n, c * block * block, h // block, w // block), part="output")
    kept = c // (block * block)
    if call.attribute("mode", "DCR") == "CRD":
        split = call.reshape(x, (n, kept, block, block, h, w), part="blocks")
        order = (0, 1, 4, 2, 5, 3)
    else:
        split = call.reshape(x, (n, block, block, kept, h, w), part="blocks")
        order = (0, 3, 4, 1, 5, 2)
    moved = call.emit(model.Transpose(order), split, part="moved")
    return call.reshape(moved, (n, kept, h * block, w * block), part="output")


@operator("Resize", "Upsample")
def resize(call: Call) -> Value:
    """Nearest neighbour, with every rule for coordinates and rounding; positions are computed exactly."""
    x: Known | Live = call.value(0)
    mode = call.attribute("mode", "nearest")
    sizes = wanted_sizes(call, x.shape)
    if mode != "nearest" and any(size != n for (size, _), n in zip(sizes, x.shape, strict=True)):
        raise call.refuse("QC104", f"mode {mode}", "mode nearest is supported; export with mode='nearest'")
    for axis, (size, scale) in enumerate(sizes):
        if size != x.shape[axis]:
            x = taken(call, x, axis, nearest_positions(call, x.shape[axis], size, scale), part=f"axis{axis}")
    return x
