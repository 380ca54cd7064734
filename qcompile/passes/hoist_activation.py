"""Moves activation functions in front of max pooling and layout changes, next to the layer they belong to."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from qcompile.ir.graph import Graph, Level, Node
from qcompile.ir.model import MODEL, Clip, Constant, Curve, LeakyRelu, MaxPool, Reshape, Transpose
from qcompile.numerics.curves import CURVES
from qcompile.passes.naming import fresh_name


@dataclass(frozen=True)
class HoistActivation:
    """Turn pool-then-activate into activate-then-pool; exact, since the functions never decrease.

    A quantizer behind the activation can then stand before the pool, which compares fewer bits.
    """

    name: ClassVar[str] = "hoist_activation"
    requires: ClassVar[Level] = MODEL
    ensures: ClassVar[Level] = MODEL

    def run(self, graph: Graph) -> Graph:
        while (found := _next_hoist(graph)) is not None:
            old, new = found
            graph = graph.rewrite(lambda node, old=old, new=new: new if node.name == old.name else None)  # type: ignore[misc]
        return graph


def _next_hoist(graph: Graph) -> tuple[Node, tuple[Node, ...]] | None:
    for node in graph.nodes:
        if not _commutes(graph, node):
            continue
        moved = graph.by_name[node.inputs[0]]
        if not isinstance(moved.op, MaxPool | Reshape | Transpose):
            continue
        if len(graph.users[moved.name]) > 1 or moved.name in graph.outputs:
            continue
        early = replace(
            node, name=fresh_name(f"{node.name}_early", graph.by_name), inputs=(moved.inputs[0], *node.inputs[1:])
        )
        return node, (early, replace(moved, name=node.name, inputs=(early.name,)))
    return None


def _commutes(graph: Graph, node: Node) -> bool:
    """Whether ``node`` is one non-decreasing function for all elements."""
    match node.op:
        case Clip():
            return True
        case Curve(function=function):
            return CURVES[function].ascends
        case LeakyRelu():
            slope = graph.by_name[node.inputs[1]].op
            return isinstance(slope, Constant) and slope.value.values.size == 1 and float(slope.value.values.min()) >= 0
    return False
