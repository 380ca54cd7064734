"""Greedy removal of common two-term subexpressions, the most full-adder bits saved first.

Every pattern (source a, source b, shift between them, relative sign) is counted once, when the younger of its sources
is made: afterwards the terms of a source only disappear, so counts only fall and a heap with stale upper bounds
suffices. That bounds the work by the number of terms times the terms per row, n^3 for an n by n matrix.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from qcompile.arith.compiled import compiled
from qcompile.arith.rows import Ints, Rows, span_width, uniform

TOO_SMALL = -1
"""Returned when a hash table is too small: the caller enlarges the tables and starts over."""


class Tables(NamedTuple):
    """Scratch of ``share``, kept between calls.

    ``known`` and ``fresh`` are hash tables of rows key, mark, uses: all patterns, and those of the newest source. A
    slot is empty unless its mark is the current ``stamp``. ``slots`` lists used slots; ``gain``, ``price`` and
    ``luck`` belong to slots of ``known``. ``term`` [terms, 5] is source, shift, sign, row and position within the
    row, -1 once it is gone. ``work[0]`` counts steps.
    """

    known: Ints
    fresh: Ints
    slots: Ints
    weight: Ints
    heap_score: Ints
    heap_item: Ints
    term: Ints
    by_row: Ints
    by_source: Ints
    first_use: Ints
    place: Ints
    stamp: Ints
    work: Ints


SOURCE, SHIFT, SIGN, ROW, PLACE = 0, 1, 2, 3, 4
KEY, MARK, USES = 0, 1, 2
GAIN, PRICE, LUCK = 0, 1, 2

TIE = 1e-9
"""Among equals the pattern met first wins: neighbours pair up, which structured matrices reward."""


@compiled
def make_tables(patterns: int, terms: int, work: Ints) -> Tables:
    """Tables for ``patterns`` patterns, a power of two, and rows of ``terms`` terms and half as many rows."""
    small = max(patterns >> 3, 1024)
    room = 2 * terms + 2
    return Tables(
        np.zeros((2 * patterns, 4), np.int64),
        np.zeros((2 * small, 4), np.int64),
        np.zeros(patterns, np.int64),
        np.zeros((2 * patterns, 4), np.float64),
        np.zeros(patterns, np.float64),
        np.zeros(patterns, np.int64),
        np.zeros((room, 5), np.int64),
        np.zeros(room, np.int64),
        np.zeros(room, np.int64),
        np.zeros(2 * room, np.int64),
        np.zeros(2 * room, np.int64),
        np.zeros(1, np.int64),
        work,
    )


@compiled
def _pattern(term: Ints, x: int, y: int) -> int:
    """The two terms as a number: source a (24 bits), b (24), shift from a to b + 256 (9), signs differ (1)."""
    a = term[x, SOURCE]
    b = term[y, SOURCE]
    distance = term[y, SHIFT] - term[x, SHIFT]
    if a > b or (a == b and distance < 0):
        a, b = b, a
        distance = -distance
    differ = 1 if term[x, SIGN] != term[y, SIGN] else 0
    key: int = ((a << 24 | b) << 9 | (distance + 256)) << 1 | differ
    return key


@compiled
def _sort_terms(source: Ints, shift: Ints, sign: Ints, begin: int, end: int) -> None:
    """Insertion sort by source, then shift: rows are short or nearly sorted."""
    for i in range(begin + 1, end):
        a, b, c = source[i], shift[i], sign[i]
        j = i - 1
        while j >= begin and (source[j] > a or (source[j] == a and shift[j] > b)):
            source[j + 1] = source[j]
            shift[j + 1] = shift[j]
            sign[j + 1] = sign[j]
            j -= 1
        source[j + 1] = a
        shift[j + 1] = b
        sign[j + 1] = c


@compiled
def _term_at(term: Ints, by_source: Ints, lower: int, end: int, row: int, shift: int) -> int:
    """The term in ``by_source[lower:end]`` with this row and shift, or -1."""
    upper = end
    while lower < upper:
        middle = (lower + upper) >> 1
        y = by_source[middle]
        if term[y, ROW] < row or (term[y, ROW] == row and term[y, SHIFT] < shift):
            lower = middle + 1
        else:
            upper = middle
    if lower == end:
        return -1
    y = by_source[lower]
    if term[y, ROW] != row or term[y, SHIFT] != shift or term[y, PLACE] < 0:
        return -1
    return int(y)


@compiled
def _pair_range(a: int, up_a: int, b: int, up_b: int, subtract: bool, low: Ints, high: Ints) -> tuple[int, int]:
    """Range of ``(a << up_a) ± (b << up_b)``, exact where the two have no input in common or are the same."""
    if a == b:
        factor = (1 << up_a) - (1 << up_b) if subtract else (1 << up_a) + (1 << up_b)
        return min(low[a] * factor, high[a] * factor), max(low[a] * factor, high[a] * factor)
    if subtract:
        return (low[a] << up_a) - (high[b] << up_b), (high[a] << up_a) - (low[b] << up_b)
    return (low[a] << up_a) + (low[b] << up_b), (high[a] << up_a) + (high[b] << up_b)


@compiled
def _find(table: Ints, stamp: int, key: int) -> int:
    """Slot of key, or ``-slot - 1`` of the free slot where it belongs."""
    mask = table.shape[0] - 1
    slot: int = key * 0x9E3779B97F4A7C1
    slot = (slot ^ (slot >> 29)) & mask
    while table[slot, MARK] == stamp:
        if table[slot, KEY] == key:
            return slot
        slot = (slot + 1) & mask
    return -slot - 1


@compiled
def _enter(table: Ints, free: int, stamp: int, key: int, uses: int) -> int:
    """Puts a key at ``free``, as ``_find`` returned it."""
    slot = -free - 1
    table[slot, KEY] = key
    table[slot, MARK] = stamp
    table[slot, USES] = uses
    return slot


@compiled
def _weigh(key: int, low: Ints, high: Ints, bias: float) -> tuple[float, float]:
    """Bits saved per use of a pattern, bits its adder costs.

    Two terms become one: the widths that a row has left to add fall by the overlap of the two, and one adder goes.
    """
    a = key >> 34
    b = (key >> 10) & 0xFFFFFF
    distance = ((key >> 1) & 511) - 256
    lo, hi = _pair_range(a, max(-distance, 0), b, max(distance, 0), key & 1 != 0, low, high)
    width = span_width(lo, hi)
    gain = span_width(low[a], high[a]) + span_width(low[b], high[b]) - width + bias
    return gain, width - abs(distance)


@compiled
def _push(scores: Ints, items: Ints, size: int, score: float, item: int) -> None:
    i = size
    while i > 0:
        parent = (i - 1) >> 1
        if scores[parent] >= score:
            break
        scores[i] = scores[parent]
        items[i] = items[parent]
        i = parent
    scores[i] = score
    items[i] = item


@compiled
def _sink(scores: Ints, items: Ints, size: int, score: float, item: int) -> None:
    """Replaces the top of the heap."""
    i = 0
    while True:
        child = 2 * i + 1
        if child >= size:
            break
        if child + 1 < size and scores[child + 1] > scores[child]:
            child += 1
        if scores[child] <= score:
            break
        scores[i] = scores[child]
        items[i] = items[child]
        i = child
    scores[i] = score
    items[i] = item


@compiled
def share(
    rows: Rows,
    row_count: int,
    limit: Ints,
    bias: float,
    noise: float,
    random: Ints,
    tables: Tables,
) -> int:
    """Shares among rows 0..row_count-1, in place; returns the new number of rows.

    New two-term rows are appended; ``rows`` must have room for one per term. ``limit[r]`` bounds the adder depth
    of row r. Scores are scaled by up to ``1 ± noise / 2`` to explore ties.
    """
    inputs = rows.inputs
    start, length = rows.start, rows.length
    source, shift, sign = rows.source, rows.shift, rows.sign
    low, high, depth = rows.low, rows.high, rows.depth
    kraft = rows.kraft
    term, by_row, by_source, first_use = tables.term, tables.by_row, tables.by_source, tables.first_use
    row_start = tables.place
    terms = 0
    for r in range(row_count):
        terms += length[r]
    sources = inputs + row_count
    if 2 * terms + 2 > term.shape[0] or sources + terms + 2 > first_use.shape[0]:
        return TOO_SMALL
    for s in range(sources + 1):
        first_use[s] = 0
    k = 0
    for r in range(row_count):
        row_start[r] = k
        kraft[r] = 0
        begin = start[r]
        end = begin + length[r]
        _sort_terms(source, shift, sign, begin, end)
        for i in range(begin, end):
            term[k, SOURCE] = source[i]
            term[k, SHIFT] = shift[i]
            term[k, SIGN] = sign[i]
            term[k, ROW] = r
            term[k, PLACE] = i - begin
            by_row[k] = k
            first_use[source[i] + 1] += 1
            kraft[r] += 1 << depth[source[i]]
            k += 1
    # by_source lists terms by source, then row, then shift; first_use[s] is where source s begins.
    for s in range(sources):
        first_use[s + 1] += first_use[s]
    for i in range(terms):
        s = term[i, SOURCE]
        by_source[first_use[s]] = i
        first_use[s] += 1
    for s in range(sources, 0, -1):
        first_use[s] = first_use[s - 1]
    first_use[0] = 0

    tables.stamp[0] += 1
    stamp = tables.stamp[0]
    known, fresh, slots, weight = tables.known, tables.fresh, tables.slots, tables.weight
    heap_score, heap_item = tables.heap_score, tables.heap_item
    room = slots.shape[0]
    patterns = 0
    for r in range(row_count):
        tables.work[0] += length[r] * length[r] // 2
        for y in range(row_start[r], row_start[r] + length[r]):
            for x in range(row_start[r], y):
                key = _pattern(term, x, y)
                slot = _find(known, stamp, key)
                if slot >= 0:
                    known[slot, USES] += 1
                    continue
                if patterns == room:
                    return TOO_SMALL
                slots[patterns] = _enter(known, slot, stamp, key, 1)
                patterns += 1
    heap = 0
    for p in range(patterns):
        slot = slots[p]
        if known[slot, USES] < 2:
            continue
        weight[slot, GAIN], weight[slot, PRICE] = _weigh(known[slot, KEY], low, high, bias)
        weight[slot, LUCK] = 1.0 + noise * (uniform(random) - 0.5) - TIE * p
        score = (known[slot, USES] * weight[slot, GAIN] - weight[slot, PRICE]) * weight[slot, LUCK]
        if score > 0:
            _push(heap_score, heap_item, heap, score, slot)
            heap += 1

    next_term = terms
    rows_now = row_count
    next_place = start[row_count]
    while heap > 0:
        p = heap_item[0]
        uses = known[p, USES]
        score = (uses * weight[p, GAIN] - weight[p, PRICE]) * weight[p, LUCK]
        if uses >= 2 and score > 0 and score < heap_score[0]:
            _sink(heap_score, heap_item, heap, score, p)
            continue
        heap -= 1
        _sink(heap_score, heap_item, heap, heap_score[heap], heap_item[heap])
        if uses < 2 or score <= 0:
            continue
        key = known[p, KEY]
        a = key >> 34
        b = (key >> 10) & 0xFFFFFF
        distance = ((key >> 1) & 511) - 256
        subtract = key & 1
        made = inputs + rows_now
        new_depth = max(depth[a], depth[b]) + 1
        deeper = (1 << new_depth) - (1 << depth[a]) - (1 << depth[b])
        walk = a
        other = b
        step = distance
        if first_use[b + 1] - first_use[b] < first_use[a + 1] - first_use[a]:
            walk = b
            other = a
            step = -distance
        first_use[made] = next_term
        for q in range(first_use[walk], first_use[walk + 1]):
            x = by_source[q]
            r = term[x, ROW]
            if term[x, PLACE] < 0 or kraft[r] + deeper > 1 << limit[r]:
                continue
            y = _term_at(term, by_source, first_use[other], first_use[other + 1], r, term[x, SHIFT] + step)
            if y < 0 or y == x or (term[x, SIGN] != term[y, SIGN]) != (subtract == 1):
                continue
            kraft[r] += deeper
            tables.work[0] += 3 * length[r]
            for turn in range(2):
                gone = x if turn == 0 else y
                last = row_start[r] + length[r] - 1
                moved = by_row[last]
                by_row[row_start[r] + term[gone, PLACE]] = moved
                term[moved, PLACE] = term[gone, PLACE]
                term[gone, PLACE] = -1
                length[r] -= 1
                for i in range(row_start[r], last):
                    slot = _find(known, stamp, _pattern(term, gone, by_row[i]))
                    if slot >= 0:
                        known[slot, USES] -= 1
            anchor = x if walk == a else y
            term[next_term, SOURCE] = made
            term[next_term, SHIFT] = term[anchor, SHIFT] + min(distance, 0)
            term[next_term, SIGN] = term[anchor, SIGN]
            term[next_term, ROW] = r
            next_term += 1
        found = next_term - first_use[made]
        if found == 0:
            known[p, USES] = 0
            continue
        first_use[made + 1] = next_term
        up_a = max(-distance, 0)
        up_b = max(distance, 0)
        start[rows_now] = next_place
        length[rows_now] = 2
        source[next_place] = a
        shift[next_place] = up_a
        sign[next_place] = 1
        source[next_place + 1] = b
        shift[next_place + 1] = up_b
        sign[next_place + 1] = -1 if subtract else 1
        next_place += 2
        low[made], high[made] = _pair_range(a, up_a, b, up_b, subtract != 0, low, high)
        depth[made] = new_depth
        rows.bits[rows_now] = -1
        rows_now += 1

        tables.stamp[0] += 1
        new_stamp = tables.stamp[0]
        seen = 0
        for x in range(first_use[made], next_term):
            r = term[x, ROW]
            by_source[x] = x
            tables.work[0] += length[r]
            if found > 1:
                for i in range(row_start[r], row_start[r] + length[r]):
                    key = _pattern(term, x, by_row[i])
                    slot = _find(fresh, new_stamp, key)
                    if slot >= 0:
                        fresh[slot, USES] += 1
                        continue
                    if 2 * seen == fresh.shape[0] or seen == room:
                        return TOO_SMALL
                    slots[seen] = _enter(fresh, slot, new_stamp, key, 1)
                    seen += 1
            term[x, PLACE] = length[r]
            by_row[row_start[r] + length[r]] = x
            length[r] += 1
            rows.bits[r] = -1
        for i in range(seen):
            uses = fresh[slots[i], USES]
            if uses < 2:
                continue
            if patterns == room:
                return TOO_SMALL
            patterns += 1
            key = fresh[slots[i], KEY]
            slot = _enter(known, _find(known, stamp, key), stamp, key, uses)
            weight[slot, GAIN], weight[slot, PRICE] = _weigh(key, low, high, bias)
            weight[slot, LUCK] = 1.0 + noise * (uniform(random) - 0.5) - TIE * patterns
            score = (uses * weight[slot, GAIN] - weight[slot, PRICE]) * weight[slot, LUCK]
            if score > 0:
                _push(heap_score, heap_item, heap, score, slot)
                heap += 1
    for r in range(row_count):
        for i in range(length[r]):
            x = by_row[row_start[r] + i]
            source[start[r] + i] = term[x, SOURCE]
            shift[start[r] + i] = term[x, SHIFT]
            sign[start[r] + i] = term[x, SIGN]
    return rows_now
