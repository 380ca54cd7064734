"""QONNX's channels-last operators: the standard ones between two transpositions."""

from __future__ import annotations

from dataclasses import replace

from qcompile.frontend.call import Call
from qcompile.frontend.registry import CHANNELS_LAST, OPERATORS, QONNX, STANDARD, operator
from qcompile.frontend.reorder import permuted
from qcompile.frontend.values import Absent, Known, Live, Value


@operator("Conv", "MaxPool", "AveragePool", "BatchNormalization", domain=CHANNELS_LAST)
@operator("MaxPoolNHWC", domain=QONNX)
def channels_last(call: Call) -> Value:
    """Data and the weights of a convolution have their channels last; everything else is as in ONNX."""
    op_type = call.op_type.removesuffix("NHWC")
    operands = list(call.operands)
    for index in range(2 if op_type == "Conv" else 1):
        operands[index] = _channels_first(call, call.value(index))
    inner = replace(call, operands=tuple(operands), version=13)
    found = OPERATORS[STANDARD, op_type].handler(inner)
    result = found[0] if isinstance(found, tuple) else found
    assert not isinstance(result, Absent)
    rank = len(result.shape)
    return permuted(call, result, (0, *range(2, rank), 1), part="channels_last")


def _channels_first(call: Call, value: Known | Live) -> Known | Live:
    rank = len(value.shape)
    return permuted(call, value, (0, rank - 1, *range(1, rank - 1)), part="channels_first")
