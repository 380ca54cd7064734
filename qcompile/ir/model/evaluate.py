"""Evaluation of a model graph in float64."""

from __future__ import annotations

from qcompile.ir.graph import Graph
from qcompile.ir.model.base import Input, ModelOp, Reals


def evaluate(graph: Graph, inputs: dict[str, Reals], wanted: tuple[str, ...] | None = None) -> dict[str, Reals]:
    """Float64 values of ``wanted`` nodes (default: the outputs); inputs are ``[samples, *shape]``."""
    wanted = graph.outputs if wanted is None else wanted
    last_use = {name: position for position, node in enumerate(graph.nodes) for name in node.inputs}
    values: dict[str, Reals] = dict(inputs)
    for position, node in enumerate(graph.nodes):
        if not isinstance(node.op, Input):
            assert isinstance(node.op, ModelOp)
            values[node.name] = node.op.evaluate(*(values[name] for name in node.inputs))
        for name in node.inputs:
            if last_use[name] == position and name not in wanted:
                values.pop(name, None)
    return {name: values[name] for name in wanted}
