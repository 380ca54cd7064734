"""Operators that only give the elements another order or shape, and constants."""

from __future__ import annotations

from math import prod

import numpy as np
import onnx

from qcompile.frontend.call import Call
from qcompile.frontend.registry import operator
from qcompile.frontend.reorder import permuted, reshaped
from qcompile.frontend.values import Known, Value


@operator("Constant", folds=False)
def constant(call: Call) -> Value:
    for attribute in call.node.attribute:
        name = attribute.name
        if name == "value":
            array = onnx.numpy_helper.to_array(attribute.t)
        elif name in ("value_float", "value_floats"):
            array = np.array(onnx.helper.get_attribute_value(attribute), np.float32)
        elif name in ("value_int", "value_ints"):
            array = np.array(onnx.helper.get_attribute_value(attribute), np.int64)
        else:
            continue
        return Known(array, call.node.output[0], array.dtype, origin=(call.name,))
    raise call.refuse(
        "QC104", "no numeric value", "value, value_float(s) and value_int(s) are supported; strings are not"
    )


@operator("Shape", folds=False)
def shape(call: Call) -> Value:
    whole = call.value(0).shape
    start, end = call.attribute("start", 0), call.attribute("end", len(whole))
    array = np.array(whole[start:end], np.int64)
    return Known(array, call.node.output[0], array.dtype, origin=(call.name,))


@operator("Size", folds=False)
def size(call: Call) -> Value:
    array = np.array(prod(call.value(0).shape), np.int64)
    return Known(array, call.node.output[0], array.dtype, origin=(call.name,))


@operator("Identity", "Dropout", folds=False)
def identity(call: Call) -> Value:
    """Dropout does nothing at inference; a mask output or training mode is refused."""
    if call.op_type == "Dropout":
        if len(call.node.output) > 1 and call.node.output[1]:
            raise call.refuse("QC104", "its mask output is used", "export in inference mode (model.eval())")
        if call.has(2) and call.constant(2, "training_mode").any():
            raise call.refuse("QC104", "training_mode is true", "export in inference mode (model.eval())")
    return call.value(0)


@operator("Reshape", folds=False)
def reshape(call: Call) -> Value:
    x = call.value(0)
    wanted = list(call.integers(1, "shape")) if call.has(1) else list(call.attribute("shape", ()))
    if not call.attribute("allowzero", 0):
        wanted = [x.shape[i] if n == 0 and i < len(x.shape) else n for i, n in enumerate(wanted)]
    if -1 in wanted:
        rest = prod(n for n in wanted if n != -1)
        wanted[wanted.index(-1)] = prod(x.shape) // rest if rest else 0
    return reshaped(call, x, tuple(wanted))


@operator("Flatten", folds=False)
def flatten(call: Call) -> Value:
    x = call.value(0)
    axis = call.attribute("axis", 1)
    axis = axis + len(x.shape) if axis < 0 else axis
    return reshaped(call, x, (prod(x.shape[:axis]), prod(x.shape[axis:])))


@operator("Squeeze", folds=False)
def squeeze(call: Call) -> Value:
    x = call.value(0)
    axes = _axes(call, len(x.shape))
    if axes is None:
        axes = tuple(i for i, n in enumerate(x.shape) if n == 1)
    if any(x.shape[a] != 1 for a in axes):
        raise call.refuse("QC107", f"axes {list(axes)} of {list(x.shape)} are not all 1", "fix the axes")
    return reshaped(call, x, tuple(n for i, n in enumerate(x.shape) if i not in axes))


@operator("Unsqueeze", folds=False)
def unsqueeze(call: Call) -> Value:
    x = call.value(0)
    given = call.integers(1, "axes") if call.has(1) else tuple(call.attribute("axes", ()))
    rank = len(x.shape) + len(given)
    axes = {a % rank for a in given}
    sizes = iter(x.shape)
    return reshaped(call, x, tuple(1 if i in axes else next(sizes) for i in range(rank)))


def _axes(call: Call, rank: int) -> tuple[int, ...] | None:
    """The axes, an input since opset 13 and an attribute before; None where not given."""
    given = call.integers(1, "axes") if call.has(1) else call.attribute("axes")
    return None if given is None else tuple(a % rank for a in given)


@operator("Transpose", folds=False)
def transpose(call: Call) -> Value:
    x = call.value(0)
    rank = len(x.shape)
    axes = call.attribute("perm")
    return permuted(call, x, tuple(a % rank for a in axes) if axes else tuple(reversed(range(rank))))
