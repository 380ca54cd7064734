"""Rebuilds rows from the outputs down: drops what is unused, merges what is used once, takes chosen rows apart."""

from __future__ import annotations

import numpy as np

from qcompile.arith.compiled import compiled
from qcompile.arith.rows import Ints, Outputs, Rows, add_term, empty_rows, uniform


@compiled
def _name_single_terms(rows: Rows, row_count: int, alias: Ints, alias_shift: Ints, alias_sign: Ints) -> None:
    """A row of one term is another name of its source: ``alias[r]``, shifted and signed."""
    inputs = rows.inputs
    for r in range(row_count):
        at = inputs + r
        up = 0
        positive = 1
        while at >= inputs and rows.length[at - inputs] == 1:
            i = rows.start[at - inputs]
            at = rows.source[i]
            up += rows.shift[i]
            positive *= rows.sign[i]
        alias[r] = at
        alias_shift[r] = up
        alias_sign[r] = positive


@compiled
def _order(rows: Rows, outputs: Outputs, alias: Ints, order: Ints, uses: Ints, kept: Ints) -> int:
    """Rows the outputs need, operands first, and how many terms use each; marks the rows of outputs as kept."""
    inputs = rows.inputs
    room = order.shape[0] + 1
    stack = np.empty(room, np.int64)
    place = np.empty(room, np.int64)
    seen = np.zeros(room, np.int64)
    ordered = 0
    for c in range(outputs.source.shape[0]):
        s = outputs.source[c]
        if s >= inputs:
            s = alias[s - inputs]
        if s < inputs:
            continue
        kept[s - inputs] = 1
        if seen[s - inputs]:
            continue
        seen[s - inputs] = 1
        stack[0] = s - inputs
        place[0] = 0
        size = 1
        while size:
            r = stack[size - 1]
            if place[size - 1] == rows.length[r]:
                order[ordered] = r
                ordered += 1
                size -= 1
                continue
            s = rows.source[rows.start[r] + place[size - 1]]
            place[size - 1] += 1
            if s >= inputs:
                s = alias[s - inputs]
            if s < inputs:
                continue
            uses[s - inputs] += 1
            if seen[s - inputs]:
                continue
            seen[s - inputs] = 1
            stack[size] = s - inputs
            place[size] = 0
            size += 1
    return ordered


@compiled
def _recode(source: Ints, shift: Ints, sign: Ints, begin: int, end: int, chance: float, random: Ints) -> None:
    """Rewrites -1, 0, +1 (from shift s up to s+2) as +1, +1 and back, where nothing is in the way."""
    for i in range(begin, end):
        if uniform(random) >= chance:
            continue
        one = -1
        two = -1
        for j in range(begin, end):
            if source[j] == source[i]:
                if shift[j] == shift[i] + 1:
                    one = j
                elif shift[j] == shift[i] + 2:
                    two = j
        if one < 0 and two >= 0 and sign[two] != sign[i]:
            sign[i] = sign[two]
            shift[two] -= 1
        elif one >= 0 and two < 0 and sign[one] == sign[i]:
            sign[i] = -sign[i]
            shift[one] += 1


@compiled
def rebuild(
    rows: Rows, row_count: int, outputs: Outputs, apart: Ints, recode: float, random: Ints
) -> tuple[Rows, int, Outputs]:
    """Equal rows, in topological order, without unused, single-use and single-term rows.

    ``apart[r]`` puts the terms of row r in place of its uses. With probability ``recode`` a digit of a row that
    changes and its neighbour are written in the other form of equal weight (3 = 4 - 1 = 2 + 1).
    """
    inputs = rows.inputs
    alias = np.empty(row_count, np.int64)
    alias_shift = np.empty(row_count, np.int64)
    alias_sign = np.empty(row_count, np.int64)
    _name_single_terms(rows, row_count, alias, alias_shift, alias_sign)
    order = np.empty(row_count, np.int64)
    uses = np.zeros(row_count, np.int64)
    kept = np.zeros(row_count, np.int64)
    ordered = _order(rows, outputs, alias, order, uses, kept)
    # Terms of every row once the chosen rows inside it are taken apart.
    spread = np.zeros(row_count, np.int64)
    room = 0
    widest = 0
    for k in range(ordered):
        r = order[k]
        if uses[r] > 1 and not apart[r]:
            kept[r] = 1
        for i in range(rows.start[r], rows.start[r] + rows.length[r]):
            s = rows.source[i]
            if s >= inputs:
                s = alias[s - inputs]
            spread[r] += 1
            if s >= inputs:
                q = s - inputs
                if apart[q] or not kept[q]:
                    spread[r] += spread[q]
        if kept[r]:
            room += spread[r]
        widest = max(widest, spread[r])
    result = empty_rows(inputs, ordered + room + 1, 3 * room + 4)
    for i in range(inputs):
        result.low[i] = rows.low[i]
        result.high[i] = rows.high[i]
        result.depth[i] = rows.depth[i]
    number = np.empty(row_count, np.int64)
    pending = np.empty(widest + 1, np.int64)
    pending_shift = np.empty(widest + 1, np.int64)
    pending_sign = np.empty(widest + 1, np.int64)
    made = 0
    end = 0
    for k in range(ordered):
        r = order[k]
        if not kept[r]:
            continue
        begin = end
        changed = False
        size = 0
        for i in range(rows.start[r], rows.start[r] + rows.length[r]):
            pending[size] = rows.source[i]
            pending_shift[size] = rows.shift[i]
            pending_sign[size] = rows.sign[i]
            size += 1
        while size:
            size -= 1
            s = pending[size]
            up = pending_shift[size]
            positive = pending_sign[size]
            if s >= inputs:
                q = s - inputs
                if alias[q] != s:
                    up += alias_shift[q]
                    positive *= alias_sign[q]
                    s = alias[q]
                    changed = True
            if s >= inputs:
                q = s - inputs
                if apart[q] or not kept[q]:
                    changed = True
                    for i in range(rows.start[q], rows.start[q] + rows.length[q]):
                        pending[size] = rows.source[i]
                        pending_shift[size] = rows.shift[i] + up
                        pending_sign[size] = rows.sign[i] * positive
                        size += 1
                    continue
                s = inputs + number[q]
            end = add_term(result.source, result.shift, result.sign, begin, end, s, up, positive)
        if changed and recode > 0:
            _recode(result.source, result.shift, result.sign, begin, end, recode, random)
        result.start[made] = begin
        result.length[made] = end - begin
        result.low[inputs + made] = rows.low[inputs + r]
        result.high[inputs + made] = rows.high[inputs + r]
        result.depth[inputs + made] = rows.depth[inputs + r]
        result.bits[made] = -1 if changed else rows.bits[r]
        number[r] = made
        made += 1
    result.start[made] = end
    columns = outputs.source.shape[0]
    out = Outputs(np.empty(columns, np.int64), np.empty(columns, np.int64), np.empty(columns, np.int64))
    for c in range(columns):
        s = outputs.source[c]
        up = outputs.shift[c]
        positive = outputs.sign[c]
        if s >= inputs:
            q = s - inputs
            up += alias_shift[q]
            positive *= alias_sign[q]
            s = alias[q]
            if s >= inputs:
                s = inputs + number[s - inputs]
        out.source[c] = s
        out.shift[c] = up
        out.sign[c] = positive
    return result, made, out
