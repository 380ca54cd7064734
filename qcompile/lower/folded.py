"""Datapaths of folded engines: products with weights from ROM, and requantization with parameters from ROM.

Weights are radix-4 signed digits (`BoothDigit`), or single bits where they and the activations are binary
(`Xnor`). Both leave out a term that depends on the weights alone; it is summed here, per output channel, and
handed to the requantization, which adds a constant anyway.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from qcompile.ir import datapath
from qcompile.lower.build import Builder
from qcompile.lower.counting import popcount
from qcompile.numerics.span import Span

BIT = Span(0, 1)


@dataclass
class Words:
    """ROM words under construction: fields of some bits, the first lowest; one value per word and field."""

    count: int
    width: int = 0
    values: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.values = [0] * self.count

    def add(self, column: Sequence[int], width: int) -> None:
        """One more field: ``column`` has a two's complement value of ``width`` bits for every word."""
        mask = (1 << width) - 1
        for k, value in enumerate(column):
            self.values[k] |= (int(value) & mask) << self.width
        self.width += width


def weight_bits(weights: npt.NDArray[np.int64]) -> int:
    """Two's complement width that holds all weights; 1 stands for -1/+1, and for nothing else."""
    if set(np.unique(weights).tolist()) <= {-1, 1}:
        return 1
    return max(2, Span(min(int(weights.min()), -1), max(int(weights.max()), 0)).width)


def products(
    build: Builder, x: Sequence[str], weights: npt.NDArray[np.int64], words: Words
) -> tuple[list[str], npt.NDArray[np.int64]]:
    """Partial sums of one beat, and what each of their values lacks.

    ``weights`` [words, results, lanes]: the weights of every ROM word. Per result, ``sum(w * x)`` over the
    lanes is the value of the returned node plus the returned deficit [words, results]. The weights' fields
    are added to ``words`` and read through input lanes of stream 1.
    """
    _, results, lanes = weights.shape
    bits = weight_bits(weights)
    binary = bits == 1 and all(build.spans[name] == BIT for name in x)
    nodes: list[str] = []
    deficits = np.zeros(weights.shape[:2], np.int64)
    for result in range(results):
        column = weights[:, result]
        if binary:
            nodes.append(_xnor(build, x, column, result, words))
            deficits[:, result] = -(column < 0).sum(axis=1)  # xnor counts a -1 that meets a 0 as 1
            continue
        terms: list[str] = []
        for lane in range(lanes):
            terms.append(_booth(build, x[lane], column[:, lane], bits, f"{result}_{lane}", words))
        deficits[:, result] = _complements(column, bits).sum(axis=1)
        nodes.append(_tree(build, terms))
    return nodes, deficits


def _bit(build: Builder, name: str, column: npt.NDArray[np.int64], words: Words) -> str:
    """A weight bit as an input lane (a constant where all words agree)."""
    values = set(np.unique(column).tolist())
    if len(values) == 1:
        return build.add("constant_", datapath.Constant(values.pop()))
    lane = build.add(name, datapath.Input(1, words.width, BIT))
    words.add(column.tolist(), 1)
    return lane


def _xnor(build: Builder, x: Sequence[str], column: npt.NDArray[np.int64], result: int, words: Words) -> str:
    equal = [
        build.add("same_", datapath.Xnor(), x[lane], _bit(build, f"w{result}_{lane}", (column[:, lane] > 0) * 1, words))
        for lane in range(len(x))
    ]
    return popcount(build, equal)


def _booth(build: Builder, x: str, column: npt.NDArray[np.int64], bits: int, label: str, words: Words) -> str:
    """``weight * x`` without the deficit: one digit, or the sum of several."""
    total = ""
    for place, (high, middle, low) in enumerate(_digits(column, bits)):
        operands = [
            _bit(build, f"w{label}_{name}{place}", part, words)
            for name, part in (("h", high), ("m", middle), ("l", low))
        ]
        term = build.add("term_", datapath.BoothDigit(), x, *operands)
        total = term if not total else build.add("sum_", datapath.ShiftAdd(0, 2 * place), total, term)
    return total


def _digits(column: npt.NDArray[np.int64], bits: int) -> list[tuple[Any, Any, Any]]:
    """Radix-4 digits, lowest first, as (high, middle, low) bits of weight -2, 1, 1."""
    if bits == 1:
        return [((column < 0) * 1, np.ones_like(column), np.zeros_like(column))]
    if set(np.unique(column).tolist()) <= {-1, 0, 1}:
        return [((column < 0) * 1, (column != 0) * 1, np.zeros_like(column))]
    spread = [(column >> k) & 1 for k in range(bits + bits % 2)]
    return [(spread[k + 1], spread[k], spread[k - 1] if k else np.zeros_like(column)) for k in range(0, len(spread), 2)]


def _complements(column: npt.NDArray[np.int64], bits: int) -> npt.NDArray[np.int64]:
    """What the digits of each weight lack: ``4**place`` for every negative digit."""
    total = np.zeros_like(column)
    for place, (high, middle, low) in enumerate(_digits(column, bits)):
        total += ((-2 * high + middle + low) < 0) * 4**place
    return total


def _tree(build: Builder, terms: list[str]) -> str:
    """The sum of all terms by neighbours."""
    while len(terms) > 1:
        terms = [
            build.add("sum_", datapath.ShiftAdd(0, 0), *terms[k : k + 2]) if k + 1 < len(terms) else terms[k]
            for k in range(0, len(terms), 2)
        ]
    return terms[0]


def accumulator_spans(
    x: Sequence[Span], weights: npt.NDArray[np.int64], deficits: npt.NDArray[np.int64], vector: int
) -> list[Span]:
    """Exact spans of the running sums, per result: ``weights`` [words, results, lanes], ``vector`` words each sum."""
    low = np.array([s.low for s in x], object)
    high = np.array([s.high for s in x], object)
    positive, negative = np.maximum(weights, 0), np.minimum(weights, 0)
    lows = (positive * low + negative * high).sum(axis=2) - deficits
    highs = (positive * high + negative * low).sum(axis=2) - deficits
    shape = (-1, vector, weights.shape[1])
    lows, highs = np.cumsum(lows.reshape(shape), axis=1), np.cumsum(highs.reshape(shape), axis=1)
    return [Span(int(lows[..., r].min()), int(highs[..., r].max())) for r in range(weights.shape[1])]
