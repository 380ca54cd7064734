"""What lanes of a folded layer cost, and results that share the lanes that requantize them.

An engine that takes many cycles for its sums needs its requantization, which is wide, once in that time. Where it
has several results at a time, they go through fewer requantizing lanes one after the other.
"""

from __future__ import annotations

from math import prod

import numpy as np

from qcompile.ir import integer
from qcompile.ir.graph import Graph
from qcompile.ir.integer import IntType
from qcompile.lower.folded import weight_bits
from qcompile.schedule.fold import Folding, LaneCosts, divisors, layer_shape
from qcompile.schedule.partition import Group

_CONTROL = 50  # LUTs of another engine around its datapaths


def requantizing_lanes(graph: Graph, group: Group, folding: Folding) -> int | None:
    """The fewest lanes that keep up with the layer's sums, or None where they cost more than they save."""
    if not splits(group) or folding.pe == 1:
        return None
    shape = layer_shape(graph, group)
    beats = shape.taps if shape.separate else shape.taps * shape.ins // folding.simd
    keeping_up = [
        lanes
        for lanes in divisors(folding.pe)
        if folding.pe // lanes <= beats and shape.positions * (shape.outs // lanes) <= folding.cycles
    ]
    lanes = keeping_up[0]
    width = graph.types[group.anchor.name].span.width
    saved = (folding.pe - lanes) * sum(_lane_luts(node.op, width) for node in group.nodes[1:])
    return lanes if saved > folding.pe * width + _CONTROL else None


def lane_costs(graph: Graph, group: Group) -> LaneCosts:
    """About the LUTs of a lane of the group's engine."""
    op = group.anchor.op
    x: IntType = graph.types[group.operands[0]]
    sums: IntType = graph.types[group.anchor.name]
    tail = sum(_lane_luts(node.op, sums.span.width) for node in group.nodes[1:])
    # A wide requantization is shared; what is left of it is the way there.
    result = sums.span.width + min(tail, sums.span.width)
    if not isinstance(op, integer.Conv | integer.MatMul):
        return LaneCosts(0.0, sums.span.width + tail, 0.0)
    bits = weight_bits(op.weights.values)
    digits = (bits + 1) // 2
    # A digit's bits, the sum of a product's digits, and the product's part in the tree of sums.
    product = digits * (x.span.width + 1.0) + (digits - 1) * (x.span.width + 2) + x.span.width + bits
    # Or pairs of bits, each with its part in a popcount.
    pairs = x.span.width * int(np.abs(op.weights.values).max()).bit_length()
    product = min(product, pairs * (1.5 if bits == 1 else 1.9))
    return LaneCosts(product, result, x.span.width / 2)


def splits(group: Group) -> bool:
    """Whether the group is sums and a requantization of them."""
    return len(group.nodes) > 1 and isinstance(group.anchor.op, integer.Conv | integer.MatMul)


def split(group: Group) -> tuple[Group, Group]:
    """The sums, and what requantizes them."""
    return Group(group.nodes[:1]), Group(group.nodes[1:])


def _lane_luts(op: object, width: int) -> float:
    """About the LUTs of one lane of ``op`` with parameters from ROM, on sums of ``width`` bits."""
    match op:
        case integer.Rescale(factor=factors, shift=shifts):
            if all(factor.bit_count() == 1 for factor in factors):
                return width + 2.0
            bits = max(factors, key=abs).bit_length() + max(shifts) - min(shifts)
            return (bits // 2 + 1) * (width + 2.0)
        case integer.Thresholds():
            return op.at.shape[1] * (width / 2 + 2)
        case integer.Lookup():
            return float(prod(op.table.shape[1:])) / 16
    return float(width)
