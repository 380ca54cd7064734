"""Rebuilds rows from the outputs down: drops what is unused, merges what is used once, takes chosen rows apart."""

from __future__ import annotations

import numpy as np

from qcompile.arith.compiled import compiled, in_place
from qcompile.arith.rows import Ints, Outputs, Rows, add_term, empty_rows, uniform


@compiled
def _name_single_terms(rows: Rows, row_count: int) -> Outputs:
    """What every row is: a row of one term is its source, shifted and signed, and any other is itself."""
    names = Outputs(np.empty(row_count, np.int64), np.empty(row_count, np.int64), np.empty(row_count, np.int64))
    _fill_names(rows, row_count, names)
    return names


@in_place
def _fill_names(rows: Rows, row_count: int, names: Outputs) -> None:
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
        names.source[r] = at
        names.shift[r] = up
        names.sign[r] = positive


@in_place
def _order(
    rows: Rows,
    outputs: Outputs,
    alias: Ints,
    order: Ints,
    uses: Ints,
    kept: Ints,
    stack: Ints,
    place: Ints,
    seen: Ints,
) -> int:
    """Rows the outputs need, operands first, and how many terms use each; marks the rows of outputs as kept."""
    inputs = rows.inputs
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


@in_place
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


@in_place
def _add_spread(
    rows: Rows,
    r: int,
    apart: Ints,
    kept: Ints,
    number: Ints,
    names: Outputs,
    pending: Outputs,
    result: Rows,
    begin: int,
) -> int:
    """Adds the terms of row r to ``result`` from ``begin`` on, with those of the rows in it that go; returns the end.

    ``pending`` is scratch for as many terms as there will be. Terms keep their order, which sharing then need not sort.
    """
    inputs = rows.inputs
    end = begin
    size = 0
    row, up, positive = r, 0, 1
    while True:
        for i in range(rows.start[row] + rows.length[row] - 1, rows.start[row] - 1, -1):
            pending.source[size] = rows.source[i]
            pending.shift[size] = rows.shift[i] + up
            pending.sign[size] = rows.sign[i] * positive
            size += 1
        row = -1
        while size and row < 0:
            size -= 1
            s, up, positive = pending.source[size], pending.shift[size], pending.sign[size]
            if s >= inputs:
                q = s - inputs
                s, up, positive = names.source[q], up + names.shift[q], positive * names.sign[q]
            if s >= inputs:
                if apart[s - inputs] or not kept[s - inputs]:
                    row = s - inputs
                    continue
                s = inputs + number[s - inputs]
            end = add_term(result.source, result.shift, result.sign, begin, end, s, up, positive)
        if row < 0:
            return end


@compiled
def rebuild(
    rows: Rows, row_count: int, outputs: Outputs, apart: Ints, recode: float, random: Ints
) -> tuple[Rows, int, Outputs]:
    """Equal rows, in topological order, without unused, single-use and single-term rows.

    ``apart[r]`` puts the terms of row r in place of its uses. With probability ``recode`` a digit of a row that
    changes and its neighbour are written in the other form of equal weight (3 = 4 - 1 = 2 + 1).
    """
    names = _name_single_terms(rows, row_count)
    order = np.empty(row_count, np.int64)
    uses = np.zeros(row_count, np.int64)
    kept = np.zeros(row_count, np.int64)
    number = np.empty(row_count + 1, np.int64)
    spread = np.empty(row_count + 1, np.int64)
    ordered = _order(rows, outputs, names.source, order, uses, kept, number, spread, np.zeros(row_count, np.int64))
    room, widest = _spread_terms(rows, order, ordered, names, apart, uses, kept, spread)
    result = empty_rows(rows.inputs, ordered + room + 1, 3 * room + 4)
    pending = Outputs(np.empty(widest + 1, np.int64), np.empty(widest + 1, np.int64), np.empty(widest + 1, np.int64))
    made = _write(rows, order, ordered, names, apart, kept, number, pending, recode, random, result)
    columns = outputs.source.shape[0]
    ends = Outputs(np.empty(columns, np.int64), np.empty(columns, np.int64), np.empty(columns, np.int64))
    _rename(rows.inputs, outputs, names, number, ends)
    return result, made, ends


@in_place
def _spread_terms(
    rows: Rows, order: Ints, ordered: int, names: Outputs, apart: Ints, uses: Ints, kept: Ints, spread: Ints
) -> tuple[int, int]:
    """Fills ``spread``, the terms of every row once the chosen rows inside it are taken apart, and ``kept``.

    Returns how many terms the kept rows have together, and the most that a row has.
    """
    inputs = rows.inputs
    room = 0
    widest = 0
    for k in range(ordered):
        r = order[k]
        if uses[r] > 1 and not apart[r]:
            kept[r] = 1
        terms = rows.length[r]
        for i in range(rows.start[r], rows.start[r] + rows.length[r]):
            s = rows.source[i]
            if s >= inputs:
                s = names.source[s - inputs]
            if s >= inputs:
                q = s - inputs
                if apart[q] or not kept[q]:
                    terms += spread[q]
        spread[r] = terms
        if kept[r]:
            room += terms
        widest = max(widest, terms)
    return room, widest


@in_place
def _write(
    rows: Rows,
    order: Ints,
    ordered: int,
    names: Outputs,
    apart: Ints,
    kept: Ints,
    number: Ints,
    pending: Outputs,
    recode: float,
    random: Ints,
    result: Rows,
) -> int:
    """Writes the kept rows to ``result`` and returns how many there are; ``number`` is the new number of each."""
    inputs = rows.inputs
    for i in range(inputs):
        result.low[i] = rows.low[i]
        result.high[i] = rows.high[i]
        result.depth[i] = rows.depth[i]
    made = 0
    end = 0
    for k in range(ordered):
        r = order[k]
        if not kept[r]:
            continue
        begin = end
        changed = False
        for i in range(rows.start[r], rows.start[r] + rows.length[r]):
            q = rows.source[i] - inputs
            if q >= 0 and (names.source[q] != rows.source[i] or apart[q] or not kept[q]):
                changed = True
                end = _add_spread(rows, r, apart, kept, number, names, pending, result, begin)
                break
            result.source[end] = rows.source[i] if q < 0 else inputs + number[q]
            result.shift[end] = rows.shift[i]
            result.sign[end] = rows.sign[i]
            end += 1
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
    return made


@in_place
def _rename(inputs: int, outputs: Outputs, names: Outputs, number: Ints, ends: Outputs) -> None:
    for c in range(outputs.source.shape[0]):
        s = outputs.source[c]
        up = outputs.shift[c]
        positive = outputs.sign[c]
        if s >= inputs:
            q = s - inputs
            up += names.shift[q]
            positive *= names.sign[q]
            s = names.source[q]
            if s >= inputs:
                s = inputs + number[s - inputs]
        ends.source[c] = s
        ends.shift[c] = up
        ends.sign[c] = positive
