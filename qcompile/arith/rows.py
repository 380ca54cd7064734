"""The optimizer's working form: rows of signed, shifted terms; a row is an output or a value used by other rows."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from qcompile.arith.compiled import compiled, in_place, leading_zeros

Ints = npt.NDArray[Any]


class Rows(NamedTuple):
    """Rows r = 0..R-1 in topological order; row r is the sum of its terms ``sign * (source << shift)``.

    Sources 0..inputs-1 are the inputs, inputs + r is row r. ``start[r] .. start[r] + length[r]`` index the terms.
    ``low``, ``high`` and ``depth`` belong to sources; the depth of a row that others use never grows.
    ``bits`` caches the full-adder bits of joining a row, -1 is unknown. ``kraft`` is scratch: the sum of
    2^depth over a row's terms. All arrays are int64.
    """

    inputs: int
    start: Ints
    length: Ints
    source: Ints
    shift: Ints
    sign: Ints
    low: Ints
    high: Ints
    depth: Ints
    bits: Ints
    kraft: Ints


class Outputs(NamedTuple):
    """Output column c is ``sign * (source << shift)``; source -1 is the constant zero."""

    source: Ints
    shift: Ints
    sign: Ints


@in_place
def bit_length(value: int) -> int:
    """Bits of a non-negative integer."""
    return 64 - leading_zeros(value)


@in_place
def span_width(low: int, high: int) -> int:
    """Bits of the narrowest format holding low..high."""
    if low >= 0:
        return bit_length(high)
    below = bit_length(-low - 1)
    above = bit_length(high)
    return max(below, above) + 1


@in_place
def uniform(state: Ints) -> float:
    """Next number in [0, 1) of the xorshift64 generator (Marsaglia, Xorshift RNGs, 2003) with state uint64[1]."""
    x = state[0]
    x ^= x << np.uint64(13)
    x ^= x >> np.uint64(7)
    x ^= x << np.uint64(17)
    state[0] = x
    return float(x >> np.uint64(11)) / 9007199254740992.0


@compiled
def empty_rows(inputs: int, row_room: int, term_room: int) -> Rows:
    """No rows yet, with room for row_room rows and term_room terms."""
    return Rows(
        inputs,
        np.empty(row_room + 1, np.int64),
        np.empty(row_room + 1, np.int64),
        np.empty(term_room, np.int64),
        np.empty(term_room, np.int64),
        np.empty(term_room, np.int64),
        np.empty(inputs + row_room, np.int64),
        np.empty(inputs + row_room, np.int64),
        np.empty(inputs + row_room, np.int64),
        np.empty(row_room + 1, np.int64),
        np.empty(row_room + 1, np.int64),
    )


@in_place
def add_term(source: Ints, shift: Ints, sign: Ints, begin: int, end: int, new: int, at: int, positive: int) -> int:
    """Adds ``positive * (new << at)`` to terms begin..end-1 and returns the new end.

    A source appears at most once per shift: equal terms carry into the next shift, opposite terms vanish.
    """
    while True:
        hit = -1
        for i in range(begin, end):
            if source[i] == new and shift[i] == at:
                hit = i
                break
        if hit < 0:
            source[end] = new
            shift[end] = at
            sign[end] = positive
            return end + 1
        same = sign[hit] == positive
        end -= 1
        source[hit] = source[end]
        shift[hit] = shift[end]
        sign[hit] = sign[end]
        if not same:
            return end
        at += 1
