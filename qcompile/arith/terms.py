"""The terms of all rows while patterns are shared: found by row, by source and by shift, removed in constant time."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from qcompile.arith.compiled import compiled, in_place
from qcompile.arith.rows import Ints, Rows


class Terms(NamedTuple):
    """Term x stands in row ``row[x]`` at ``place[x]``, -1 once it is gone.

    ``code`` packs a row's terms side by side from ``row_start``, see ``term_code``; ``number`` says which term each is.
    ``by_source`` lists terms by source from ``first_use``, those of one source by row, then by shift.
    """

    row: Ints
    shift: Ints
    sign: Ints
    place: Ints
    code: Ints
    number: Ints
    row_start: Ints
    by_source: Ints
    first_use: Ints


@in_place
def term_code(source: int, shift: int, sign: int) -> int:
    """A term as a number that grows with the age rank of its source, then with its shift (9 bits), then its sign."""
    code: int = source << 10 | shift << 1 | (1 if sign < 0 else 0)
    return code


@compiled
def lay_out_terms(rows: Rows, row_count: int) -> tuple[Terms, int]:
    """Terms of rows 0..row_count-1, whose own terms become sorted by source and shift, and how many there are.

    There is room for as many rows and terms again: sharing replaces two terms by one.
    """
    count = 0
    for r in range(row_count):
        count += rows.length[r]
    sources = rows.inputs + row_count
    terms = Terms(
        np.empty(2 * count, np.int64),
        np.empty(2 * count, np.int64),
        np.empty(2 * count, np.int64),
        np.empty(2 * count, np.int64),
        np.empty(count, np.int64),
        np.empty(count, np.int64),
        np.empty(row_count, np.int64),
        np.empty(2 * count, np.int64),
        np.zeros(sources + count + 2, np.int64),
    )
    _fill(terms, rows, row_count, count)
    return terms, count


@in_place
def _fill(terms: Terms, rows: Rows, row_count: int, count: int) -> None:
    sources = rows.inputs + row_count
    x = 0
    for r in range(row_count):
        terms.row_start[r] = x
        begin = rows.start[r]
        end = begin + rows.length[r]
        _sort_terms(rows.source, rows.shift, rows.sign, begin, end)
        for i in range(begin, end):
            terms.row[x] = r
            terms.shift[x] = rows.shift[i]
            terms.sign[x] = rows.sign[i]
            terms.place[x] = i - begin
            terms.code[x] = term_code(rows.source[i], rows.shift[i], rows.sign[i])
            terms.number[x] = x
            terms.first_use[rows.source[i] + 1] += 1
            x += 1
    first_use = terms.first_use
    for s in range(sources):
        first_use[s + 1] += first_use[s]
    for x in range(count):
        s = terms.code[x] >> 10
        terms.by_source[first_use[s]] = x
        first_use[s] += 1
    for s in range(sources, 0, -1):
        first_use[s] = first_use[s - 1]
    first_use[0] = 0


@in_place
def take_term(terms: Terms, rows: Rows, x: int) -> None:
    """Takes term x out of its row; the row's last term moves to its place."""
    r = terms.row[x]
    hole = terms.row_start[r] + terms.place[x]
    rows.length[r] -= 1
    last = terms.row_start[r] + rows.length[r]
    moved = terms.number[last]
    terms.number[hole] = moved
    terms.code[hole] = terms.code[last]
    terms.place[moved] = terms.place[x]
    terms.place[x] = -1


@in_place
def put_term(terms: Terms, rows: Rows, x: int, source: int) -> None:
    """Appends term x, whose row, shift and sign are set, to its row as one of ``source``."""
    r = terms.row[x]
    end = terms.row_start[r] + rows.length[r]
    terms.place[x] = rows.length[r]
    terms.code[end] = term_code(source, terms.shift[x], terms.sign[x])
    terms.number[end] = x
    terms.by_source[x] = x
    rows.length[r] += 1


@in_place
def term_at(by_source: Ints, row: Ints, shift: Ints, begin: int, end: int, r: int, up: int) -> int:
    """The term in ``by_source[begin:end]`` with this row and shift, or -1; it may be gone."""
    lower = begin
    upper = end
    while lower < upper:
        middle = (lower + upper) >> 1
        y = by_source[middle]
        if row[y] < r or (row[y] == r and shift[y] < up):
            lower = middle + 1
        else:
            upper = middle
    if lower == end:
        return -1
    y = by_source[lower]
    return int(y) if row[y] == r and shift[y] == up else -1


@in_place
def return_terms(terms: Terms, rows: Rows, row_count: int) -> None:
    """Writes what is left of rows 0..row_count-1 back into them."""
    for r in range(row_count):
        for i in range(rows.length[r]):
            x = terms.number[terms.row_start[r] + i]
            rows.source[rows.start[r] + i] = terms.code[terms.row_start[r] + i] >> 10
            rows.shift[rows.start[r] + i] = terms.shift[x]
            rows.sign[rows.start[r] + i] = terms.sign[x]


@in_place
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
