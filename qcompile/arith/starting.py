"""The rows to start from: columns as signed digits, some of them written as another column plus a difference.

The idea of a spanning tree over column differences is that of Aksoy, Günes and Flores, Search algorithms for the
multiple constant multiplications problem, 2010, and of the da4ml paper (Sun et al., 2025), here with shifts and signs.
"""

from __future__ import annotations

import numpy as np

from qcompile.arith.compiled import compiled, in_place, ones
from qcompile.arith.rows import Ints, Outputs, Rows, empty_rows

SHIFTS = 4
"""Shifts 0..3 of a column are tried as the base of another."""


@in_place
def digit_weight(value: int) -> int:
    """Non-zero digits of the non-adjacent form (Reitwiesner, Binary Arithmetic, 1960)."""
    size = abs(value)
    return ones(size ^ 3 * size)


@in_place
def write_digits(value: int, dense: bool, shifts: Ints, signs: Ints) -> int:
    """Digits of value, lowest first, and their number: the non-adjacent form, or the ``dense`` one of equal weight.

    Dense turns +1, 0, -1 into +1, +1 from the top, which reaches fewer shifts and so finds more equal patterns.
    """
    size = 0
    at = 0
    while value:
        if value & 1:
            signs[size] = 2 - (value & 3)
            shifts[size] = at
            value -= signs[size]
            size += 1
        value >>= 1
        at += 1
    if dense:
        i = size - 1
        while i > 0:
            if shifts[i] == shifts[i - 1] + 2 and signs[i] != signs[i - 1]:
                signs[i - 1] = signs[i]
                shifts[i] -= 1
                i -= 1
            i -= 1
    return size


@compiled
def difference_tree(columns: Ints, penalty: int, levels: int, base: Ints, up: Ints, sign: Ints, work: Ints) -> None:
    """Chooses for column c the column ``base[c]`` (-1: none) such that the difference to it has few digits.

    ``columns`` is [outputs, inputs]. Prim's algorithm: the next column is the one cheapest to reach from zero or from
    a column already in the tree with fewer than ``levels`` ancestors; a base costs ``penalty`` digits.
    """
    outputs, inputs = columns.shape
    cost = np.zeros(outputs, np.int64)
    level = np.zeros(outputs, np.int64)
    done = np.zeros(outputs, np.int64)
    for c in range(outputs):
        base[c] = -1
        for i in range(inputs):
            cost[c] += digit_weight(columns[c, i])
    if levels == 0:
        return
    for _ in range(outputs):
        near = -1
        for c in range(outputs):
            if not done[c] and (near < 0 or cost[c] < cost[near]):
                near = c
        done[near] = 1
        if base[near] >= 0:
            level[near] = level[base[near]] + 1
        if level[near] >= levels:
            continue
        work[0] += outputs * inputs
        for c in range(outputs):
            if done[c]:
                continue
            for shift in range(SHIFTS):
                for positive in (1, -1):
                    weight = penalty
                    for i in range(inputs):
                        weight += digit_weight(columns[c, i] - positive * (columns[near, i] << shift))
                        if weight >= cost[c]:
                            break
                    if weight < cost[c]:
                        cost[c] = weight
                        base[c] = near
                        up[c] = shift
                        sign[c] = positive


@compiled
def starting_rows(
    columns: Ints,
    low: Ints,
    high: Ints,
    arrival: Ints,
    max_depth: int,
    start: Ints,
    work: Ints,
) -> tuple[Rows, Outputs]:
    """One row per column of ``columns`` [outputs, inputs], over a difference tree.

    ``start`` begins with the tree's penalty and levels, and whether digits are dense. ``low``, ``high`` and ``arrival``
    belong to the inputs: ranges, and the adder depth at which they come.
    """
    outputs, inputs = columns.shape
    base = np.empty(outputs, np.int64)
    up = np.zeros(outputs, np.int64)
    positive = np.zeros(outputs, np.int64)
    difference_tree(columns, start[0], start[1], base, up, positive, work)
    dense = start[2] != 0
    terms = 0
    for c in range(outputs):
        for i in range(inputs):
            value = columns[c, i]
            if base[c] >= 0:
                value -= positive[c] * (columns[base[c], i] << up[c])
            terms += digit_weight(value)
        terms += 1
    rows = empty_rows(inputs, outputs + terms, 3 * terms + 4)
    for i in range(inputs):
        rows.low[i] = low[i]
        rows.high[i] = high[i]
        rows.depth[i] = arrival[i]
    shifts = np.empty(66, np.int64)
    signs = np.empty(66, np.int64)
    height = np.zeros(outputs, np.int64)
    for c in range(outputs):
        above = base[c]
        steps = 1
        while above >= 0:
            height[above] = max(height[above], steps)
            above = base[above]
            steps += 1
    end = 0
    result = Outputs(np.empty(outputs, np.int64), np.zeros(outputs, np.int64), np.ones(outputs, np.int64))
    for c in range(outputs):
        rows.start[c] = end
        lowest = 0
        highest = 0
        for i in range(inputs):
            value = columns[c, i]
            lowest += value * low[i] if value > 0 else value * high[i]
            highest += value * high[i] if value > 0 else value * low[i]
            if base[c] >= 0:
                value -= positive[c] * (columns[base[c], i] << up[c])
            size = write_digits(value, dense, shifts, signs)
            for k in range(size):
                rows.source[end] = i
                rows.shift[end] = shifts[k]
                rows.sign[end] = signs[k]
                end += 1
        if base[c] >= 0:
            rows.source[end] = inputs + base[c]
            rows.shift[end] = up[c]
            rows.sign[end] = positive[c]
            end += 1
        rows.length[c] = end - rows.start[c]
        rows.bits[c] = -1
        rows.low[inputs + c] = lowest
        rows.high[inputs + c] = highest
        rows.depth[inputs + c] = max_depth - height[c]
        result.source[c] = inputs + c
    rows.start[outputs] = end
    return rows, result
