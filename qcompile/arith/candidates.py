"""Patterns worth an adder, in a bucket queue: a list per score, last in, first out."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from qcompile.arith.compiled import compiled, in_place
from qcompile.arith.patterns import Patterns, enter_pattern, gain_and_price, key_of, open_table, uses_of
from qcompile.arith.rows import Ints, Rows, span_width, uniform

_FINE = 2
"""Lists per full-adder bit of score."""

_MOST = 30_000
"""Scores above this many bits are not told apart."""


class Candidates(NamedTuple):
    """Candidate c is the pattern at ``entry[c]`` of the table of patterns, its younger source is ``source[c]``.

    ``luck[c]`` scales its score. ``first`` of every list and ``after[c]`` chain the candidates, -1 ends a list.
    ``state`` is how many candidates there are, a list above which all are empty, and how many lists are in use.
    """

    entry: Ints
    source: Ints
    luck: Ints
    after: Ints
    first: Ints
    state: Ints


class Scoring(NamedTuple):
    """A use of a pattern counts ``bias`` bits more than it saves; scores are scaled by up to ``1 ± noise / 2``."""

    bias: float
    noise: float


@in_place
def score_lists(rows: Rows, sources: int, first_use: Ints, scoring: Scoring) -> int:
    """Lists for the scores that patterns of the first ``sources`` sources can have."""
    uses = 0
    widest = 1
    for s in range(sources):
        uses = max(uses, first_use[s + 1] - first_use[s])
        widest = max(widest, span_width(rows.low[s], rows.high[s]))
    return int(_FINE * min(uses * (widest + scoring.bias), _MOST)) + 1


@compiled
def make_candidates(room: int, lists: int) -> Candidates:
    """None yet; room for so many candidates and lists."""
    return Candidates(
        np.empty(room, np.int32),
        np.empty(room, np.int32),
        np.empty(room, np.float32),
        np.empty(room, np.int32),
        np.full(lists, -1, np.int32),
        np.zeros(3, np.int64),
    )


@in_place
def _score(entry: int, younger: int, low: Ints, high: Ints, bias: float) -> float:
    """Full-adder bits that an adder for the pattern saves."""
    gain, price = gain_and_price(key_of(entry), younger, low, high)
    return uses_of(entry) * (gain + bias) - price


@in_place
def admit(
    patterns: Patterns,
    candidates: Candidates,
    source: int,
    tally: Ints,
    met: Ints,
    count: int,
    rows: Rows,
    scoring: Scoring,
    random: Ints,
) -> bool:
    """Makes the patterns of a source candidates if they save bits; empties ``tally``, whose entries ``met`` lists.

    False if there is no room for them.
    """
    c = candidates.state[0]
    top = candidates.state[1]
    first, after, luck = candidates.first, candidates.after, candidates.luck
    roomy = c + count <= luck.shape[0]
    worthy = 0
    for m in range(count):
        entry = tally[met[m]]
        tally[met[m]] = 0
        if uses_of(entry) < 2 or not roomy:
            continue
        score = _score(entry, source, rows.low, rows.high, scoring.bias)
        if score > 0:
            met[worthy] = entry
            luck[c + worthy] = score
            worthy += 1
    if not roomy or not open_table(patterns, source, worthy):
        return False
    table, begin, size = patterns.table, patterns.start[source], patterns.size[source]
    for m in range(worthy):
        entry = met[m]
        score = luck[c]
        luck[c] = 1.0 + scoring.noise * (uniform(random) - 0.5) if scoring.noise > 0 else 1.0
        candidates.entry[c] = enter_pattern(table, begin, size, entry)
        candidates.source[c] = source
        at = min(int(_FINE * score * luck[c]), candidates.state[2] - 1)
        after[c] = first[at]
        first[at] = c
        top = max(top, at)
        c += 1
    candidates.state[0] = c
    candidates.state[1] = top
    return True


@in_place
def take_best(patterns: Patterns, candidates: Candidates, rows: Rows, scoring: Scoring) -> int:
    """Removes the candidate of highest score and returns it, -1 if none saves anything.

    Uses fall behind the queue's back, so a candidate whose score has fallen goes to the list where it belongs.
    """
    first, after, luck = candidates.first, candidates.after, candidates.luck
    entries, source, table = candidates.entry, candidates.source, patterns.table
    low, high = rows.low, rows.high
    top = candidates.state[1]
    while top >= 0:
        c = first[top]
        if c < 0:
            top -= 1
            continue
        first[top] = after[c]
        entry = table[entries[c]]
        if uses_of(entry) < 2:
            continue
        score = _score(entry, source[c], low, high, scoring.bias) * luck[c]
        if score <= 0:
            continue
        at = min(int(_FINE * score), candidates.state[2] - 1)
        if at == top:
            candidates.state[1] = top
            return int(c)
        after[c] = first[at]
        first[at] = c
    candidates.state[1] = 0
    return -1
