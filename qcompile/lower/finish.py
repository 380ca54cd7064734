"""The end of a folded engine: element-by-element operations whose per-channel parameters come from ROM."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from qcompile.ir import datapath, integer
from qcompile.ir.array import Array
from qcompile.lower.build import Builder
from qcompile.lower.counting import count_steps, with_place
from qcompile.lower.words import Words
from qcompile.numerics.rounding import Rounding
from qcompile.numerics.span import Span

_MOST_AT_ONCE = 4  # comparators with thresholds from ROM; more of them cost more than a search and its multiplexers
_MOST_COMPARATORS = 15  # in a finish; functions of more steps are lines or tables

Columns = npt.NDArray[np.int64]
"""Parameters [words, lanes]: what each lane needs in each word."""


class Finish:
    """Rules for the lanes of one beat; channel c of the layer is lane ``c % lanes`` of word ``c // lanes``."""

    def __init__(self, build: Builder, words: Words, lanes: int) -> None:
        self.build = build
        self.words = words
        self.lanes = lanes

    def column(self, values: Sequence[int], lane: int) -> list[int]:
        """A per-channel parameter (one entry, or one per channel) as this lane sees it, word by word."""
        return [int(values[(word * self.lanes + lane) % len(values)]) for word in range(self.words.count)]

    def parameter(self, name: str, column: Sequence[int]) -> str:
        """The parameter as an input lane, or a constant where all words agree."""
        span = Span.of(column)
        if span.size == 1:
            return self.build.add("constant_", datapath.Constant(span.low))
        lane = self.build.add(name, datapath.Input(1, self.words.width, span))
        self.words.add(column, span.width)
        return lane

    def plus(self, node: str, column: Sequence[int], name: str) -> str:
        """``node`` plus a parameter."""
        if not any(column):
            return node
        if len(set(column)) == 1:
            return self.build.add("biased_", datapath.AddConstant(column[0]), node)
        return self.build.add("biased_", datapath.ShiftAdd(0, 0), node, self.parameter(name, column))


def _rescale(finish: Finish, op: integer.Rescale, lane: int, node: str, deficit: list[int]) -> str:
    build = finish.build
    factors, offsets, shifts = (finish.column(part, lane) for part in (op.factor, op.offset, op.shift))
    offsets = [o + f * d for o, f, d in zip(offsets, factors, deficit, strict=True)]
    common = max(shifts)
    # Bringing every channel to the largest shift turns shifts into factors: powers of two, or more digits.
    factors = [f << (common - s) for f, s in zip(factors, shifts, strict=True)]
    offsets = [o << (common - s) for o, s in zip(offsets, shifts, strict=True)]
    half_even = op.rounding is Rounding.HALF_EVEN
    if all(f > 0 and f.bit_count() == 1 for f in factors):
        least = min(factors)
        zeros = least.bit_length() - 1
        node = _shifted_left(finish, node, [(f // least).bit_length() - 1 for f in factors], lane)
        if half_even and any(o % least for o in offsets):
            node = build.add("scaled_", datapath.ShiftLeft(zeros), node) if zeros else node
        else:
            drop = min(zeros, common)
            node = build.add("scaled_", datapath.ShiftLeft(zeros - drop), node) if zeros > drop else node
            offsets, common = [o >> drop for o in offsets], common - drop
    else:
        node, offsets = multiplied(finish, node, factors, offsets, lane)
    node = finish.plus(node, offsets, f"offset{lane}")
    if common:
        rounding = datapath.RoundEven(common) if half_even else datapath.ShiftRight(common)
        node = build.add("rounded_", rounding, node)
    if not Span(op.low, op.high).holds(build.spans[node]):
        node = build.add("code_", datapath.Clamp(op.low, op.high), node)
    return node


def _shifted_left(finish: Finish, node: str, amounts: list[int], lane: int) -> str:
    """``node << amount`` with an amount per word: a barrel shifter as deep as the largest needs."""
    build = finish.build
    for stage in range(max(amounts).bit_length()):
        bit = finish.parameter(f"shift{lane}_{stage}", [(a >> stage) & 1 for a in amounts])
        moved = build.add("moved_", datapath.ShiftLeft(1 << stage), node)
        node = build.add("shifted_", datapath.Select(), bit, moved, node)
    return node


def multiplied(finish: Finish, node: str, factors: list[int], offsets: list[int], lane: int) -> tuple[str, list[int]]:
    """``factor * node`` in radix-4 digits; what the digits leave out goes to the offsets."""
    build = finish.build
    width = Span(min(*factors, -1), max(*factors, 0)).width
    total = ""
    for place in range(0, width + width % 2, 2):
        parts = [[(f >> (place + k)) & 1 if place + k >= 0 else 0 for f in factors] for k in (1, 0, -1)]
        digits = [-2 * h + m + n for h, m, n in zip(*parts, strict=True)]
        offsets = [o + ((d < 0) << place) for o, d in zip(offsets, digits, strict=True)]
        if not any(digits):
            continue
        bits = [
            finish.parameter(f"factor{lane}_{place + k}_{place}", part)
            for k, part in zip((1, 0, -1), parts, strict=True)
        ]
        term = build.add("term_", datapath.BoothDigit(), node, *bits)
        total = term if not total else build.add("scaled_", datapath.ShiftAdd(0, place), total, term)
        if total == term and place:
            total = build.add("scaled_", datapath.ShiftLeft(place), term)
    return total or build.add("constant_", datapath.Constant(0)), offsets


def _round_significand(finish: Finish, op: integer.RoundSignificand, lane: int, node: str, deficit: list[int]) -> str:
    node = finish.plus(node, deficit, f"deficit{lane}")
    rounding = datapath.RoundSignificand(op.bits, op.shift, op.rounding)
    return finish.build.add("float_", rounding, node)


def _thresholds(finish: Finish, op: integer.Thresholds, lane: int, node: str, deficit: list[int]) -> str:
    build = finish.build
    signs = finish.column(op.sign, lane)
    span = build.spans[node]
    levels = []
    for level in range(op.at.shape[1]):
        at = finish.column(op.at.values[:, level].tolist(), lane)
        # sign * (a + d) >= t: a >= t - d, or for a negative sign not a >= 1 - t - d
        least = [t - d if s > 0 else 1 - t - d for t, d, s in zip(at, deficit, signs, strict=True)]
        levels.append([min(max(v, span.low), span.high + 1) for v in least])
    flip = [int(s < 0) for s in signs]
    turned = finish.parameter(f"falling{lane}", [1 - f for f in flip]) if any(flip) else ""
    names = [f"level{lane}_{level}" for level in range(len(levels))]
    if len(levels) > _MOST_AT_ONCE and any(len(set(least)) > 1 for least in levels):
        below = [finish.parameter(name, [v - 1 for v in least]) for name, least in zip(names, levels, strict=True)]
        never = finish.parameter(f"never{lane}", [span.low - 1 if f else span.high for f in flip])
        count = _searched(build, node, below, never, turned)
    else:
        bits = [_reached(finish, node, least, name) for name, least in zip(names, levels, strict=True)]
        if turned:
            bits = [build.add("reached_", datapath.Xnor(), bit, turned) for bit in bits]
        count = count_steps(build, bits)
    if op.step > 1:
        count = build.add("steps_", datapath.ShiftLeft(op.step.bit_length() - 1), count)
    return finish.plus(count, finish.column(op.base, lane), f"base{lane}")


def _reached(finish: Finish, node: str, least: list[int], name: str) -> str:
    """1 where ``node`` is at least the parameter."""
    if len(set(least)) == 1:
        return finish.build.add("reached_", datapath.AtLeast(least[0]), node)
    below = finish.parameter(name, [v - 1 for v in least])
    return finish.build.add("reached_", datapath.Greater(), node, below)


def _searched(build: Builder, node: str, below: list[str], never: str, turned: str) -> str:
    """How many of the ascending ``below`` are less than ``node``: a binary search, one comparator per bit of the count.

    ``turned`` is 0 where comparisons count if they fail; nothing is beyond ``never``.
    """
    total, most = "", len(below)
    while below:
        half = 1 << (len(below).bit_length() - 1)
        bit = build.add("reached_", datapath.Greater(), node, below[half - 1])
        if turned:
            bit = build.add("reached_", datapath.Xnor(), bit, turned)
        lower = below[: half - 1]
        upper = [*below[half:], *[never] * (2 * half - 1 - len(below))]
        below = [build.add("level_", datapath.Select(), bit, u, v) for u, v in zip(upper, lower, strict=True)]
        total = with_place(build, total, bit, most >> len(below).bit_length()) if total else bit
    return total


def _lookup(finish: Finish, op: integer.Lookup, lane: int, node: str, deficit: list[int]) -> str:
    build = finish.build
    if op.table.shape[0] > 1:
        steps = staircase(op)
        assert steps is not None, "only staircases differ from channel to channel"
        return _thresholds(finish, steps, lane, node, deficit)
    node = finish.plus(node, deficit, f"deficit{lane}")
    span = build.spans[node]
    first, last = op.low, op.low + op.table.shape[1] - 1
    if not Span(first, last).holds(span):
        node = build.add("index_", datapath.Clamp(first, last), node)
    return build.add("code_", datapath.Lookup(Array(op.table.values[0]), op.low), node)


FINISHING: dict[type[integer.IntegerOp], Callable[..., str]] = {
    integer.Rescale: _rescale,
    integer.RoundSignificand: _round_significand,
    integer.Thresholds: _thresholds,
    integer.Lookup: _lookup,
}
"""Rules by operation: (finish, op, lane, node, deficit per word) to the node of the result."""


def staircase(op: integer.Lookup) -> integer.Thresholds | None:
    """The table as comparators, where every row rises or falls by the same steps; None where one does not.

    A table per channel is cheap where each channel has logic of its own. An engine that all channels share reads
    a few thresholds from ROM instead.
    """
    rows = op.table.values
    rises = np.diff(rows, axis=1)
    if any((row > 0).any() and (row < 0).any() for row in rises):
        return None
    falling = [bool((row < 0).any()) for row in rises]
    step = int(np.gcd.reduce(rises.ravel())) or 1
    base = rows.min(axis=1)
    levels = int((rows.max(axis=1) - base).max()) // step
    # Thresholds that a row does not have lie beyond all of its values.
    least = np.full((len(rows), max(levels, 1)), abs(op.low) + rows.shape[1] + 1, np.int64)
    values = op.low + np.arange(rows.shape[1])
    for channel, (row, falls) in enumerate(zip(rows, falling, strict=True)):
        for level in range(int(row.max() - row.min()) // step):
            reached = values[row >= row.min() + step * (level + 1)]
            least[channel, level] = -reached[-1] if falls else reached[0]
    signs = tuple(-1 if falls else 1 for falls in falling)
    return integer.Thresholds(Array(least), signs, tuple(base.tolist()), step)


def finishes(op: Any) -> bool:
    """Whether a folded engine can end in ``op``."""
    match op:
        case integer.Lookup() if op.table.shape[0] > 1:
            steps = staircase(op)
            return steps is not None and finishes(steps)
        case integer.Thresholds():
            return op.step.bit_count() == 1 and op.at.shape[1] <= _MOST_COMPARATORS
    return isinstance(op, integer.Lookup | integer.Rescale | integer.RoundSignificand | integer.Maximum)
