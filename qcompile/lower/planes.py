"""Products by bit planes: bits of operands meet bits of weights, bits of one place are counted, counts are added.

A weight is a sign and a magnitude, ``w = s * sum(2**k * m_k)``; an operand is ``x = sum(2**j * b_j)``, its sign bit
counted negatively. Where both m_k and b_j are 1 the product has ``s * 2**(j + k)`` more. For s = -1 the bit is
counted where b_j is 0, which is one too many whatever b_j is: a deficit that the weights alone decide.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from qcompile.ir import datapath
from qcompile.lower.build import Builder
from qcompile.lower.counting import popcount
from qcompile.lower.words import Words
from qcompile.numerics.span import Span

Column = npt.NDArray[np.int64]


def plane_products(build: Builder, x: Sequence[str], column: Column, label: str, words: Words) -> tuple[str, Column]:
    """``sum(w * x)`` of one result less a deficit, and that deficit per word; ``column`` [words, lanes]."""
    places: dict[int, list[str]] = {}
    deficit = np.zeros(len(column), np.int64)
    signs = bool(np.abs(column).min() == np.abs(column).max() == 1)
    for lane, name in enumerate(x):
        weights = column[:, lane]
        magnitude = np.abs(weights)
        if not magnitude.any():
            continue
        plus = words.bit(build, f"w{label}_{lane}_plus", (weights > 0) * 1)
        for j, bit, subtracted in _bits(build, name):
            equal = build.add("same_", datapath.Xnor(), bit, plus)
            for k in range(int(magnitude.max()).bit_length()):
                present = (magnitude >> k) & 1
                if not present.any():
                    continue
                deficit -= (present * ((weights < 0) != subtracted)) << (j + k)
                places.setdefault(j + k, []).append(_where(build, present, equal, f"w{label}_{lane}_{k}", words))
    return _sum_of_places(build, places, 3 if signs else 2), deficit


def _bits(build: Builder, name: str) -> list[tuple[int, str, bool]]:
    """The bits of a value with their places; the sign bit, which is subtracted, as its complement."""
    span = build.spans[name]
    found = []
    for j in range(span.width):
        bit = name if span == Span(0, 1) else build.add("bit_", datapath.Bit(j), name)
        subtracted = span.signed and j == span.width - 1
        if subtracted:
            bit = build.add("not_", datapath.Xnor(), bit, build.add("constant_", datapath.Constant(0)))
        found.append((j, bit, subtracted))
    return found


def _where(build: Builder, present: Column, bit: str, field: str, words: Words) -> str:
    """``bit`` where the magnitude's bit is 1, else 0; fields are added once."""
    if present.all():
        return bit
    held = field if field in build.spans else words.bit(build, field, present)
    return build.add("held_", datapath.Select(), held, bit, build.add("constant_", datapath.Constant(0)))


def _sum_of_places(build: Builder, places: dict[int, list[str]], together: int) -> str:
    """Counts of the bits of every place, added where they belong."""
    if not places:
        return build.add("constant_", datapath.Constant(0))
    total, above = "", 0
    for place in sorted(places, reverse=True):
        count = popcount(build, places[place], together)
        total = build.add("sum_", datapath.ShiftAdd(above - place, 0), total, count) if total else count
        above = place
    return build.add("sum_", datapath.ShiftLeft(above), total) if above else total
