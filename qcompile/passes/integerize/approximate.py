"""Approximate products of floats with constants, as exact sums: what `numerics.products` defines, for whole layers.

With L(v) the leading power of two of v and c the constant of the rule, the closed form is linear,

    x * w  ~  L(w) * x + (w - L(w) + c * L(w)) * L(x),

and where the fractions carry, the integer adder gives u + max(0, u - 2 * L(x)) times L(w), with
u = x + (w / L(w) - 1 + c) * L(x): one u for each fraction that occurs among the weights, whatever their exponents.
So a layer becomes an exact one with more operands, and every engine serves it. Positive and negative operands go
their own ways.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from math import lcm

import numpy as np

from qcompile.ir import integer
from qcompile.ir.array import Array
from qcompile.ir.window import Window
from qcompile.numerics.function import Ints
from qcompile.numerics.minifloat import MiniFloatQuantizer
from qcompile.numerics.products import Product, added
from qcompile.numerics.quantizer import Quantizer
from qcompile.numerics.rounding import Rounding
from qcompile.passes.integerize.builder import Builder
from qcompile.passes.integerize.carried import Refused

_MOVES = integer.MaxPool | integer.Reshape | integer.Gather


@dataclass(frozen=True)
class Expanded:
    """Operands of which a layer's sum is exact: channels ``[group][block][channel]`` of ``node``.

    ``weights`` [in of a group, ..., out] are integers; the layer's sums count ``unit`` of what they counted.
    """

    node: str
    weights: Ints
    unit: Fraction


def expand(
    build: Builder, node: str, weights: Ints, quantizer: Quantizer | None, rule: Product, groups: int = 1
) -> Expanded:
    """``node`` (channels last) and ``weights`` [in of a group, ..., out], so that exact sums are those of ``rule``."""
    bits = _mantissa_bits(build, node, quantizer)
    blocks, table = _unsigned(build, node, weights)
    operand = _joined(build, blocks)
    power = build.emit(f"{node}_power", integer.RoundSignificand(1, 0, Rounding.FLOOR), (operand,), ())
    leading, fraction = _split(table)
    constant = added(rule, bits)
    if rule is Product.L_MUL_FORMULA:
        unit = constant.denominator
        both = build.emit(f"{node}_both", integer.Concat(), (operand, power), ())
        rest = (fraction + constant) * leading * unit
        stacked = np.concatenate([leading * unit, rest])
    else:
        both, stacked, unit = _bent(build, node, (operand, power), leading, fraction + constant)
    count = len(stacked) // (len(weights))
    channels = build.types[node].channels
    return Expanded(_by_groups(build, both, channels, count, groups), _whole(stacked), Fraction(1, unit))


def _bent(build: Builder, node: str, sources: tuple[str, str], leading: Ints, offsets: Ints) -> tuple[str, Ints, int]:
    """u and max(0, u - 2 L(x)) for every offset of L(x) that weights have; then the weights, and their unit."""
    values = sorted({offset for offset, power in zip(offsets.ravel(), leading.ravel(), strict=True) if power})
    unit = lcm(*(offset.denominator for offset in values), 1)
    width = build.types[sources[0]].channels
    columns, rows = [], []
    for value in values or [Fraction(0)]:
        own = np.where(offsets == value, leading, 0)
        for bend in (0, 2) if value else (0,):
            columns.append((unit, int((value - bend) * unit)))
            rows.append(own)
    matrix = np.zeros((2 * width, len(columns) * width), np.int64)
    for block, (plain, power) in enumerate(columns):
        for channel in range(width):
            matrix[channel, block * width + channel] = plain
            matrix[width + channel, block * width + channel] = power
    both = build.emit(f"{node}_both", integer.Concat(), sources, ())
    lines = _pointwise(build, f"{node}_lines", both, matrix)
    high = max(0, build.types[lines].span.high)
    bent = build.emit(f"{node}_bent", integer.Rescale((1,), (0,), (0,), 0, high), (lines,), ())
    return bent, np.concatenate(rows), unit


def _pointwise(build: Builder, name: str, node: str, matrix: Ints) -> str:
    if len(build.types[node].shape) == 3:
        return build.emit(name, integer.Conv(Array(matrix[None, None]), Window((1, 1))), (node,), ())
    return build.emit(name, integer.MatMul(Array(matrix)), (node,), ())


def _unsigned(build: Builder, node: str, weights: Ints) -> tuple[list[str], Ints]:
    """Operands that are not negative: ``node``, or its positive and its negative part."""
    span = build.types[node].span
    if span.low >= 0:
        return [node], weights
    positive = integer.Rescale((1,), (0,), (0,), 0, max(0, span.high))
    negative = integer.Rescale((-1,), (0,), (0,), 0, -span.low)
    parts = [build.emit(f"{node}_{name}", op, (node,), ()) for name, op in (("above", positive), ("below", negative))]
    return parts, np.concatenate([weights, -weights])


def _joined(build: Builder, blocks: list[str]) -> str:
    return blocks[0] if len(blocks) == 1 else build.emit(f"{blocks[0]}_parts", integer.Concat(), tuple(blocks), ())


def _split(weights: Ints) -> tuple[Ints, Ints]:
    """``(leading power with the sign, fraction)`` of integers; a zero has the power 0."""
    sizes = np.abs(weights.astype(object))
    powers = np.array([1 << int(v).bit_length() - 1 if v else 0 for v in sizes.ravel()], object).reshape(sizes.shape)
    fractions = np.empty(sizes.shape, object)
    for place, (size, power) in enumerate(zip(sizes.ravel(), powers.ravel(), strict=True)):
        fractions.flat[place] = Fraction(int(size), int(power)) - 1 if power else Fraction(0)
    return np.where(weights < 0, -powers, powers), fractions


def _whole(values: Ints) -> Ints:
    assert all(Fraction(v).denominator == 1 for v in values.ravel())
    return np.array([int(v) for v in values.ravel()], np.int64).reshape(values.shape)


def _by_groups(build: Builder, node: str, channels: int, blocks: int, groups: int) -> str:
    """Channels ``[block][group][channel]`` as ``[group][block][channel]``."""
    if groups == 1:
        return node
    shape = build.types[node].shape
    places = np.arange(int(np.prod(shape))).reshape(*shape[:-1], blocks, groups, channels // groups)
    order = places.swapaxes(-3, -2).reshape(shape)
    return build.emit(f"{node}_grouped", integer.Gather(Array(order)), (node,), ())


def _mantissa_bits(build: Builder, node: str, weights: Quantizer | None) -> int:
    """Those of the wider of both formats; refused where one of them is no float."""
    by_name = {n.name: n for n in build.nodes}
    source = by_name[node]
    while isinstance(source.op, _MOVES):
        source = by_name[source.inputs[0]]
    match source.op:
        case integer.Requantize(function=function):
            operands: Quantizer | None = function.quantizer
        case integer.Input(quantizer=quantizer):
            operands = quantizer
        case _:
            operands = None
    found = [q for q in (operands, weights) if isinstance(q, MiniFloatQuantizer)]
    if len(found) < 2:
        what = "operands" if not isinstance(operands, MiniFloatQuantizer) else "weights"
        raise Refused(
            "QC212",
            f"its {what} are no floats, and only floats have an approximate product",
            "give both as in --weights minifloat:e4m3 --activations minifloat:e4m3, or --multiply exact",
        )
    return max(q.mantissa_bits for q in found)
