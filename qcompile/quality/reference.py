"""The network that a quantized one is compared with, value by value."""

from __future__ import annotations

from dataclasses import replace

from qcompile.ir.graph import Graph, Node
from qcompile.ir.model import Clip, Constant, Quantize
from qcompile.numerics.quantizer import Quantizer


def without_rounding(graph: Graph) -> Graph:
    """A quantized model graph whose data still saturate where its grids end, but are rounded no more.

    Weights keep their grids. So do data on grids of another kind than evenly spaced codes: a sign, or a float
    of eight bits, has no counterpart without rounding.
    """
    fixed: set[str] = set()  # values that come from constants alone
    nodes: list[Node] = []
    for node in graph.nodes:
        if isinstance(node.op, Constant) or (node.inputs and fixed.issuperset(node.inputs)):
            fixed.add(node.name)
        if node.name not in fixed and isinstance(node.op, Quantize):
            node = replace(node, op=_saturation(node.op) or node.op)
        nodes.append(node)
    return replace(graph, nodes=tuple(nodes))


def _saturation(op: Quantize) -> Clip | None:
    q = op.quantizer
    if type(q) is not Quantizer or q.channels > 1:
        return None

    def end(code: int | None) -> float | None:
        return None if code is None else float(q.value(code))

    return Clip(end(q.low), end(q.high))
