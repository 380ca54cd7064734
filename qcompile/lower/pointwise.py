"""Element-by-element operations on several operands, on one lane, with per-channel parameters from ROM."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from qcompile.ir import datapath, integer
from qcompile.ir.graph import Node
from qcompile.lower.build import Term
from qcompile.lower.finish import FINISHING, Finish, finishes, multiplied
from qcompile.lower.product import product_of
from qcompile.lower.rules import RULES

_JOINS = integer.WeightedSum | integer.Maximum | integer.Product | integer.Xnor | integer.Select


def pointwise(op: Any) -> bool:
    """Whether ``op`` works element by element, in a way that `lower_pointwise` knows."""
    return isinstance(op, _JOINS) or finishes(op)


def lower_pointwise(finish: Finish, nodes: Sequence[Node], lane: int, operands: dict[str, str]) -> str:
    """The last of ``nodes``; ``operands``: the datapath node of every value from outside."""
    values = dict(operands)
    for node in nodes:
        values[node.name] = _lowered(finish, node.op, lane, [values[name] for name in node.inputs])
    return values[nodes[-1].name]


def _lowered(finish: Finish, op: Any, lane: int, x: list[str]) -> str:
    build = finish.build
    match op:
        case integer.WeightedSum():
            return _weighted_sum(finish, op, lane, x)
        case integer.Maximum():
            return build.add("max_", datapath.Maximum(), *x)
        case integer.Product():
            return product_of(build, *x)
        case integer.Xnor():
            return build.add("equal_", datapath.Xnor(), *x)
        case integer.Select():
            return build.add("chosen_", datapath.Select(), *x)
        case integer.Rescale(factor=(_,), offset=(_,), shift=(_,)):  # constants: fewer adders than digits from ROM
            (result,) = RULES[integer.Rescale](build, op, [Term(x[0])])
            return build.value(result, "scaled")
    return FINISHING[type(op)](finish, op, lane, x[0], [0] * finish.words.count)


def _weighted_sum(finish: Finish, op: integer.WeightedSum, lane: int, x: list[str]) -> str:
    build = finish.build
    offsets = finish.column(op.offsets, lane)
    total = ""
    for factors, node in zip(op.factors, x, strict=True):
        if len(set(factors)) == 1:
            term = build.value(build.scaled(Term(node), factors[0], "scaled"), "scaled")
        else:
            term, offsets = multiplied(finish, node, finish.column(factors, lane), offsets, lane)
        total = term if not total else build.add("sum_", datapath.ShiftAdd(0, 0), total, term)
    return finish.plus(total, offsets, f"offset{lane}")
