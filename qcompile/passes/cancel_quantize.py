"""Removes quantizers whose operand already lies on their grid."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from qcompile.ir.graph import Graph, Level, Node
from qcompile.ir.model import MODEL, MaxPool, Quantize, Reshape, Transpose
from qcompile.numerics.quantizer import Quantizer


@dataclass(frozen=True)
class CancelQuantize:
    """Drop a quantizer behind another one (also across pooling and layout) if it changes no value.

    That is so where scale and zero point are the same and the first one's codes are among the second's.
    """

    name: ClassVar[str] = "cancel_quantize"
    requires: ClassVar[Level] = MODEL
    ensures: ClassVar[Level] = MODEL

    def run(self, graph: Graph) -> Graph:
        standing: dict[str, str] = {}
        nodes: list[Node] = []
        for node in graph.nodes:
            inputs = tuple(standing.get(name, name) for name in node.inputs)
            if isinstance(node.op, Quantize) and _idle(graph, node, node.op):
                standing[node.name] = inputs[0]
                continue
            nodes.append(Node(node.name, node.op, inputs, node.origin))
        outputs = tuple(standing.get(name, name) for name in graph.outputs)
        return Graph(graph.level, graph.name, tuple(nodes), outputs).without_dead_nodes()


def _idle(graph: Graph, node: Node, op: Quantize) -> bool:
    before = graph.by_name[node.inputs[0]]
    crossed = False
    while isinstance(before.op, MaxPool | Reshape | Transpose):
        crossed = crossed or not isinstance(before.op, MaxPool)
        before = graph.by_name[before.inputs[0]]
    if not isinstance(before.op, Quantize):
        return False
    first, second = before.op.quantizer, op.quantizer
    if first.channels > 1 and (crossed or before.op.axis != op.axis):
        return False
    return first.scale == second.scale and first.zero_point == second.zero_point and _among(first, second)


def _among(first: Quantizer, second: Quantizer) -> bool:
    """Whether every code of ``first`` is one of ``second`` (which then rounds nothing: values are on the grid)."""
    if not second.every_integer:
        return first == second and second.idempotent
    low = second.low is None or (first.low is not None and first.low >= second.low)
    return low and (second.high is None or (first.high is not None and first.high <= second.high))
