"""GELU as exporters before opset 20 write it: the product of one half, x, and 1 + erf(x / √2), in any order."""

from __future__ import annotations

import math
from itertools import permutations

import numpy as np

from qcompile.frontend.builder import Builder
from qcompile.frontend.values import Live
from qcompile.ir import model

_PRECISION = 1e-6
"""Relative, for √2 and its reciprocal: a float32 of them is within 1e-7, a float16 is another function."""


def gelu_operand(builder: Builder, a: Live, b: Live) -> Live | None:
    """The x of which ``a * b`` is the GELU; None where it is something else."""
    for inner, outer in ((a, b), (b, a)):
        node = builder.node(inner.name)
        if not isinstance(node.op, model.Mul):
            continue
        for half, x, gate in permutations((*node.inputs, outer.name)):
            if _is_number(builder, half, 0.5) and _is_gate(builder, gate, x):
                found = builder.live(x, a.dtype)
                # A constant of more axes than x would have added them to the product.
                return found if np.broadcast_shapes(a.shape, b.shape) == found.shape else None
    return None


def _is_gate(builder: Builder, gate: str, x: str) -> bool:
    """Whether ``gate`` is 1 + erf(x / √2)."""
    total = builder.node(gate)
    if not isinstance(total.op, model.Add):
        return False
    for one, curve in permutations(total.inputs):
        erf = builder.node(curve)
        if _is_number(builder, one, 1.0) and erf.op == model.Curve("erf"):
            return _is_scaled(builder, erf.inputs[0], x)
    return False


def _is_scaled(builder: Builder, name: str, x: str) -> bool:
    """Whether ``name`` is x / √2."""
    node = builder.node(name)
    match node.op:
        case model.Div():
            return node.inputs[0] == x and _is_number(builder, node.inputs[1], math.sqrt(2))
        case model.Mul():
            return x in node.inputs and any(_is_number(builder, other, math.sqrt(0.5)) for other in node.inputs)
        case _:
            return False


def _is_number(builder: Builder, name: str, number: float) -> bool:
    op = builder.node(name).op
    return isinstance(op, model.Constant) and bool(np.all(np.abs(op.value.values / number - 1) < _PRECISION))
