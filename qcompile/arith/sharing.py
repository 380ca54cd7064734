"""Greedy removal of common two-term subexpressions, the most full-adder bits saved first.

Uses of a pattern only fall once they are counted, so a queue with stale upper bounds suffices, and the work is that of
the pairs of terms that come and go: n^3 for an n by n matrix.
"""

from __future__ import annotations

import numpy as np

from qcompile.arith.candidates import Scoring, admit, make_candidates, take_best
from qcompile.arith.compiled import compiled
from qcompile.arith.patterns import (
    Patterns,
    count_pairs,
    forget_pairs,
    key_distance,
    key_of,
    key_source,
    make_patterns,
    pair_range,
)
from qcompile.arith.rows import Ints, Rows
from qcompile.arith.terms import Terms, lay_out_terms, put_term, return_terms, take_term, term_at


@compiled
def share(rows: Rows, row_count: int, limit: Ints, scoring: Scoring, random: Ints, work: Ints) -> int:
    """Shares among rows 0..row_count-1, in place; returns the new number of rows.

    New two-term rows are appended; ``rows`` must have room for one per term. ``limit[r]`` bounds the adder depth
    of row r. ``work[0]`` counts steps.
    """
    terms, next_term = lay_out_terms(rows, row_count)
    _sum_krafts(rows, row_count)
    first_use = terms.first_use
    sources = rows.inputs + row_count
    patterns = make_patterns(first_use.shape[0])
    candidates = make_candidates(rows, sources, first_use, scoring)
    tally = np.zeros(1024, np.int64)
    met = np.empty(512, np.int64)
    s = 0
    while True:
        # The patterns of all sources, first the given ones, then each that is made.
        if first_use[s + 1] - first_use[s] > 1:
            tally, met, count = count_pairs(terms, s, tally, met, work)
            patterns, candidates = admit(patterns, candidates, s, tally, met, count, rows, scoring, random)
        s += 1
        if s < sources:
            continue
        while True:
            c = take_best(patterns, candidates, rows, scoring)
            if c < 0:
                return_terms(terms, rows, row_count)
                return s - rows.inputs
            younger = candidates.source[c]
            key = key_of(patterns.table[candidates.entry[c]])
            end = _replace(rows, terms, patterns, key, younger, limit, s, next_term, work)
            if end > next_term:
                break
        next_term = end
        _append_pair(rows, s - rows.inputs, key, younger)


@compiled
def _sum_krafts(rows: Rows, row_count: int) -> None:
    for r in range(row_count):
        rows.kraft[r] = 0
        for i in range(rows.start[r], rows.start[r] + rows.length[r]):
            rows.kraft[r] += 1 << rows.depth[rows.source[i]]


@compiled
def _replace(
    rows: Rows,
    terms: Terms,
    patterns: Patterns,
    key: int,
    younger: int,
    limit: Ints,
    made: int,
    next_term: int,
    work: Ints,
) -> int:
    """Puts terms of the new source ``made``, numbered from ``next_term``, in place of a pattern; returns their end."""
    older = key_source(key)
    distance = key_distance(key)
    differ = key & 1 != 0
    depth, kraft = rows.depth, rows.kraft
    new_depth = max(depth[older], depth[younger]) + 1
    deeper = (1 << new_depth) - (1 << depth[older]) - (1 << depth[younger])
    walk, other, step = older, younger, distance
    first_use, by_source, row, shift, sign, place = (
        terms.first_use,
        terms.by_source,
        terms.row,
        terms.shift,
        terms.sign,
        terms.place,
    )
    if first_use[younger + 1] - first_use[younger] < first_use[older + 1] - first_use[older]:
        walk, other, step = younger, older, -distance
    first_use[made] = next_term
    end = next_term
    for k in range(first_use[walk], first_use[walk + 1]):
        x = by_source[k]
        r = row[x]
        if place[x] < 0 or kraft[r] + deeper > 1 << limit[r]:
            continue
        y = term_at(by_source, row, shift, first_use[other], first_use[other + 1], r, shift[x] + step)
        if y < 0 or y == x or place[y] < 0 or (sign[x] != sign[y]) != differ:
            continue
        kraft[r] += deeper
        work[0] += 2 * rows.length[r]
        for gone in (x, y):
            code = terms.code[terms.row_start[r] + place[gone]]
            take_term(terms, rows, gone)
            forget_pairs(patterns, terms, r, rows.length[r], code)
        anchor = x if walk == older else y
        row[end] = r
        shift[end] = shift[anchor] + min(distance, 0)
        sign[end] = sign[anchor]
        end += 1
    for x in range(next_term, end):
        put_term(terms, rows, x, made)
        rows.bits[row[x]] = -1
    first_use[made + 1] = end
    return end


@compiled
def _append_pair(rows: Rows, row: int, key: int, younger: int) -> None:
    """Makes ``row`` the sum of the pattern's two terms."""
    older = key_source(key)
    distance = key_distance(key)
    up_a = max(-distance, 0)
    up_b = max(distance, 0)
    begin = rows.start[row]
    rows.length[row] = 2
    rows.source[begin] = older
    rows.shift[begin] = up_a
    rows.sign[begin] = 1
    rows.source[begin + 1] = younger
    rows.shift[begin + 1] = up_b
    rows.sign[begin + 1] = -1 if key & 1 else 1
    rows.start[row + 1] = begin + 2
    made = rows.inputs + row
    rows.low[made], rows.high[made] = pair_range(older, up_a, younger, up_b, key & 1 != 0, rows.low, rows.high)
    rows.depth[made] = max(rows.depth[older], rows.depth[younger]) + 1
    rows.bits[row] = -1
