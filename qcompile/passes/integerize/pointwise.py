"""Element by element: sums, products with constants, activations."""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from qcompile.ir import integer, model
from qcompile.ir.graph import Node, merge_origins
from qcompile.numerics.function import Affine, Clamp, Curve, Leaky
from qcompile.passes.integerize.builder import Builder, Value
from qcompile.passes.integerize.carried import Carried, Known, Raw, Refused, common_unit, shared
from qcompile.passes.integerize.grids import lines, regridded, straight
from qcompile.passes.integerize.inputs import with_term
from qcompile.passes.integerize.placing import flat, side_by_side, widened
from qcompile.passes.integerize.quantizing import SIGN, quantized

_ONE, _ZERO = Fraction(1), Fraction(0)


def add(build: Builder, node: Node) -> Value:
    side = build.constant_side(node)
    if side is None:
        return joined(build, node, build.carried(node, 0), build.carried(node, 1))
    known, value = build.known(node, side), build.values[node.inputs[1 - side]]
    if isinstance(value, Raw) and value.source.op.integer is None:  # type: ignore[attr-defined]
        return with_term(value, node, known, multiply=False)
    x, values = parameters(build, build.carried(node, 1 - side), known)
    return x.then(Affine((_ONE,), values), node.origin)


def multiply(build: Builder, node: Node) -> Value:
    side = build.constant_side(node)
    if side is None:
        operands = (straight(build, build.carried(node, k)) for k in range(2))
        return product(build, node, *side_by_side(build, *operands))
    return _scaled(build, node, 1 - side, build.known(node, side))


def divide(build: Builder, node: Node) -> Value:
    known = build.known(node)
    exact = known.fractions()
    if not exact.all():
        raise Refused("QC106", "a division by zero", "the training run or the export is damaged")
    return _scaled(build, node, 0, Known(np.asarray(1 / exact, object).reshape(known.shape)))


def _scaled(build: Builder, node: Node, computed: int, known: Known) -> Value:
    value = build.values[node.inputs[computed]]
    if isinstance(value, Raw) and value.source.op.integer is None:  # type: ignore[attr-defined]
        return with_term(value, node, known, multiply=True)
    x, values = parameters(build, build.carried(node, computed), known)
    return x.then(Affine(values, (_ZERO,)), node.origin)


def parameters(build: Builder, x: Carried, known: Known) -> tuple[Carried, tuple[Fraction, ...]]:
    """``x`` broadcast with ``known``, and the constant's value of every channel."""
    x = widened(build, x, np.broadcast_shapes(x.index.shape, known.shape))
    values = x.per_channel(known)
    if values is None:  # one value per element: let every element be a channel
        x = flat(build, x)
        values = x.per_channel(known)
        assert values is not None
    return x, values


def joined(build: Builder, node: Node, a: Carried, b: Carried, sign: int = 1) -> Carried:
    """``a + sign * b``: integers with a common unit, channel by channel, exactly."""
    a, b = side_by_side(build, straight(build, a), straight(build, b))
    (first, second), (base, gap) = zip(lines(a), lines(b), strict=True)
    units = [common_unit([s, t]) for s, t in zip(first, second, strict=True)]
    factors = (
        shared([int(s / u) for s, u in zip(first, units, strict=True)]),
        shared([sign * int(t / u) for t, u in zip(second, units, strict=True)]),
    )
    origin = merge_origins(a.origin, b.origin, node.origin)
    name = build.emit(node.name, integer.WeightedSum(factors, (0,)), (a.node, b.node), origin)
    offsets = [o + sign * p for o, p in zip(base, gap, strict=True)]
    return Carried(name, a.shape, a.index, (Affine(shared(units), shared(offsets)),))


def product(build: Builder, node: Node, a: Carried, b: Carried) -> Carried:
    """Codes without offsets, multiplied element by element; scales multiply too. ``a`` and ``b`` are placed alike."""
    a, b = (_without_offset(build, x) for x in (a, b))
    origin = merge_origins(a.origin, b.origin, node.origin)
    name = build.emit(node.name, integer.Product(), (a.node, b.node), origin)
    scales = [s * t for s, t in zip(lines(a)[0], lines(b)[0], strict=True)]
    return Carried(name, a.shape, a.index, (Affine(shared(scales), (_ZERO,)),))


def _without_offset(build: Builder, x: Carried) -> Carried:
    scales, offsets = lines(x)
    if not any(offsets):
        return x
    units = [common_unit([s, o]) for s, o in zip(scales, offsets, strict=True)]
    return regridded(build, x, units, [_ZERO] * x.channels)


def clip(build: Builder, node: Node) -> Value:
    op = node.op
    assert isinstance(op, model.Clip)
    low, high = (None if bound is None else Fraction(bound) for bound in (op.low, op.high))
    return build.carried(node).then(Clamp(low, high), node.origin)


def leaky_relu(build: Builder, node: Node) -> Value:
    x, slopes = parameters(build, build.carried(node), build.known(node))
    if slopes == (_ZERO,):
        return x.then(Clamp(_ZERO, None), node.origin)
    return x.then(Leaky(slopes), node.origin)


def curve(build: Builder, node: Node) -> Value:
    op = node.op
    assert isinstance(op, model.Curve)
    x = build.carried(node)
    if op.function == "sign":
        return quantized(build, node, x, SIGN)
    if op.function == "absolute":
        return x.then(Leaky((-_ONE,)), node.origin)
    return x.then(Curve(op.function, op.parameters), node.origin)


def bounded(build: Builder, x: Carried, known: Known, larger: bool, origin: tuple[str, ...]) -> Carried:
    """The larger (or smaller) of ``x`` and a constant."""
    x, values = parameters(build, x, known)
    if len(values) == 1:
        return x.then(Clamp(values[0], None) if larger else Clamp(None, values[0]), origin)
    x = x.then(Affine((_ONE,), tuple(-v for v in values)), origin)
    return x.then(Clamp(_ZERO, None) if larger else Clamp(None, _ZERO), ()).then(Affine((_ONE,), values), ())
