"""Moves quantizers in front of max pooling and layout changes, so that few bits are pooled and stored."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from qcompile.ir.graph import Graph, Level, Node
from qcompile.ir.model import MODEL, MaxPool, Quantize, Reshape, Transpose
from qcompile.passes.naming import fresh_name


@dataclass(frozen=True)
class HoistQuantize:
    """Turn pool-then-quantize into quantize-then-pool; exact, since quantizers never decrease.

    Declined where the operand is on a grid with no more codes already, where others read the unquantized
    result, and where per-channel parameters would not follow the channels.
    """

    name: ClassVar[str] = "hoist_quantize"
    requires: ClassVar[Level] = MODEL
    ensures: ClassVar[Level] = MODEL

    def run(self, graph: Graph) -> Graph:
        while (found := _next_hoist(graph)) is not None:
            old, new = found
            graph = graph.rewrite(lambda node, old=old, new=new: new if node.name == old.name else None)  # type: ignore[misc]
        return graph


def _next_hoist(graph: Graph) -> tuple[Node, tuple[Node, ...]] | None:
    for node in graph.nodes:
        if not isinstance(node.op, Quantize):
            continue
        moved = graph.by_name[node.inputs[0]]
        if len(graph.users[moved.name]) > 1 or moved.name in graph.outputs:
            continue
        early_op = _before(graph, moved, node.op)
        if early_op is None or _coarser_already(graph, moved.inputs[0], early_op):
            continue
        early = Node(fresh_name(f"{node.name}_early", graph.by_name), early_op, (moved.inputs[0],), node.origin)
        return node, (early, replace(moved, name=node.name, inputs=(early.name,)))
    return None


def _before(graph: Graph, moved: Node, op: Quantize) -> Quantize | None:
    """The quantizer that does in front of ``moved`` what ``op`` does behind it."""
    if op.quantizer.channels == 1:
        return replace(op, axis=None) if isinstance(moved.op, MaxPool | Reshape | Transpose) else None
    assert op.axis is not None
    axis = op.axis % len(graph.types[moved.name].shape)
    match moved.op:
        case MaxPool() if axis <= 1:
            return op
        case Transpose(axes=axes):
            return replace(op, axis=axes[axis])
    return None


def _coarser_already(graph: Graph, name: str, op: Quantize) -> bool:
    node = graph.by_name[name]
    while isinstance(node.op, MaxPool | Reshape | Transpose):
        node = graph.by_name[node.inputs[0]]
    if not isinstance(node.op, Quantize) or node.op.quantizer.span is None:
        return False
    new = op.quantizer.span
    return new is None or node.op.quantizer.span.size <= new.size
