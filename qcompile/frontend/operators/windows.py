"""ONNX's window attributes: pads, strides, dilations, auto_pad and ceil_mode, as a `Window`."""

from __future__ import annotations

from qcompile.frontend.call import Call
from qcompile.frontend.values import Live
from qcompile.ir.window import Window


def as_images(call: Call, x: Live) -> Live:
    """[n, c, w] as [n, c, 1, w]; [n, c, h, w] as it is."""
    if len(x.shape) == 3:
        return call.reshape(x, (*x.shape[:2], 1, x.shape[2]), part="image")
    if len(x.shape) == 4:
        return x
    raise call.refuse(
        "QC104",
        f"input of shape {list(x.shape)}",
        "inputs [n, c, w] and [n, c, h, w] are supported",
    )


def read_window(call: Call, kernel: tuple[int, ...], sizes: tuple[int, ...]) -> tuple[Window, tuple[int, int]]:
    """The window over an image of ``sizes``, and the rows and columns that ceil_mode adds behind the pads.

    ``kernel`` and ``sizes`` have one or two entries; one entry is a single row.
    """
    rank = len(kernel)
    strides = list(call.attribute("strides") or [1] * rank)
    dilations = list(call.attribute("dilations") or [1] * rank)
    pads = _pads(call, kernel, sizes, strides, dilations)
    if min(pads) < 0 or len(pads) != 2 * rank or len(strides) != rank or len(dilations) != rank:
        raise call.refuse(
            "QC104",
            f"pads {pads}, strides {strides}, dilations {dilations} with kernel {list(kernel)}",
            "one stride and dilation and two pads >= 0 per axis are supported; export a crop as a Slice",
        )
    extra = [0] * rank
    if call.attribute("ceil_mode", 0):
        for axis in range(rank):
            free = sizes[axis] + pads[axis] + pads[axis + rank] - (kernel[axis] - 1) * dilations[axis] - 1
            steps = -(-free // strides[axis])
            # A window must not start in the padding behind the image (as PyTorch has it, and ONNX since 19).
            if steps * strides[axis] >= sizes[axis] + pads[axis]:
                steps -= 1
            extra[axis] = max(0, steps * strides[axis] - free)
    front, back = pads[:rank], [p + e for p, e in zip(pads[rank:], extra, strict=True)]
    one: list[int] = [] if rank == 2 else [1]
    none: list[int] = [] if rank == 2 else [0]
    top_left, bottom_right = none + front, none + back
    window = Window(
        _pair(one + list(kernel)),
        _pair(one + strides),
        (top_left[0], top_left[1], bottom_right[0], bottom_right[1]),
        _pair(one + dilations),
    )
    return window, _pair(none + extra)


def _pair(values: list[int]) -> tuple[int, int]:
    return int(values[0]), int(values[1])


def _pads(
    call: Call, kernel: tuple[int, ...], sizes: tuple[int, ...], strides: list[int], dilations: list[int]
) -> list[int]:
    """Pads in front of every axis, then behind every axis."""
    rank = len(kernel)
    mode = call.attribute("auto_pad", "NOTSET") or "NOTSET"
    if mode == "NOTSET":
        return list(call.attribute("pads") or [0] * 2 * rank)
    if mode == "VALID":
        return [0] * 2 * rank
    if mode not in ("SAME_UPPER", "SAME_LOWER"):
        raise call.refuse("QC104", f"auto_pad {mode}", "NOTSET, VALID, SAME_UPPER and SAME_LOWER are supported")
    front, back = [], []
    for size, k, stride, dilation in zip(sizes, kernel, strides, dilations, strict=True):
        steps = -(-size // stride) - 1
        total = max(0, steps * stride + (k - 1) * dilation + 1 - size)
        more, less = total - total // 2, total // 2
        front.append(more if mode == "SAME_LOWER" else less)
        back.append(less if mode == "SAME_LOWER" else more)
    return front + back
