"""What classifiers end with."""

from __future__ import annotations

import numpy as np

from qcompile.frontend.call import Call
from qcompile.frontend.registry import operator
from qcompile.frontend.values import Value
from qcompile.ir import model


@operator("Softmax")
def softmax(call: Call) -> Value:
    x = call.real(0)
    rank = len(x.shape)
    if call.version >= 13:
        return call.emit(model.Softmax(call.attribute("axis", -1) % rank), x)
    axis = call.attribute("axis", 1) % rank
    if all(n == 1 for n in x.shape[axis + 1 :]):
        return call.emit(model.Softmax(axis), x)
    # Before opset 13 all axes from ``axis`` on are normalized together.
    flat = call.reshape(x, (*x.shape[:axis], int(np.prod(x.shape[axis:]))), part="flat")
    return call.reshape(call.emit(model.Softmax(axis), flat), x.shape, part="output")
