"""Changes of the element type."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx

from qcompile.frontend.call import Call
from qcompile.frontend.grids import MINIFLOATS, grid_of, limits_of
from qcompile.frontend.operators.activations import to_integer
from qcompile.frontend.operators.logic import opposite
from qcompile.frontend.registry import operator
from qcompile.frontend.values import Live, Value
from qcompile.ir import model
from qcompile.numerics.rounding import Rounding


@operator("Cast", folds=True)
def cast(call: Call) -> Value:
    return converted(call, np.dtype(onnx.helper.tensor_dtype_to_np_dtype(call.attribute("to"))))


@operator("CastLike", folds=True)
def cast_like(call: Call) -> Value:
    return converted(call, call.value(1).dtype)


def converted(call: Call, target: np.dtype[Any]) -> Value:
    """To floating point nothing changes: the model graph's numbers are real.

    (That float16 or float32 cannot hold them all is the runtime's rounding, not the network's.) To integers
    it rounds towards zero and saturates.
    """
    x = call.value(0)
    if target == x.dtype:
        return x
    live = call.as_real(x)
    if target.name in MINIFLOATS:
        if not call.attribute("saturate", 1):
            raise call.refuse("QC104", "saturate=0", "saturating conversion (saturate=1) is supported")
        grid = grid_of(call, np.ones(()), np.zeros(()), target, 1, x.shape)
        result = call.quantize(live, grid)
        return Live(result.name, result.shape, target)
    if target.kind == "f" or target.name == "bfloat16":
        return Live(live.name, live.shape, target)
    if target.kind == "b":
        zero = call.emit(model.Equal(), live, call.scalar(0.0, "zero"), part="is_zero", dtype=target)
        return opposite(call, zero)
    limits, own = limits_of(target), limits_of(x.dtype)
    if limits is None:
        raise call.refuse("QC104", f"to {target.name}", "casts to numbers are supported")
    if own is not None:
        if own[0] < limits[0] or own[1] > limits[1]:
            raise call.refuse(
                "QC104",
                f"from {x.dtype.name} to the narrower {target.name}, which wraps",
                "clip before, or keep the wider type",
            )
        return Live(live.name, live.shape, target)
    result = to_integer(call, live, Rounding.ZERO, *limits)
    return Live(result.name, result.shape, target)
