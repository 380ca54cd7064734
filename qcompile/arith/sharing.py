"""Greedy removal of common two-term subexpressions, the most full-adder bits saved first.

Uses of a pattern only fall once they are counted, so a queue with stale upper bounds suffices, and the work is that of
the pairs of terms that come and go: n^3 for an n by n matrix.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from qcompile.arith.candidates import Candidates, Scoring, admit, make_candidates, score_lists, take_best
from qcompile.arith.compiled import compiled, in_place
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


class Tables(NamedTuple):
    """What sharing looks up, kept from one run to the next: only what a run has entered is emptied."""

    patterns: Patterns
    candidates: Candidates
    tally: Ints
    met: Ints


@compiled
def make_tables(room: int, sources: int, lists: int) -> Tables:
    """Empty tables for up to so many sources and scores."""
    return Tables(
        make_patterns(6 * room, sources),
        make_candidates(room, lists),
        np.zeros(2 * room, np.int64),
        np.empty(room, np.int64),
    )


@compiled
def share(
    rows: Rows, row_count: int, limit: Ints, scoring: Scoring, tables: Tables, random: Ints, work: Ints
) -> tuple[int, Tables]:
    """Shares among rows 0..row_count-1, in place; returns the new number of rows, and larger tables if it took them.

    New two-term rows are appended; ``rows`` must have room for one per term. ``limit[r]`` bounds the adder depth
    of row r. ``work[0]`` counts steps.
    """
    terms, next_term = lay_out_terms(rows, row_count)
    sources = rows.inputs + row_count
    lists = score_lists(rows, sources, terms.first_use, scoring)
    room = terms.first_use.shape[0]
    if room > tables.patterns.start.shape[0] or lists > tables.candidates.first.shape[0]:
        tables = make_tables(tables.met.shape[0], 2 * room, 2 * lists)
    _clear(tables, room, lists)
    place = np.zeros(3, np.int64)
    place[1] = sources
    place[2] = next_term
    while not _share(rows, row_count, terms, limit, scoring, tables, random, work, place):
        tables = _doubled(tables)
    return_terms(terms, rows, row_count)
    return place[0] - rows.inputs, tables


@in_place
def _clear(tables: Tables, sources: int, lists: int) -> None:
    patterns, candidates = tables.patterns, tables.candidates
    for s in range(sources):
        patterns.start[s] = 0
        patterns.size[s] = 0
    for at in range(lists):
        candidates.first[at] = -1
    patterns.used[0] = 0
    candidates.state[0] = 0
    candidates.state[1] = 0
    candidates.state[2] = lists


@compiled
def _doubled(tables: Tables) -> Tables:
    """Twice the room for entries, with those that are there."""
    old, known = tables.patterns, tables.candidates
    larger = make_tables(2 * tables.met.shape[0], old.start.shape[0], known.first.shape[0])
    _copy_tables(old, known, larger.patterns, larger.candidates)
    return larger


@in_place
def _copy_tables(old: Patterns, known: Candidates, patterns: Patterns, candidates: Candidates) -> None:
    for at in range(old.used[0]):
        patterns.table[at] = old.table[at]
    for s in range(old.start.shape[0]):
        patterns.start[s] = old.start[s]
        patterns.size[s] = old.size[s]
    patterns.used[0] = old.used[0]
    for c in range(known.state[0]):
        candidates.entry[c] = known.entry[c]
        candidates.source[c] = known.source[c]
        candidates.luck[c] = known.luck[c]
        candidates.after[c] = known.after[c]
    for at in range(known.first.shape[0]):
        candidates.first[at] = known.first[at]
    for k in range(known.state.shape[0]):
        candidates.state[k] = known.state[k]


@in_place
def _share(
    rows: Rows,
    row_count: int,
    terms: Terms,
    limit: Ints,
    scoring: Scoring,
    tables: Tables,
    random: Ints,
    work: Ints,
    place: Ints,
) -> bool:
    """Shares from ``place`` on until nothing saves anything; False if a table is full.

    ``place`` is the source whose patterns are to be counted next, how many sources there are, and the next new term.
    """
    patterns, candidates, tally, met = tables.patterns, tables.candidates, tables.tally, tables.met
    s, sources, next_term = place[0], place[1], place[2]
    first_use = terms.first_use
    if s == 0:
        _sum_krafts(rows, row_count)
    while True:
        # The patterns of all sources, first the given ones, then each that is made.
        while s < sources:
            if first_use[s + 1] - first_use[s] > 1:
                before = work[0]
                count = count_pairs(terms, s, tally, met, work)
                if count < 0 or not admit(patterns, candidates, s, tally, met, count, rows, scoring, random):
                    work[0] = before
                    place[0], place[1], place[2] = s, sources, next_term
                    return False
            s += 1
        while True:
            c = take_best(patterns, candidates, rows, scoring)
            if c < 0:
                place[0] = s
                return True
            younger = candidates.source[c]
            key = key_of(patterns.table[candidates.entry[c]])
            end = _replace(rows, terms, patterns, key, younger, limit, s, next_term, work)
            if end > next_term:
                break
        next_term = end
        _append_pair(rows, s - rows.inputs, key, younger)
        sources += 1


@in_place
def _sum_krafts(rows: Rows, row_count: int) -> None:
    for r in range(row_count):
        rows.kraft[r] = 0
        for i in range(rows.start[r], rows.start[r] + rows.length[r]):
            rows.kraft[r] += 1 << rows.depth[rows.source[i]]


@in_place
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


@in_place
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
