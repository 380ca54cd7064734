"""``optimize``: a constant integer matrix becomes a checked adder graph."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from qcompile.arith.cost import CostModel
from qcompile.arith.graph import AdderGraph, AdderNode, AdderOutput, IntArray
from qcompile.arith.search import Plan, Problem, search

SPARE_DEPTH = 1
"""Adder levels above the least possible that are allowed without a latency limit, one more for sparse matrices."""

_LEVELS = 2
_LIMIT_BITS = 60
_LATEST = 32

# Penalty and levels of the difference tree, dense digits, bias of the sharing score: best first on random matrices,
# whose columns have differences worth a tree only if entries have several digits.
_STARTS = ((5, _LEVELS, 1, 3), (3, _LEVELS, 1, 3), (7, _LEVELS, 1, 8), (9, _LEVELS, 1, 3), (0, 0, 0, 3))
_SPARSE_STARTS = ((0, 0, 0, 3), (9, _LEVELS, 1, 3))

# Steps of work, about 40 to the microsecond.
_BUDGET = {0: 0, 1: 200_000_000, 2: 150_000_000, 3: 1_800_000_000}
_PER_ENTRY = {2: 400_000, 3: 6_000_000}

# Average adders, for simulated annealing. The default budget anneals sparse matrices alone; dense ones get few steps.
_HEAT = {0: 0.0, 1: 0.2, 2: 1.2, 3: 1.2}
_SPARSE_HEAT = 1.5

_NOISE = 2.0
"""Scores in annealing are scaled by up to 1 ± half of this: where only a part is taken apart, it may change a lot."""

_PORTION = 30
"""Rows taken apart at once, at most: enough to move, few enough to keep most of a large solution."""


def optimize(
    matrix: npt.ArrayLike,
    input_ranges: Sequence[tuple[int, int]],
    *,
    effort: int = 1,
    seed: int = 0,
    latency: int | None = None,
    arrival: Sequence[int] | None = None,
    budget: int | None = None,
    cost: CostModel | None = None,
) -> AdderGraph:
    """Adder graph of ``x @ matrix`` for integers x, proved equal by coefficient propagation.

    ``matrix`` is [inputs, outputs], ``input_ranges`` one (low, high) per input. ``effort`` 0 takes the first greedy
    result, 1 a fraction of a second, 2 seconds, 3 a minute; it is measured in work, so a seed gives one result
    everywhere; ``budget`` is that work in steps, about 40 to the microsecond, if it shall be another. ``arrival`` says
    at which adder depth each input comes (all at 0 by default), ``latency`` bounds the depth at which any output is
    delivered. An input that is always zero gets no adders.
    """
    weights = _checked_matrix(matrix, input_ranges, effort)
    times = _checked_arrival(arrival, len(weights))
    if budget is not None and budget < 0:
        raise ValueError(f"budget is {budget}, need at least 0")
    model = cost or CostModel()
    outputs = weights.shape[1]
    silent = np.array([low == high == 0 for low, high in input_ranges], dtype=bool)
    wanted = np.where(silent[:, None], 0, weights)
    columns, place, shift, sign = _distinct_columns(wanted.T)
    if not len(columns):
        zeros = [AdderOutput(None, 0, False)] * outputs
        return AdderGraph.build(input_ranges, (), zeros)
    weight = _digit_weights(columns)
    least = int((weight << times).sum(axis=1).max() - 1).bit_length()
    if latency is not None and latency < least:
        raise ValueError(f"latency is {latency}, but an output needs a depth of at least {least}")
    digits = int(weight.sum())
    sparse = digits <= columns.size
    depth = least + SPARE_DEPTH + sparse if latency is None else min(latency, least + SPARE_DEPTH + sparse)
    low, high = _scaled_ranges(columns, input_ranges)
    order = _SPARSE_STARTS if sparse else _STARTS
    starts = np.array(order if effort else order[:1], dtype=np.int64)
    starts[:, 1] = np.minimum(starts[:, 1], depth - least)
    problem = Problem(columns, low, high, times, depth, float(model.per_adder), float(model.per_bit))
    noise = min(len(columns) / 20, _NOISE)

    def found(level: int) -> AdderGraph:
        steps = _budget(level, columns.size, digits) if budget is None else budget
        random = np.array([(seed * 0x9E3779B97F4A7C15 + 0x2545F4914F6CDD1D) % (1 << 64) or 1], dtype=np.uint64)
        plan = Plan(starts, steps, _heat(level, sparse, len(columns)), noise, _PORTION)
        adders, ends = search(problem, plan, random)
        nodes = [AdderNode(a, b, up, other, bool(minus)) for a, b, up, other, minus in adders.tolist()]
        results, places = [], ends.tolist()
        for column in range(outputs):
            if place[column] < 0:
                results.append(AdderOutput(None, 0, False))
                continue
            source, up, positive = places[place[column]]
            results.append(AdderOutput(source, up + shift[column], positive * sign[column] < 0))
        return AdderGraph.build(input_ranges, nodes, results)

    # A long annealing may end above a short one: the most effort keeps the better of both.
    graph = found(effort)
    if effort == 3 and budget is None:
        graph = min(graph, found(2), key=lambda g: model.per_adder * g.adders + model.per_bit * g.full_adder_bits)
    if not np.array_equal(graph.coefficients(), wanted):
        raise AssertionError("the adder graph does not compute its matrix")
    return graph


def _checked_matrix(
    matrix: npt.ArrayLike, input_ranges: Sequence[tuple[int, int]], effort: int
) -> npt.NDArray[np.int64]:
    weights: IntArray = np.asarray(matrix)
    if weights.ndim != 2:
        raise ValueError(f"matrix has shape {weights.shape}, need [inputs, outputs]")
    if weights.dtype != object and weights.size and not np.issubdtype(weights.dtype, np.integer):
        raise ValueError(f"matrix has type {weights.dtype}, need integers")
    if len(input_ranges) != weights.shape[0]:
        raise ValueError(f"{len(input_ranges)} input ranges for {weights.shape[0]} inputs")
    for index, (low, high) in enumerate(input_ranges):
        if low > high:
            raise ValueError(f"input {index} has the empty range ({low}, {high})")
    if effort not in _HEAT:
        raise ValueError(f"effort is {effort}, need 0, 1, 2 or 3")
    largest = max((abs(int(v)) for v in (weights.min(), weights.max())), default=0) if weights.size else 0
    if (largest * max(weights.shape[0], 1)).bit_length() > _LIMIT_BITS - 16:
        raise ValueError(f"a coefficient has {largest.bit_length()} bits, too many for {weights.shape[0]} inputs")
    return weights.astype(np.int64)


def _checked_arrival(arrival: Sequence[int] | None, inputs: int) -> npt.NDArray[np.int64]:
    times = np.zeros(inputs, np.int64) if arrival is None else np.array([int(time) for time in arrival], np.int64)
    if len(times) != inputs:
        raise ValueError(f"{len(times)} arrival times for {inputs} inputs")
    if len(times) and not 0 <= times.min() <= times.max() <= _LATEST:
        raise ValueError(f"arrival times {times.min()}..{times.max()}, need 0..{_LATEST}")
    return times


def _distinct_columns(
    columns: npt.NDArray[np.int64],
) -> tuple[npt.NDArray[np.int64], list[int], list[int], list[int]]:
    """Columns that differ by more than a power of two and a sign; for each original its place, shift and sign."""
    count = len(columns)
    joint = np.bitwise_or.reduce(columns, axis=1) if columns.size else np.zeros(count, np.int64)
    shift = np.bitwise_count((joint & -joint) - 1).astype(np.int64) * (joint != 0)
    odd = columns >> shift[:, None]
    lead = odd[np.arange(count), (odd != 0).argmax(axis=1)] if columns.size else joint
    sign = np.where(lead < 0, -1, 1)
    known: dict[bytes, int] = {}
    kept: list[int] = []
    place: list[int] = []
    # The sign of the first of equal columns is the one that is built.
    for column, (built, alike) in enumerate(zip(joint.tolist(), odd * sign[:, None], strict=True)):
        mine = known.setdefault(alike.tobytes(), len(kept)) if built else -1
        if mine == len(kept):
            kept.append(column)
        place.append(mine)
    signs = [int(own * sign[kept[at]]) if at >= 0 else 1 for own, at in zip(sign, place, strict=True)]
    return odd[kept], place, shift.tolist(), signs


def _budget(effort: int, entries: int, digits: int) -> int:
    """Steps of work; at effort 1 cubic in the side of a square matrix, and less where there are few digits."""
    match effort:
        case 0:
            wanted = 0
        case 1:
            wanted = min(int(90 * entries**1.5), max(3 * digits**2, 128_000))
        case _:
            wanted = _PER_ENTRY[effort] * entries
    return min(wanted, _BUDGET[effort])


def _heat(effort: int, sparse: bool, outputs: int) -> float:
    if effort == 1 and sparse:
        return min(outputs / 32, _SPARSE_HEAT)
    return _HEAT[effort]


def _digit_weights(columns: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Non-zero digits of each entry in non-adjacent form."""
    size = np.abs(columns)
    return np.bitwise_count(size ^ 3 * size).astype(np.int64)


def _scaled_ranges(
    columns: npt.NDArray[np.int64], input_ranges: Sequence[tuple[int, int]]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Ranges for the search, halved until nothing in it can leave 64 bits; the graph's own ranges stay exact."""
    spread = int(np.abs(columns).sum(axis=1).max()).bit_length()
    peak = max(max(abs(low), abs(high)) for low, high in input_ranges).bit_length()
    excess = max(spread + peak + 4 - _LIMIT_BITS, 0)
    low = np.array([low >> excess for low, _ in input_ranges], dtype=np.int64)
    high = np.array([-(-high >> excess) for _, high in input_ranges], dtype=np.int64)
    return low, high
