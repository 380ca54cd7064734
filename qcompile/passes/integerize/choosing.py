"""Comparisons and choices between tensors: larger, smaller, where."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

from qcompile.ir import integer, model
from qcompile.ir.graph import Node, merge_origins
from qcompile.numerics.function import Affine
from qcompile.passes.integerize.builder import Builder, Value
from qcompile.passes.integerize.carried import Carried, Known, Refused, shared
from qcompile.passes.integerize.grids import same_grid
from qcompile.passes.integerize.placing import side_by_side
from qcompile.passes.integerize.pointwise import bounded, joined, parameters
from qcompile.passes.integerize.quantizing import compared

_ONE, _ZERO = Fraction(1), Fraction(0)


def maximum(build: Builder, node: Node) -> Value:
    return _extreme(build, node, larger=True)


def minimum(build: Builder, node: Node) -> Value:
    return _extreme(build, node, larger=False)


def _extreme(build: Builder, node: Node, larger: bool) -> Value:
    constant = build.constant_side(node)
    if constant is not None:
        return bounded(build, build.carried(node, 1 - constant), build.known(node, constant), larger, node.origin)
    pair = side_by_side(build, build.carried(node, 0), build.carried(node, 1))
    a, b = same_grid(build, pair, negate=not larger)
    origin = merge_origins(a.origin, b.origin, node.origin)
    name = build.emit(node.name, integer.Maximum(), (a.node, b.node), origin)
    return replace(a, node=name, origin=())


def greater(build: Builder, node: Node) -> Value:
    assert isinstance(node.op, model.Greater)
    return compared(build, node, difference(build, node), node.op.or_equal)


def equal(build: Builder, node: Node) -> Value:
    """``(d >= 0) - (d > 0)`` of the difference d."""
    gap = difference(build, node)
    least, above = (compared(build, node, gap, or_equal) for or_equal in (True, False))
    return joined(build, node, least, above, sign=-1)


def difference(build: Builder, node: Node) -> Carried:
    """The first operand minus the second; a constant one joins the steps of the other."""
    constant = build.constant_side(node)
    if constant is None:
        return joined(build, node, build.carried(node, 0), build.carried(node, 1), sign=-1)
    x, values = parameters(build, build.carried(node, 1 - constant), build.known(node, constant))
    if constant == 1:
        return x.then(Affine((_ONE,), tuple(-v for v in values)), ())
    return x.then(Affine((-_ONE,), values), ())


def where(build: Builder, node: Node) -> Value:
    """``a`` where the condition is 1, else ``b``; constants become tensors, or factors of the condition."""
    condition, a, b = (build.values[name] for name in node.inputs)
    if isinstance(a, Known) and isinstance(b, Known):
        gap = Known(a.fractions() - b.fractions())
        x, factors = parameters(build, build.carried(node, 0), gap)
        x, offsets = parameters(build, x.then(Affine(factors, (_ZERO,)), ()), b)
        return x.then(Affine((_ONE,), offsets), node.origin)
    if isinstance(condition, Known):
        return _masked(build, node, condition)
    chosen: list[Carried] = [build.carried(node, 0)]
    live = next(build.carried(node, k) for k, value in ((1, a), (2, b)) if not isinstance(value, Known))
    for k, value in ((1, a), (2, b)):
        chosen.append(_constant(build, live, value) if isinstance(value, Known) else build.carried(node, k))
    condition, *pair = side_by_side(build, *chosen)
    (test,) = same_grid(build, [condition])
    if test.uniform() != (_ONE, _ZERO):
        raise Refused("QC104", "a condition that is not 0 or 1", "compare before Where (Greater, Less, Equal)")
    a, b = same_grid(build, pair)
    origin = merge_origins(test.origin, a.origin, b.origin, node.origin)
    name = build.emit(node.name, integer.Select(), (test.node, a.node, b.node), origin)
    return replace(a, node=name, origin=())


def _constant(build: Builder, like: Carried, known: Known) -> Carried:
    """A constant as a tensor beside ``like``."""
    x, values = parameters(build, like, known)
    zero = build.emit(f"{x.node}_constant", integer.WeightedSum(((0,),), (0,)), (x.node,), ())
    return replace(x, node=zero, steps=(Affine((_ONE,), values),), origin=())


def _masked(build: Builder, node: Node, condition: Known) -> Carried:
    """A constant condition: each channel takes one side; the other side counts zero times."""
    live = next(build.carried(node, k) for k in (1, 2) if not isinstance(build.values[node.inputs[k]], Known))
    sides = []
    for k in (1, 2):
        value = build.values[node.inputs[k]]
        x = _constant(build, live, value) if isinstance(value, Known) else build.carried(node, k)
        keep = condition.fractions() if k == 1 else 1 - condition.fractions()
        x, factors = parameters(build, x, Known(keep))
        (x,) = same_grid(build, [x])
        sides.append(x.then(Affine(shared(list(factors)), (_ZERO,)), ()))
    return joined(build, node, sides[0], sides[1])
