"""Patterns: pairs of terms that occur in several rows, alike but for a common shift and sign, and how often they do.

A pattern belongs to the younger of its two sources and is counted once, when that source is made: afterwards the
terms of a source only disappear, so counts only fall. The patterns of one source lie together, in a hash table of
their own, because they are looked up together.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from qcompile.arith.compiled import compiled, in_place
from qcompile.arith.rows import Ints, span_width
from qcompile.arith.terms import Terms

_USES_BITS = 28
_USES = (1 << _USES_BITS) - 1


class Patterns(NamedTuple):
    """Hash tables ``table[start[s] : start[s] + size[s]]`` of the patterns whose younger source is s.

    An entry is ``key << 28 | uses``, see ``pattern_key``, or 0. ``used[0]`` is how much of ``table`` is taken.
    """

    table: Ints
    start: Ints
    size: Ints
    used: Ints


@compiled
def make_patterns(room: int, sources: int) -> Patterns:
    """No patterns yet; room for so many entries of so many sources."""
    return Patterns(
        np.empty(room, np.int64), np.zeros(sources, np.int64), np.zeros(sources, np.int64), np.zeros(1, np.int64)
    )


@in_place
def pattern_key(older: int, younger: int) -> int:
    """Older source (23 bits), shift from it to the younger + 256 (9), signs differ (1), for two term codes."""
    key: int = (older & ~1023) | ((((younger & 1022) - (older & 1022)) + 512) & 1022) | ((older ^ younger) & 1)
    return key


@in_place
def key_of(entry: int) -> int:
    """The key of an entry."""
    return entry >> _USES_BITS


@in_place
def uses_of(entry: int) -> int:
    """The uses of an entry."""
    return entry & _USES


@in_place
def key_source(key: int) -> int:
    """The older source."""
    return key >> 10


@in_place
def key_distance(key: int) -> int:
    """Shift of the younger source relative to the older."""
    return (key >> 1 & 511) - 256


@in_place
def find_pattern(table: Ints, start: int, size: int, key: int) -> int:
    """Place of the pattern in ``table[start : start + size]``, or of the free entry where it belongs."""
    at: int = start + (((key * 0x9E3779B1 & 0xFFFFFFFF) * size) >> 32)
    while table[at] != 0 and table[at] >> _USES_BITS != key:
        at += 1
        if at == start + size:
            at = start
    return at


@in_place
def forget_pairs(patterns: Patterns, terms: Terms, row: int, length: int, gone: int) -> None:
    """One use less of every pattern that the term with code ``gone`` has with the terms of a row."""
    table, start, size, code = patterns.table, patterns.start, patterns.size, terms.code
    for i in range(terms.row_start[row], terms.row_start[row] + length):
        older = min(code[i], gone)
        younger = max(code[i], gone)
        s = younger >> 10
        if size[s] == 0:
            continue
        at = find_pattern(table, start[s], size[s], pattern_key(older, younger))
        if table[at] & _USES:
            table[at] -= 1


@in_place
def count_pairs(terms: Terms, source: int, tally: Ints, met: Ints, work: Ints) -> int:
    """Counts the patterns of ``source``'s terms with those before them in their rows and returns how many there are.

    ``tally`` is an empty hash table twice as long as ``met``, which lists its entries. No more of it is used than so
    many pairs need, which then stay in the cache; -1 if there are too many. ``work[0]`` counts pairs.
    """
    place, code, begin, end = terms.place, terms.code, terms.first_use[source], terms.first_use[source + 1]
    pairs = 0
    for k in range(begin, end):
        pairs += place[terms.by_source[k]]
    if pairs > met.shape[0]:
        return -1
    count = 0
    for k in range(begin, end):
        x = terms.by_source[k]
        first = terms.row_start[terms.row[x]]
        young = code[first + place[x]]
        for i in range(first, first + place[x]):
            key = pattern_key(code[i], young)
            at = find_pattern(tally, 0, 2 * pairs, key)
            if tally[at]:
                tally[at] += 1
                continue
            tally[at] = key << _USES_BITS | 1
            met[count] = at
            count += 1
    work[0] += pairs
    return count


@in_place
def open_table(patterns: Patterns, source: int, count: int) -> bool:
    """Takes room for ``count`` patterns of a source, if there is any; much room, as most lookups are in vain."""
    size = 3 * count + 1
    begin = patterns.used[0]
    if begin + size > patterns.table.shape[0]:
        return False
    for at in range(begin, begin + size):
        patterns.table[at] = 0
    patterns.start[source] = begin
    patterns.size[source] = size
    patterns.used[0] = begin + size
    return True


@in_place
def enter_pattern(table: Ints, start: int, size: int, entry: int) -> int:
    """Puts an entry into an opened table and returns its place."""
    at = find_pattern(table, start, size, entry >> _USES_BITS)
    table[at] = entry
    return at


@in_place
def pair_range(a: int, up_a: int, b: int, up_b: int, subtract: bool, low: Ints, high: Ints) -> tuple[int, int]:
    """Range of ``(a << up_a) ± (b << up_b)``, exact where the two have no input in common or are the same."""
    if a == b:
        factor = (1 << up_a) - (1 << up_b) if subtract else (1 << up_a) + (1 << up_b)
        return min(low[a] * factor, high[a] * factor), max(low[a] * factor, high[a] * factor)
    if subtract:
        return (low[a] << up_a) - (high[b] << up_b), (high[a] << up_a) - (low[b] << up_b)
    return (low[a] << up_a) + (low[b] << up_b), (high[a] << up_a) + (high[b] << up_b)


@in_place
def gain_and_price(key: int, younger: int, low: Ints, high: Ints) -> tuple[int, int]:
    """Bits saved per use of a pattern, bits its adder costs.

    Two terms become one: the widths that a row has left to add fall by the overlap of the two.
    """
    a = key_source(key)
    distance = key_distance(key)
    lo, hi = pair_range(a, max(-distance, 0), younger, max(distance, 0), key & 1 != 0, low, high)
    width = span_width(lo, hi)
    return span_width(low[a], high[a]) + span_width(low[younger], high[younger]) - width, width - abs(distance)
