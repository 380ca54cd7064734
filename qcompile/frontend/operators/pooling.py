"""Pooling."""

from __future__ import annotations

from dataclasses import replace

from qcompile.frontend.call import Call
from qcompile.frontend.operators.windows import as_images, read_window
from qcompile.frontend.registry import operator
from qcompile.frontend.values import Live, Value
from qcompile.ir import model
from qcompile.ir.window import Window


@operator("MaxPool")
def max_pool(call: Call) -> Value:
    if len(call.node.output) > 1 and call.node.output[1]:
        raise call.refuse("QC104", "its second output (indices) is used", "only the maximum itself is supported")
    x = call.value(0)
    # The codes of an increasing quantizer have the order of the values.
    held = x if isinstance(x, Live) and x.codes is not None and x.codes.axis is None else None
    image = Live(held.name, held.shape, held.dtype) if held is not None else call.real(0)
    window, _ = read_window(call, _kernel(call, image), image.shape[2:])
    result = _pooled(call, model.MaxPool(window), image)
    return Live(result.name, result.shape, result.dtype, held.codes) if held is not None else result


@operator("AveragePool")
def average_pool(call: Call) -> Value:
    return averaged(call, call.real(0))


def averaged(call: Call, x: Live) -> Live:
    """The average pooling that the node's attributes describe."""
    window, extra = read_window(call, _kernel(call, x), x.shape[2:])
    count_pads = bool(call.attribute("count_include_pad", 0)) and window.padded
    if count_pads and any(extra):
        # What ceil_mode adds is not counted: the declared pads become zeros of the image.
        top, left, bottom, right = window.pads
        declared = (bottom - extra[0], right - extra[1])
        image = as_images(call, x)
        padded = call.emit(model.Pad((0, 0, top, left), (0, 0, *declared)), image, part="padded")
        inner = replace(window, pads=(0, 0, *extra))
        result = call.emit(model.AveragePool(inner), padded)
        return call.reshape(result, (*result.shape[:2], *result.shape[6 - len(x.shape) :]), part="output")
    return _pooled(call, model.AveragePool(window, count_pads), x)


@operator("GlobalAveragePool")
def global_average_pool(call: Call) -> Value:
    return globally_averaged(call, call.real(0))


def globally_averaged(call: Call, x: Live) -> Live:
    return _pooled(call, model.AveragePool(_whole(call, x)), x)


@operator("GlobalMaxPool")
def global_max_pool(call: Call) -> Value:
    x = call.real(0)
    return _pooled(call, model.MaxPool(_whole(call, x)), x)


def _kernel(call: Call, x: Live) -> tuple[int, ...]:
    kernel = tuple(call.attribute("kernel_shape") or ())
    if len(kernel) != len(x.shape) - 2 or not 1 <= len(kernel) <= 2:
        raise call.refuse(
            "QC104",
            f"kernel {list(kernel)} over input {list(x.shape)}",
            "1-D and 2-D pooling is supported",
        )
    return kernel


def _whole(call: Call, x: Live) -> Window:
    """The window that covers the image; all its pixels are the one position's."""
    if len(x.shape) == 3:
        return Window((1, x.shape[2]))
    if len(x.shape) == 4:
        return Window((x.shape[2], x.shape[3]))
    raise call.refuse("QC104", f"input of shape {list(x.shape)}", "1-D and 2-D pooling is supported")


def _pooled(call: Call, op: model.MaxPool | model.AveragePool, x: Live) -> Live:
    result = call.emit(op, as_images(call, x))
    return call.reshape(result, (*result.shape[:2], *result.shape[6 - len(x.shape) :]), part="output")
