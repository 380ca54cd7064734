"""Batch normalization at inference."""

from __future__ import annotations

import numpy as np

from qcompile.frontend.builder import as_float64
from qcompile.frontend.call import Call
from qcompile.frontend.imported import Statistics
from qcompile.frontend.registry import operator
from qcompile.frontend.values import Value
from qcompile.ir import model


@operator("BatchNormalization")
def batch_normalization(call: Call) -> Value:
    """``x * m + a`` per channel, with ``m = gamma / sqrt(var + eps)`` and ``a = beta - mean * m``.

    Computed in float64 from the file's float32 values and exact from there on: the compiler's meaning of the
    layer is this Mul and this Add. Runtimes round ``m`` and ``a`` to float32 each in its own way.
    """
    if call.attribute("training_mode", 0) or [name for name in call.node.output[1:] if name]:
        raise call.refuse("QC104", "training mode", "export in inference mode (model.eval())")
    if call.attribute("spatial", 1) != 1:
        raise call.refuse("QC104", "spatial=0", "statistics per channel (spatial=1) are supported")
    x = call.real(0)
    gamma, beta, mean, variance = (
        as_float64(call.constant(i, what), call.name) for i, what in enumerate(("scale", "bias", "mean", "variance"), 1)
    )
    epsilon = float(np.float32(call.attribute("epsilon", 1e-5)))
    if (variance + epsilon <= 0).any():
        raise call.refuse("QC106", "a variance is not positive", "train or export again")
    factor = gamma / np.sqrt(variance + epsilon)
    shift = beta - mean * factor
    shape = tuple(x.shape[1] if axis == 1 else 1 for axis in range(max(2, len(x.shape))))
    if any(v.shape != (x.shape[1],) for v in (gamma, beta, mean, variance)):
        raise call.refuse("QC107", f"parameters do not fit {x.shape[1]} channels", "fix the parameters")
    scaled = call.emit(model.Mul(), x, call.scalar(factor.reshape(shape), "factor"), part="scale")
    result = call.emit(model.Add(), scaled, call.scalar(shift.reshape(shape), "offset"))
    # In training the operand had this mean and variance, so that the result has the following.
    call.builder.statistics[result.name] = Statistics(beta, np.abs(factor) * np.sqrt(variance))
    return result
