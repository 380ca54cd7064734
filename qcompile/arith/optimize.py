"""Turns a constant integer matrix into an adder graph by sharing two-term subexpressions of signed digits."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from qcompile.arith.cost import CostModel
from qcompile.arith.graph import AdderGraph, AdderNode, AdderOutput

Digit = tuple[int, int, int]  # source, shift, sign
Pair = tuple[int, int, int, int]  # source a, source b, shift of b over a, product of the signs


def optimize(
    matrix: npt.ArrayLike,
    input_ranges: Sequence[tuple[int, int]],
    *,
    effort: int = 1,
    seed: int = 0,
    latency: int | None = None,
    cost: CostModel | None = None,
) -> AdderGraph:
    """Adder graph of ``x @ matrix``, checked; matrix ``[inputs, outputs]``, one (low, high) per input."""
    weights = np.asarray(matrix)
    if weights.ndim != 2:
        raise ValueError(f"matrix has shape {weights.shape}, need [inputs, outputs]")
    if weights.dtype != object and weights.size and not np.issubdtype(weights.dtype, np.integer):
        raise ValueError(f"matrix has type {weights.dtype}, need integers")
    if len(input_ranges) != weights.shape[0]:
        raise ValueError(f"{len(input_ranges)} input ranges for {weights.shape[0]} inputs")
    for index, (low, high) in enumerate(input_ranges):
        if low > high:
            raise ValueError(f"input {index} has the empty range ({low}, {high})")
    if effort not in (0, 1, 2, 3):
        raise ValueError(f"effort is {effort}, need 0, 1, 2 or 3")
    inputs = weights.shape[0]
    columns: list[list[Digit]] = []
    for column in range(weights.shape[1]):
        digits: list[Digit] = []
        for source in range(inputs):
            value, shift = int(weights[source, column]), 0
            while value:
                if value & 1:
                    sign = 2 - (value & 3)
                    digits.append((source, shift, sign))
                    value -= sign
                value >>= 1
                shift += 1
        columns.append(digits)
    nodes: list[AdderNode] = []
    counts: Counter[Pair] = Counter()
    for digits in columns:
        _count(digits, counts, 1)
    while counts:
        best = max(counts.items(), key=lambda item: (item[1], -abs(item[0][2]), item[0]))
        if best[1] < 2:
            break
        first, second, distance, sign = best[0]
        new = inputs + len(nodes)
        used = False
        for column, digits in enumerate(columns):
            rest = set(digits)
            added: list[Digit] = []
            for source, shift, own in digits:
                partner = (second, shift + distance, own * sign)
                if source == first and (source, shift, own) in rest and partner in rest:
                    if partner == (source, shift, own):
                        continue
                    rest -= {(source, shift, own), partner}
                    added.append((new, min(shift, shift + distance), own))
            if added:
                used = True
                _count(digits, counts, -1)
                columns[column] = [d for d in digits if d in rest] + added
                _count(columns[column], counts, 1)
        assert used
        nodes.append(AdderNode(first, second, max(-distance, 0), max(distance, 0), sign < 0))
    depths = [0] * inputs
    for node in nodes:
        depths.append(max(depths[node.left], depths[node.right]) + 1)
    outputs: list[AdderOutput] = []
    for digits in columns:
        heap = [(depths[source], -shift, source, sign) for source, shift, sign in digits]
        heapq.heapify(heap)
        while len(heap) > 1:
            one, two = heapq.heappop(heap), heapq.heappop(heap)
            if one[3] < 0 < two[3] or (one[3] == two[3] and one[1] < two[1]):
                one, two = two, one
            base = min(-one[1], -two[1])
            nodes.append(AdderNode(one[2], two[2], -one[1] - base, -two[1] - base, one[3] != two[3]))
            depths.append(max(one[0], two[0]) + 1)
            heapq.heappush(heap, (depths[-1], -base, len(depths) - 1, one[3]))
        if heap:
            outputs.append(AdderOutput(heap[0][2], -heap[0][1], heap[0][3] < 0))
        else:
            outputs.append(AdderOutput(None, 0, False))
    graph = AdderGraph.build(input_ranges, nodes, outputs)
    graph.verify(weights)
    return graph


def _count(digits: list[Digit], counts: Counter[Pair], step: int) -> None:
    for position, (source, shift, sign) in enumerate(digits):
        for other, other_shift, other_sign in digits[:position]:
            if (other, other_shift) < (source, shift):
                pair = (other, source, shift - other_shift, sign * other_sign)
            else:
                pair = (source, other, other_shift - shift, sign * other_sign)
            counts[pair] += step
            if not counts[pair]:
                del counts[pair]
