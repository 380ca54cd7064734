"""Reductions along axes."""

from __future__ import annotations

from typing import Any

import numpy as np

from qcompile.frontend.call import Call
from qcompile.frontend.registry import operator
from qcompile.frontend.values import Live, Value
from qcompile.ir import model
from qcompile.ir.window import Window

_FUNCTIONS = {"ReduceSum": "sum", "ReduceMean": "mean", "ReduceMax": "max", "ReduceMin": "min"}


@operator(*_FUNCTIONS)
def reduce(call: Call) -> Value:
    return reduced(call, call.real(0), _FUNCTIONS[call.op_type])


@operator("ReduceL1", "ReduceSumSquare")
def reduce_curve(call: Call) -> Value:
    """The sum of magnitudes, or of squares."""
    x = call.real(0)
    curve = model.Curve("absolute" if call.op_type == "ReduceL1" else "square")
    return reduced(call, call.emit(curve, x, part="elements"), "sum")


def reduced(call: Call, x: Live, function: str) -> Live:
    """Over the axes that the node names: an input since opset 18 (13 for sums), an attribute before."""
    rank = len(x.shape)
    given = call.integers(1, "axes") if call.has(1) else call.attribute("axes")
    if given is None or not len(given):
        if call.attribute("noop_with_empty_axes", 0):
            return x
        given = range(rank)
    axes = tuple(sorted({a % rank for a in given}))
    keep = bool(call.attribute("keepdims", 1))
    if rank == 4 and axes == (2, 3) and function in ("mean", "max"):
        # Over the whole image it is pooling, for which there are engines.
        window = Window((x.shape[2], x.shape[3]))
        pooled = call.emit(model.AveragePool(window) if function == "mean" else model.MaxPool(window), x)
        return pooled if keep else call.reshape(pooled, x.shape[:2], part="output")
    return call.emit(model.Reduce(function, axes, keep), x)


@operator("ArgMax", "ArgMin")
def argmax(call: Call) -> Value:
    x = call.real(0)
    axis = call.attribute("axis", 0) % len(x.shape)
    if call.op_type == "ArgMin":
        x = negated(call, x)
    keep = bool(call.attribute("keepdims", 1))
    if not call.attribute("select_last_index", 0):
        return index_of_largest(call, x, axis, keep)
    # The last of equal elements is the first one from behind.
    last = x.shape[axis] - 1
    turned = call.emit(model.Take(axis, tuple(range(last, -1, -1))), x, part="turned")
    found = call.emit(model.ArgMax(axis, keep), turned, part="from_behind", dtype=INT64)
    back = call.emit(model.Mul(), found, call.scalar(-1.0, "minus_one"), part="negated", dtype=INT64)
    return call.emit(model.Add(), back, call.scalar(float(last), "last"), dtype=INT64)


INT64: np.dtype[Any] = np.dtype(np.int64)


def negated(call: Call, x: Live) -> Live:
    return call.emit(model.Mul(), x, call.scalar(-1.0, "minus_one"), part="negated")


def index_of_largest(call: Call, x: Live, axis: int, keep: bool, part: str = "") -> Live:
    return call.emit(model.ArgMax(axis, keep), x, part=part, dtype=INT64)


@operator("TopK")
def top_k(call: Call) -> tuple[Value, ...]:
    """k = 1: the largest element and its place (the first one of equals)."""
    x = call.real(0)
    k = int(call.number(1, "k")) if call.has(1) else call.attribute("k")
    if k != 1:
        raise call.refuse("QC104", f"k = {k}", "k = 1 is supported; cut the network before and sort on the host")
    axis = call.attribute("axis", -1) % len(x.shape)
    least = not call.attribute("largest", 1)
    value = call.emit(model.Reduce("min" if least else "max", (axis,)), x, part="values")
    place = index_of_largest(call, negated(call, x) if least else x, axis, True, part="indices")
    return value, place
