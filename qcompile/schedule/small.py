"""Folded layers that are smaller unrolled: few weights need fewer adders than an engine needs control and memory."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from qcompile.ir import integer
from qcompile.ir.graph import Graph, Node
from qcompile.schedule.choice import Choice
from qcompile.schedule.design import Design, Layer
from qcompile.schedule.estimate import Cost, layer_costs, total_cost
from qcompile.targets import Target

_BLOCK_WORTH = 64  # LUTs, as for ROMs
_LEAST_PER_BIT = 0.5  # LUTs of an unrolled product and operand bit, where many sums are shared
_FEW_CHANNELS = 4  # of layers without weights


def unroll_small_layers(
    build: Callable[[Mapping[str, Choice]], Design], folded: Design, graph: Graph, target: Target
) -> Design:
    """``folded`` with those layers unrolled, one after the other, that make it smaller.

    ``build`` makes the design again with some layers unrolled. Only layers that could win are tried.
    """
    best, unrolled = folded, dict[str, Choice]()
    costs = layer_costs(folded, target)
    for layer in folded.layers:
        own = costs.get(layer.name, Cost()) + costs.get(f"{layer.name}_requantize", Cost())
        if layer.lanes is None or not _could_win(graph, layer, own):
            continue
        tried = build({**unrolled, layer.name: Choice()})
        if _size(total_cost(tried, target)) < _size(total_cost(best, target)):
            best, unrolled[layer.name] = tried, Choice()
    return best


def _size(cost: Cost) -> float:
    return cost.lut + _BLOCK_WORTH * cost.bram18


def least_luts(graph: Graph, anchor: Node) -> float:
    """The least that a layer takes unrolled: adders of all products, where many sums are shared."""
    match anchor.op:
        case integer.Conv(weights=weights) | integer.MatMul(weights=weights):
            products = int(np.count_nonzero(weights.values)) - weights.shape[-1]
            bits = max(1, graph.types[anchor.inputs[0]].span.width - 1)
            return _LEAST_PER_BIT * products * bits
    return 0.0


def _could_win(graph: Graph, layer: Layer, cost: Cost) -> bool:
    """Whether the least that the unrolled layer takes is less than the folded one does."""
    anchor = graph.by_name[layer.integer_nodes[0]]
    if isinstance(anchor.op, integer.Conv | integer.MatMul):
        return least_luts(graph, anchor) < _size(cost)
    return bool(graph.types[anchor.name].channels <= _FEW_CHANNELS)
