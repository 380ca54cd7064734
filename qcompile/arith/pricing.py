"""What a set of rows costs, and the adders it becomes."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from qcompile.arith.compiled import compiled, in_place
from qcompile.arith.joining import join_terms
from qcompile.arith.rows import Ints, Outputs, Rows, span_width


class Desk(NamedTuple):
    """Room to join the terms of one row."""

    low: Ints
    high: Ints
    shift: Ints
    sign: Ints
    depth: Ints
    merges: Ints


@compiled
def _make_desk(widest: int) -> Desk:
    return Desk(
        np.empty(widest, np.int64),
        np.empty(widest, np.int64),
        np.empty(widest, np.int64),
        np.empty(widest, np.int64),
        np.empty(widest, np.int64),
        np.empty((widest, 9), np.int64),
    )


@compiled
def depth_limits(rows: Rows, row_count: int, max_depth: int) -> Ints:
    """Depth each row may have: max_depth, or what it has now if other rows use it."""
    limit = np.full(row_count, max_depth, np.int64)
    _limit_used(rows, row_count, limit)
    return limit


@in_place
def _limit_used(rows: Rows, row_count: int, limit: Ints) -> None:
    for r in range(row_count):
        for i in range(rows.start[r], rows.start[r] + rows.length[r]):
            s = rows.source[i]
            if s >= rows.inputs:
                limit[s - rows.inputs] = rows.depth[s]


@compiled
def wanted_signs(rows: Rows, row_count: int, outputs: Outputs) -> Ints:
    """Sign with which the first output of each row takes it, 0 for rows without an output."""
    wanted = np.zeros(row_count, np.int64)
    _take_signs(rows, outputs, wanted)
    return wanted


@in_place
def _take_signs(rows: Rows, outputs: Outputs, wanted: Ints) -> None:
    for c in range(outputs.source.shape[0]):
        s = outputs.source[c]
        if s >= rows.inputs and wanted[s - rows.inputs] == 0:
            wanted[s - rows.inputs] = outputs.sign[c]


@in_place
def _load(rows: Rows, r: int, wanted: int, low: Ints, high: Ints, shift: Ints, sign: Ints, depth: Ints) -> None:
    flip = -1 if wanted < 0 else 1
    for i in range(rows.length[r]):
        at = rows.start[r] + i
        s = rows.source[at]
        low[i] = rows.low[s]
        high[i] = rows.high[s]
        shift[i] = rows.shift[at]
        sign[i] = rows.sign[at] * flip
        depth[i] = rows.depth[s]


@in_place
def _widest(rows: Rows, row_count: int) -> int:
    widest = 2
    for r in range(row_count):
        widest = max(widest, rows.length[r])
    return widest


@compiled
def cost_rows(
    rows: Rows, row_count: int, outputs: Outputs, max_depth: int, per_adder: float, per_bit: float, work: Ints
) -> float:
    """Cost of all adders; fills ``depth`` and ``bits`` of every row whose bits are not known."""
    limit = depth_limits(rows, row_count, max_depth)
    wanted = wanted_signs(rows, row_count, outputs)
    return _sum_costs(rows, row_count, limit, wanted, _make_desk(_widest(rows, row_count)), per_adder, per_bit, work)


@in_place
def _sum_costs(
    rows: Rows, row_count: int, limit: Ints, wanted: Ints, desk: Desk, per_adder: float, per_bit: float, work: Ints
) -> float:
    low, high, shift, sign, depth, merges = desk.low, desk.high, desk.shift, desk.sign, desk.depth, desk.merges
    inputs = rows.inputs
    total = 0.0
    for r in range(row_count):
        k = rows.length[r]
        if k < 2:
            continue
        if rows.bits[r] < 0:
            work[0] += k * k
            _load(rows, r, wanted[r], low, high, shift, sign, depth)
            bits = join_terms(k, low, high, shift, sign, depth, limit[r], merges, wanted[r] != 0)
            last = merges[k - 2, 5]
            rows.depth[inputs + r] = depth[last]
            if wanted[r] != 0 and sign[last] < 0:
                bits += span_width(rows.low[inputs + r], rows.high[inputs + r])
            rows.bits[r] = bits
        total += (k - 1) * per_adder + rows.bits[r] * per_bit
    return total


@compiled
def emit_adders(rows: Rows, row_count: int, outputs: Outputs, max_depth: int, ends: Ints) -> Ints:
    """Adders [n, 5]: left, right, left shift, right shift, subtract. ``ends`` [outputs, 3]: source, shift, sign."""
    inputs = rows.inputs
    limit = depth_limits(rows, row_count, max_depth)
    wanted = wanted_signs(rows, row_count, outputs)
    desk = _make_desk(_widest(rows, row_count))
    low, high, shift, sign, depth, merges = desk.low, desk.high, desk.shift, desk.sign, desk.depth, desk.merges
    slot = np.empty(low.shape[0], np.int64)
    total = 0
    for r in range(row_count):
        total += max(rows.length[r] - 1, 0)
    adders = np.zeros((total, 5), np.int64)
    # Where each row ended up: adder (or input), shift and sign.
    at = np.zeros(row_count, np.int64)
    up = np.zeros(row_count, np.int64)
    positive = np.zeros(row_count, np.int64)
    made = 0
    for r in range(row_count):
        k = rows.length[r]
        _load(rows, r, wanted[r], low, high, shift, sign, depth)
        for i in range(k):
            s = rows.source[rows.start[r] + i]
            slot[i] = s
            if s >= inputs:
                slot[i] = at[s - inputs]
                shift[i] += up[s - inputs]
                sign[i] *= positive[s - inputs]
                low[i] >>= up[s - inputs]
                high[i] >>= up[s - inputs]
                if positive[s - inputs] < 0:
                    low[i], high[i] = -high[i], -low[i]
        last = 0
        if k > 1:
            join_terms(k, low, high, shift, sign, depth, limit[r], merges, wanted[r] != 0)
            for m in range(k - 1):
                adders[made, 0] = slot[merges[m, 0]]
                adders[made, 1] = slot[merges[m, 1]]
                adders[made, 2] = merges[m, 2]
                adders[made, 3] = merges[m, 3]
                adders[made, 4] = merges[m, 4]
                slot[merges[m, 5]] = inputs + made
                made += 1
            last = merges[k - 2, 5]
            rows.depth[inputs + r] = depth[last]
        at[r] = slot[last]
        up[r] = shift[last]
        positive[r] = sign[last] * (-1 if wanted[r] < 0 else 1)
    for c in range(outputs.source.shape[0]):
        s = outputs.source[c]
        ends[c, 0] = s
        ends[c, 1] = outputs.shift[c]
        ends[c, 2] = outputs.sign[c]
        if s >= inputs:
            ends[c, 0] = at[s - inputs]
            ends[c, 1] += up[s - inputs]
            ends[c, 2] *= positive[s - inputs]
    return adders
