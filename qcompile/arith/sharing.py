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
    """Two open-addressing hash tables, emptied by changing ``stamp``: all patterns, and those of the newest source."""

    key: Ints
    value: Ints
    mark: Ints
    new_key: Ints
    new_value: Ints
    new_mark: Ints
    touched: Ints
    stamp: Ints
    work: Ints


@compiled
def make_tables(size: int, work: Ints) -> Tables:
    """Tables of ``size`` patterns, a power of two; ``work[0]`` counts the steps done with them."""
    small = max(size >> 2, 1024)
    return Tables(
        np.zeros(size, np.int64),
        np.zeros(size, np.int64),
        np.zeros(size, np.int64),
        np.zeros(small, np.int64),
        np.zeros(small, np.int64),
        np.zeros(small, np.int64),
        np.zeros(small, np.int64),
        np.zeros(1, np.int64),
        work,
    )


@compiled
def _pattern(a: int, shift_a: int, sign_a: int, b: int, shift_b: int, sign_b: int) -> int:
    if a > b or (a == b and shift_a > shift_b):
        a, b = b, a
        shift_a, shift_b = shift_b, shift_a
    return ((a << 24 | b) << 9 | (shift_b - shift_a + 256)) << 1 | (1 if sign_a != sign_b else 0)


@compiled
def _find(keys: Ints, marks: Ints, stamp: int, key: int) -> int:
    """Slot of key, or ``-slot - 1`` of the free slot where it belongs."""
    mask = keys.shape[0] - 1
    slot: int = key * 0x9E3779B97F4A7C1
    slot = (slot ^ (slot >> 29)) & mask
    while marks[slot] == stamp:
        if keys[slot] == key:
            return slot
        slot = (slot + 1) & mask
    return -slot - 1


@compiled
def _weigh(key: int, low: Ints, high: Ints, bias: float) -> tuple[float, float]:
    """Bits saved per use of a pattern, bits its adder costs.

    Two terms become one: the widths that a row has left to add fall by the overlap of the two, and one adder goes.
    """
    a = key >> 34
    b = (key >> 10) & 0xFFFFFF
    distance = ((key >> 1) & 511) - 256
    up_a = -distance if distance < 0 else 0
    up_b = distance if distance > 0 else 0
    if key & 1:
        lo = (low[a] << up_a) - (high[b] << up_b)
        hi = (high[a] << up_a) - (low[b] << up_b)
    else:
        lo = (low[a] << up_a) + (low[b] << up_b)
        hi = (high[a] << up_a) + (high[b] << up_b)
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
def _doubled(values: Ints, used: int) -> Ints:
    larger = np.empty(2 * values.shape[0], values.dtype)
    for i in range(used):
        larger[i] = values[i]
    return larger


@compiled
def share(
    rows: Rows,
    row_count: int,
    active: Ints,
    limit: Ints,
    bias: float,
    noise: float,
    random: Ints,
    tables: Tables,
) -> int:
    """Shares among the active rows 0..row_count-1, in place; returns the new number of rows.

    New two-term rows are appended; ``rows`` must have room for one per term. ``limit[r]`` bounds the adder depth
    of row r. Scores are scaled by up to ``1 ± noise / 2`` to explore ties.
    """
    inputs = rows.inputs
    start, count = rows.start, rows.length
    source, shift, sign = rows.source, rows.shift, rows.sign
    low, high, depth = rows.low, rows.high, rows.depth
    terms = 0
    for r in range(row_count):
        if active[r]:
            terms += count[r]
    sources = inputs + row_count
    room = 2 * terms + 2
    # A term: source, shift, sign, row, position within its row (-1 once it is gone).
    t_source = np.empty(room, np.int64)
    t_shift = np.empty(room, np.int64)
    t_sign = np.empty(room, np.int64)
    t_row = np.empty(room, np.int64)
    t_place = np.empty(room, np.int64)
    by_row = np.empty(terms + 1, np.int64)
    row_start = np.empty(row_count + 1, np.int64)
    kraft = np.zeros(row_count, np.int64)
    by_source = np.empty(room, np.int64)
    first_use = np.zeros(sources + terms + 2, np.int64)
    k = 0
    for r in range(row_count):
        row_start[r] = k
        if not active[r]:
            continue
        begin = start[r]
        end = begin + count[r]
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
        for i in range(begin, end):
            t_source[k] = source[i]
            t_shift[k] = shift[i]
            t_sign[k] = sign[i]
            t_row[k] = r
            t_place[k] = i - begin
            by_row[k] = k
            first_use[source[i] + 1] += 1
            kraft[r] += 1 << depth[source[i]]
            k += 1
    for s in range(sources):
        first_use[s + 1] += first_use[s]
    fill = np.empty(sources + 1, np.int64)
    for s in range(sources + 1):
        fill[s] = first_use[s]
    for i in range(terms):
        s = t_source[i]
        by_source[fill[s]] = i
        fill[s] += 1

    tables.stamp[0] += 1
    stamp = tables.stamp[0]
    keys, values, marks = tables.key, tables.value, tables.mark
    new_keys, new_values, new_marks = tables.new_key, tables.new_value, tables.new_mark
    touched = tables.touched
    capacity = 256 + 4 * terms
    p_key = np.empty(capacity, np.int64)
    p_uses = np.empty(capacity, np.int64)
    patterns = 0
    for r in range(row_count):
        if not active[r]:
            continue
        tables.work[0] += count[r] * count[r] // 2
        for y in range(row_start[r], row_start[r] + count[r]):
            for x in range(row_start[r], y):
                key = _pattern(t_source[x], t_shift[x], t_sign[x], t_source[y], t_shift[y], t_sign[y])
                slot = _find(keys, marks, stamp, key)
                if slot >= 0:
                    p_uses[values[slot]] += 1
                    continue
                slot = -slot - 1
                keys[slot] = key
                marks[slot] = stamp
                values[slot] = patterns
                if patterns == capacity:
                    p_key = _doubled(p_key, patterns)
                    p_uses = _doubled(p_uses, patterns)
                    capacity *= 2
                p_key[patterns] = key
                p_uses[patterns] = 1
                patterns += 1
                if 2 * patterns > keys.shape[0]:
                    return TOO_SMALL
    p_gain = np.empty(capacity, np.float64)
    p_cost = np.empty(capacity, np.float64)
    p_luck = np.empty(capacity, np.float64)
    heap_room = 256 + terms
    heap_score = np.empty(heap_room, np.float64)
    heap_item = np.empty(heap_room, np.int64)
    heap = 0
    for p in range(patterns):
        if p_uses[p] < 2:
            continue
        gain, price = _weigh(p_key[p], low, high, bias)
        p_gain[p] = gain
        p_cost[p] = price
        p_luck[p] = 1.0 + noise * (uniform(random) - 0.5)
        score = (p_uses[p] * p_gain[p] - p_cost[p]) * p_luck[p]
        if score <= 0:
            continue
        if heap == heap_room:
            heap_score = _doubled(heap_score, heap)
            heap_item = _doubled(heap_item, heap)
            heap_room *= 2
        _push(heap_score, heap_item, heap, score, p)
        heap += 1

    next_term = terms
    rows_now = row_count
    use_row = np.empty(terms + 1, np.int64)
    use_shift = np.empty(terms + 1, np.int64)
    use_sign = np.empty(terms + 1, np.int64)
    while heap > 0:
        p = heap_item[0]
        score = (p_uses[p] * p_gain[p] - p_cost[p]) * p_luck[p]
        if p_uses[p] >= 2 and score > 0 and score < heap_score[0]:
            _sink(heap_score, heap_item, heap, score, p)
            continue
        heap -= 1
        _sink(heap_score, heap_item, heap, heap_score[heap], heap_item[heap])
        if p_uses[p] < 2 or score <= 0:
            continue
        key = p_key[p]
        a = key >> 34
        b = (key >> 10) & 0xFFFFFF
        distance = ((key >> 1) & 511) - 256
        subtract = key & 1
        new_depth = max(depth[a], depth[b]) + 1
        deeper = (1 << new_depth) - (1 << depth[a]) - (1 << depth[b])
        walk = a
        other = b
        step = distance
        if first_use[b + 1] - first_use[b] < first_use[a + 1] - first_use[a]:
            walk = b
            other = a
            step = -distance
        uses = 0
        for q in range(first_use[walk], first_use[walk + 1]):
            x = by_source[q]
            r = t_row[x]
            if t_place[x] < 0 or kraft[r] + deeper > 1 << limit[r]:
                continue
            wanted = t_shift[x] + step
            lower = first_use[other]
            upper = first_use[other + 1]
            while lower < upper:
                middle = (lower + upper) >> 1
                y = by_source[middle]
                if t_row[y] < r or (t_row[y] == r and t_shift[y] < wanted):
                    lower = middle + 1
                else:
                    upper = middle
            if lower >= first_use[other + 1]:
                continue
            y = by_source[lower]
            if t_row[y] != r or t_shift[y] != wanted or t_place[y] < 0 or y == x:
                continue
            if (t_sign[x] != t_sign[y]) != (subtract == 1):
                continue
            kraft[r] += deeper
            tables.work[0] += 3 * count[r]
            for turn in range(2):
                gone = x if turn == 0 else y
                last = row_start[r] + count[r] - 1
                moved = by_row[last]
                by_row[row_start[r] + t_place[gone]] = moved
                t_place[moved] = t_place[gone]
                t_place[gone] = -1
                count[r] -= 1
                for i in range(row_start[r], last):
                    v = by_row[i]
                    lost = _pattern(t_source[gone], t_shift[gone], t_sign[gone], t_source[v], t_shift[v], t_sign[v])
                    slot = _find(keys, marks, stamp, lost)
                    if slot >= 0:
                        p_uses[values[slot]] -= 1
            anchor = x if walk == a else y
            use_row[uses] = r
            use_shift[uses] = t_shift[anchor] if distance >= 0 else t_shift[anchor] + distance
            use_sign[uses] = t_sign[anchor]
            uses += 1
        if uses == 0:
            p_uses[p] = 0
            continue
        up_a = -distance if distance < 0 else 0
        up_b = distance if distance > 0 else 0
        made = inputs + rows_now
        at = start[rows_now - 1] + count[rows_now - 1] if rows_now > row_count else start[row_count]
        start[rows_now] = at
        count[rows_now] = 2
        source[at] = a
        shift[at] = up_a
        sign[at] = 1
        source[at + 1] = b
        shift[at + 1] = up_b
        sign[at + 1] = -1 if subtract else 1
        if a == b:
            factor = (1 << up_a) + (-1 if subtract else 1) * (1 << up_b)
            low[made] = min(low[a] * factor, high[a] * factor)
            high[made] = max(low[a] * factor, high[a] * factor)
        elif subtract:
            low[made] = (low[a] << up_a) - (high[b] << up_b)
            high[made] = (high[a] << up_a) - (low[b] << up_b)
        else:
            low[made] = (low[a] << up_a) + (low[b] << up_b)
            high[made] = (high[a] << up_a) + (high[b] << up_b)
        depth[made] = new_depth
        rows.bits[rows_now] = -1
        rows_now += 1

        tables.stamp[0] += 1
        new_stamp = tables.stamp[0]
        seen = 0
        first_use[made] = next_term
        for use in range(uses):
            r = use_row[use]
            x = next_term
            next_term += 1
            t_source[x] = made
            t_shift[x] = use_shift[use]
            t_sign[x] = use_sign[use]
            t_row[x] = r
            by_source[x] = x
            if uses > 1:
                for i in range(row_start[r], row_start[r] + count[r]):
                    v = by_row[i]
                    key = _pattern(made, t_shift[x], t_sign[x], t_source[v], t_shift[v], t_sign[v])
                    slot = _find(new_keys, new_marks, new_stamp, key)
                    if slot >= 0:
                        new_values[slot] += 1
                        continue
                    slot = -slot - 1
                    new_keys[slot] = key
                    new_marks[slot] = new_stamp
                    new_values[slot] = 1
                    touched[seen] = slot
                    seen += 1
                    if 2 * seen > new_keys.shape[0]:
                        return TOO_SMALL
            t_place[x] = count[r]
            by_row[row_start[r] + count[r]] = x
            count[r] += 1
            rows.bits[r] = -1
        first_use[made + 1] = next_term
        for i in range(seen):
            fresh = touched[i]
            if new_values[fresh] < 2:
                continue
            key = new_keys[fresh]
            slot = -_find(keys, marks, stamp, key) - 1
            keys[slot] = key
            marks[slot] = stamp
            values[slot] = patterns
            if patterns == capacity:
                p_key = _doubled(p_key, patterns)
                p_uses = _doubled(p_uses, patterns)
                p_gain = _doubled(p_gain, patterns)
                p_cost = _doubled(p_cost, patterns)
                p_luck = _doubled(p_luck, patterns)
                capacity *= 2
            p = patterns
            patterns += 1
            if 2 * patterns > keys.shape[0]:
                return TOO_SMALL
            p_key[p] = key
            p_uses[p] = new_values[fresh]
            gain, price = _weigh(key, low, high, bias)
            p_gain[p] = gain
            p_cost[p] = price
            p_luck[p] = 1.0 + noise * (uniform(random) - 0.5)
            score = (p_uses[p] * p_gain[p] - p_cost[p]) * p_luck[p]
            if score <= 0:
                continue
            if heap == heap_room:
                heap_score = _doubled(heap_score, heap)
                heap_item = _doubled(heap_item, heap)
                heap_room *= 2
            _push(heap_score, heap_item, heap, score, p)
            heap += 1
    for r in range(row_count):
        if not active[r]:
            continue
        for i in range(count[r]):
            x = by_row[row_start[r] + i]
            source[start[r] + i] = t_source[x]
            shift[start[r] + i] = t_shift[x]
            sign[start[r] + i] = t_sign[x]
    return rows_now
