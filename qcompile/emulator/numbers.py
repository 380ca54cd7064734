"""The number types in which integers travel through NumPy exactly, and the two layouts of a block of samples.

Integers travel as float32 while every value (and partial sum) stays below 2**24, as float64 below 2**53, as
int64 below 2**63, else as Python ints. Within those bounds float sums and products of integers are exact in
any order, and BLAS is many times faster than integer loops.

A block is ``[samples, *shape]``, channels last; or, between convolutions and pooling, *planar*: ``[channels,
rows, columns, samples]``. Windows of planar images are gathered in runs of whole lines of all samples, and
constants per channel stand outside the inner loops: half the time of a small convolution.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from qcompile.ir.integer import IntType
from qcompile.numerics.span import Span

Numbers = npt.NDArray[Any]

_LOOP = 512  # elements of an inner loop that make NumPy's cost per loop small


def dtype_for(bound: int) -> np.dtype[Any]:
    """The fastest type that holds every integer up to ``bound`` in magnitude exactly."""
    if bound <= 1 << 24:
        return np.dtype(np.float32)
    if bound <= 1 << 53:
        return np.dtype(np.float64)
    return np.dtype(np.int64) if bound < 1 << 63 else np.dtype(object)


def magnitude(span: Span) -> int:
    return max(abs(span.low), abs(span.high))


def storage(kind: IntType) -> np.dtype[Any]:
    """The type in which a tensor's codes travel."""
    return dtype_for(magnitude(kind.span))


def cast(x: Numbers, dtype: np.dtype[Any]) -> Numbers:
    """``x`` in ``dtype``; itself where it has that already."""
    if x.dtype == dtype:
        return x
    if dtype.kind == "O" and x.dtype.kind == "f":
        return x.astype(np.int64).astype(object)
    return x.astype(dtype)


def constants(values: tuple[int, ...], dtype: np.dtype[Any]) -> Numbers:
    return np.array(values, object).astype(dtype)


def to_planar(x: Numbers) -> Numbers:
    return np.ascontiguousarray(x.transpose(3, 1, 2, 0))


def from_planar(x: Numbers) -> Numbers:
    return np.ascontiguousarray(x.transpose(3, 1, 2, 0))


def dot_bound(weights: npt.NDArray[np.int64], operand: IntType, fill: int = 0) -> list[int]:
    """Per output of ``x @ weights`` ([..., in, out]) a bound of every partial sum, whatever the order."""
    largest = max(magnitude(operand.span), abs(fill))
    return [int(total) * largest for total in np.abs(weights).reshape(-1, weights.shape[-1]).sum(axis=0)]


class PerChannel:
    """A constant per channel (or a single one) for operations along the channels.

    NumPy pays for every pass of its innermost loop, which over few channels last is most of the time: `pair`
    gives array and constant reshaped so that the loop runs over the channels of many positions.
    """

    def __init__(self, values: Numbers, planar: bool = False) -> None:
        self._values = values
        self._planar = planar
        self._repeated: dict[int, Numbers] = {}

    def pair(self, x: Numbers) -> tuple[Numbers, Any]:
        """``(view of x, constant that broadcasts to it)``; ``x`` is contiguous."""
        channels = len(self._values)
        if channels == 1:
            return x, self._values[0]
        if self._planar:
            return x.reshape(channels, -1), self._values[:, None]
        positions = x.size // channels
        repeat = 1
        while positions % (2 * repeat) == 0 and repeat * channels < _LOOP and positions:
            repeat *= 2
        if repeat not in self._repeated:
            self._repeated[repeat] = np.tile(self._values, repeat)
        return x.reshape(-1, repeat * channels), self._repeated[repeat]
