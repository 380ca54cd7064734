"""Datapaths of folded engines: sums of products with weights from ROM.

A layer's weights take one of several forms (`FORMS`), whichever costs least: radix-4 digits (`BoothDigit`), bit planes,
signed powers of two (`SignedShift`). All leave out a term that depends on the weights alone; it is summed here, per
output channel, and handed to the requantization, which adds a constant anyway.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from qcompile.ir import datapath
from qcompile.lower.build import Builder
from qcompile.lower.planes import plane_products
from qcompile.lower.words import Words
from qcompile.numerics.span import Span

Weights = npt.NDArray[np.int64]
Form = Callable[[Builder, Sequence[str], Weights, str, Words], tuple[str, Weights]]
"""Of one result: (build, lanes, weights [words, lanes], label of fields, ROM) to the sum's node and its deficits."""

_MOST_PLANES = 12  # pairs of a bit of the operand and one of the magnitude: more never pay
_MOST_POWERS = 2  # of a weight


def weight_bits(weights: Weights) -> int:
    """Two's complement width that holds all weights; 1 stands for -1/+1, and for nothing else."""
    if set(np.unique(weights).tolist()) <= {-1, 1}:
        return 1
    return max(2, Span(min(int(weights.min()), -1), max(int(weights.max()), 0)).width)


def forms(x: Sequence[Span], weights: Weights) -> dict[str, Form]:
    """The forms that the weights can take beside operands ``x``, by name."""
    planes = max(span.width for span in x) * int(np.abs(weights).max()).bit_length()
    if planes == 1 and weight_bits(weights) == 1:
        return {"signs": plane_products}
    found: dict[str, Form] = {"digits": _digit_products}
    if planes <= _MOST_PLANES:
        found["bit planes"] = plane_products
    powers = {w: len(_powers(w)) for w in np.unique(weights).tolist()}
    if max(powers.values()) <= _MOST_POWERS and max(map(abs, powers)) > 2:
        found["powers of two"] = _power_products
    return found


def products(
    build: Builder, x: Sequence[str], weights: Weights, words: Words, form: Form
) -> tuple[list[str], npt.NDArray[np.int64]]:
    """Partial sums of one beat, and what each of their values lacks.

    ``weights`` [words, results, lanes]: the weights of every ROM word. Per result, ``sum(w * x)`` over the
    lanes is the value of the returned node plus the returned deficit [words, results]. The weights' fields
    are added to ``words`` and read through input lanes of stream 1.
    """
    results = [form(build, x, weights[:, result], str(result), words) for result in range(weights.shape[1])]
    return [node for node, _ in results], np.stack([deficit for _, deficit in results], axis=1)


# Radix-4 digits ------------------------------------------------------------------------------------------


def _digit_products(build: Builder, x: Sequence[str], column: Weights, label: str, words: Words) -> tuple[str, Weights]:
    terms: list[str] = []
    deficit = np.zeros(len(column), np.int64)
    for lane, name in enumerate(x):
        total = ""
        for place, bits in enumerate(_digits(column[:, lane])):
            high, middle, low = bits
            deficit += ((-2 * high + middle + low) < 0) * 4**place
            operands = [
                words.bit(build, f"w{label}_{lane}_{part}{place}", bit) for part, bit in zip("hml", bits, strict=True)
            ]
            term = build.add("term_", datapath.BoothDigit(), name, *operands)
            total = build.add("sum_", datapath.ShiftAdd(0, 2 * place), total, term) if total else term
        terms.append(total)
    return _tree(build, terms), deficit


def _digits(column: Weights) -> list[tuple[Any, Any, Any]]:
    """Radix-4 digits, lowest first, as (high, middle, low) bits of weight -2, 1, 1."""
    magnitude = np.abs(column)
    if magnitude.max() <= 2:
        negative = column < 0
        return [(negative * 1, np.where(negative, magnitude == 1, column > 0) * 1, (column == 2) * 1)]
    bits = weight_bits(column)
    spread = [(column >> k) & 1 for k in range(bits + bits % 2)]
    return [(spread[k + 1], spread[k], spread[k - 1] if k else np.zeros_like(column)) for k in range(0, len(spread), 2)]


# Powers of two -------------------------------------------------------------------------------------------


def _power_products(build: Builder, x: Sequence[str], column: Weights, label: str, words: Words) -> tuple[str, Weights]:
    terms: list[str] = []
    deficit = np.zeros(len(column), np.int64)
    for lane, name in enumerate(x):
        powers = [_powers(w) for w in column[:, lane].tolist()]
        for rank in range(max(map(len, powers))):
            held = [p[rank] if rank < len(p) else None for p in powers]
            least = min(p[1] for p in held if p is not None)
            negative = np.array([p is not None and p[0] < 0 for p in held]) * 1
            shifts = np.array([0 if p is None else p[1] - least for p in held])
            fields = [negative, np.array([p is not None for p in held]) * 1]
            fields += [(shifts >> k) & 1 for k in range(int(shifts.max()).bit_length())]
            operands = [words.bit(build, f"w{label}_{lane}_{rank}_{k}", field) for k, field in enumerate(fields)]
            term = build.add("term_", datapath.SignedShift(), name, *operands)
            terms.append(build.add("term_", datapath.ShiftLeft(least), term) if least else term)
            deficit += negative << least
    if not terms:
        return build.add("constant_", datapath.Constant(0)), deficit
    return _tree(build, terms), deficit


def _powers(weight: int) -> list[tuple[int, int]]:
    """The fewest signed powers of two that give ``weight``, as (sign, exponent), the largest first."""
    found: list[tuple[int, int]] = []
    exponent = 0
    while weight:
        if weight & 1:
            sign = 2 - (weight & 3)
            found.append((sign, exponent))
            weight -= sign
        weight >>= 1
        exponent += 1
    return found[::-1]


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
