"""Signs travel as bits: -1/+1 becomes 0/1, and what follows a binary layer makes up for it exactly.

With ``v = 2 b - 1``, ``sum(w v) = 2 sum(w b) - sum(w)``: the factor and the constant fold into the thresholds,
the requantization or the scale that comes next. One bit per sign halves the wires, and products of signs become
XNOR gates.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from qcompile.ir import integer
from qcompile.ir.array import Array
from qcompile.ir.graph import Graph, Level, Node

_KEEPING = (integer.MaxPool, integer.Reshape, integer.Gather, integer.Product)  # signs of signs
_LINEAR = (integer.Conv, integer.MatMul)


@dataclass(frozen=True)
class CarrySignsAsBits:
    """Give signs that only binary layers read one bit."""

    name: ClassVar[str] = "carry_signs_as_bits"
    requires: ClassVar[Level] = integer.INTEGER
    ensures: ClassVar[Level] = integer.INTEGER

    def run(self, graph: Graph) -> Graph:
        bits = _signs(graph)
        halved = {
            node.name
            for node in graph.nodes
            if isinstance(node.op, _LINEAR) and node.inputs[0] in bits and _adaptable(graph, node)
        }
        result: list[Node] = []
        for node in graph.nodes:
            result.extend(_rewritten(graph, node, bits, halved))
        return replace(graph, nodes=tuple(result)).without_dead_nodes()


def _signs(graph: Graph) -> set[str]:
    """Values in -1/+1 that only linear layers read that can take bits, perhaps behind moves and products of signs."""
    signs: set[str] = set()
    for node in graph.nodes:
        match node.op:
            case integer.Thresholds(step=2, base=base, at=at) if set(base) == {-1} and at.shape[1] == 1:
                signs.add(node.name)
            case op if isinstance(op, _KEEPING) and signs.issuperset(node.inputs):
                signs.add(node.name)
    while True:
        refused = {
            name
            for name in signs
            if name in graph.outputs or not all(_takes_bits(graph, user, signs) for user in graph.users[name])
        }
        # What keeps a refused value is refused with it, and the values before what is refused.
        refused |= {
            n.name
            for n in graph.nodes
            if n.name in signs and isinstance(n.op, _KEEPING) and not signs.issuperset(n.inputs)
        }
        if not refused:
            return signs
        signs -= refused


def _takes_bits(graph: Graph, user: Node, signs: set[str]) -> bool:
    if isinstance(user.op, _KEEPING):
        return user.name in signs
    padded = isinstance(user.op, integer.Conv) and user.op.window.padded and abs(user.op.fill) != 1
    return isinstance(user.op, _LINEAR) and not padded and _adaptable(graph, user)


def _adaptable(graph: Graph, node: Node) -> bool:
    """Whether everything that reads a linear layer's sums can make up for halved sums."""
    readers = (integer.Thresholds, integer.Rescale, integer.Lookup, integer.Output)
    return node.name not in graph.outputs and all(isinstance(u.op, readers) for u in graph.users[node.name])


def _rewritten(graph: Graph, node: Node, bits: set[str], halved: set[str]) -> list[Node]:
    op = node.op
    if node.name in bits and isinstance(op, integer.Thresholds):
        op = replace(op, base=(0,), step=1)
    if node.name in bits and isinstance(op, integer.Product):
        op = integer.Xnor()
    if node.name in halved and isinstance(op, integer.Conv) and op.window.padded:
        op = replace(op, fill=(op.fill + 1) // 2)
    if node.inputs and node.inputs[0] in halved:
        sums = _weight_sums(graph.by_name[node.inputs[0]])
        match op:
            case integer.Thresholds():
                op = _thresholds(op, sums)
            case integer.Rescale():
                op = _rescale(op, sums)
            case integer.Lookup():
                op = _lookup(op, sums)
            case integer.Output():
                scale = tuple(2 * s for s in op.scale)
                offset = tuple(
                    op.offset[c % len(op.offset)] - op.scale[c % len(op.scale)] * s for c, s in enumerate(sums)
                )
                op = replace(op, scale=scale, offset=offset)
    return [replace(node, op=op)]


def _weight_sums(node: Node) -> list[int]:
    """Per output channel the sum of the weights of a linear layer."""
    assert isinstance(node.op, integer.Conv | integer.MatMul)
    weights = node.op.weights.values
    return [int(v) for v in weights.reshape(-1, weights.shape[-1]).sum(axis=0)]


def _thresholds(op: integer.Thresholds, sums: list[int]) -> integer.Thresholds:
    """``sign * (2 a - S) >= t`` is ``sign * a >= ceil((t + sign * S) / 2)``."""
    channels = len(sums)
    at = np.stack([op.at.values[c % op.at.shape[0]] for c in range(channels)])
    signs = tuple(op.sign[c % len(op.sign)] for c in range(channels))
    shift = np.array([s * total for s, total in zip(signs, sums, strict=True)], np.int64)
    return replace(op, at=Array(-(-(at + shift[:, None]) // 2)), sign=signs)


def _lookup(op: integer.Lookup, sums: list[int]) -> integer.Lookup:
    """Entry ``a`` of a channel's table is that of ``2 a - S``; no sum reaches the entries that are made up."""
    entries = op.table.shape[1]
    rows, total = (sums[:1], 1) if op.table.shape[0] == 1 and len(set(sums)) == 1 else (sums, len(sums))
    start = np.array(rows, np.int64)[:, None] + op.low
    low, high = int((start.min() + 1) // 2), int((start.max() + entries - 1) // 2)
    places = np.clip(2 * np.arange(low, high + 1) - start, 0, entries - 1)
    tables = op.table.values[np.arange(total) % op.table.shape[0]]
    return replace(op, table=Array(np.take_along_axis(tables, places, axis=1)), low=low)


def _rescale(op: integer.Rescale, sums: list[int]) -> integer.Rescale:
    parts = [op.of(c) for c in range(len(sums))]
    factor = tuple(2 * f for f, _, _ in parts)
    offset = tuple(o - f * total for (f, o, _), total in zip(parts, sums, strict=True))
    return replace(op, factor=factor, offset=offset, shift=tuple(s for _, _, s in parts))
