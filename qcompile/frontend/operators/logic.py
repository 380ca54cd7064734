"""Comparisons, logic and choice; truth is the number 1, falsehood 0."""

from __future__ import annotations

import numpy as np

from qcompile.frontend.call import Call
from qcompile.frontend.registry import operator
from qcompile.frontend.values import Live, Value
from qcompile.ir import model

BOOL = np.dtype(np.bool_)


@operator("Greater", "GreaterOrEqual", "Less", "LessOrEqual")
def compare(call: Call) -> Value:
    a, b = call.real(0), call.real(1)
    if call.op_type.startswith("Less"):
        a, b = b, a
    return call.emit(model.Greater(call.op_type.endswith("OrEqual")), a, b, dtype=BOOL)


@operator("Equal")
def equal(call: Call) -> Value:
    return call.emit(model.Equal(), call.real(0), call.real(1), dtype=BOOL)


@operator("Not")
def negation(call: Call) -> Value:
    return opposite(call, call.real(0))


def opposite(call: Call, x: Live, part: str = "") -> Live:
    """``1 - x``."""
    minus = call.emit(model.Mul(), x, call.scalar(-1.0, "minus_one"), part=f"{part}negated", dtype=BOOL)
    return call.emit(model.Add(), minus, call.scalar(1.0, "one"), part=part, dtype=BOOL)


@operator("And", "Or", "Xor")
def combine(call: Call) -> Value:
    a, b = call.real(0), call.real(1)
    match call.op_type:
        case "And":
            return call.emit(model.Minimum(), a, b, dtype=BOOL)
        case "Or":
            return call.emit(model.Maximum(), a, b, dtype=BOOL)
        case _:
            return opposite(call, call.emit(model.Equal(), a, b, part="same", dtype=BOOL))


@operator("Where")
def where(call: Call) -> Value:
    chosen = call.real(1)
    return call.emit(model.Where(), call.real(0), chosen, call.real(2), dtype=chosen.dtype)
