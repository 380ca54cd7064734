"""Sums of codes: convolutions, matrix products, sum pooling, residual additions."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from qcompile.ir.array import Array
from qcompile.ir.graph import IRError
from qcompile.ir.integer.base import INTEGER, IntegerOp, Ints, IntType, image
from qcompile.ir.window import Window
from qcompile.numerics.span import Span


@INTEGER.op
@dataclass(frozen=True)
class Conv(IntegerOp):
    """Convolution with constant ``weights`` [kernel rows, kernel columns, in / groups, out]; exact sums.

    Padding has the code ``fill``, the code of real zero.
    """

    mnemonic: ClassVar[str] = "conv"
    weights: Array
    window: Window
    groups: int = 1
    fill: int = 0

    def result_type(self, *operands: IntType) -> IntType:
        (x,) = operands
        height, width, channels = image(x)
        rows, columns, per, outs = self.weights.shape
        if (rows, columns) != self.window.kernel or per * self.groups != channels or outs % self.groups:
            raise IRError(f"weights {self.weights.shape}, groups {self.groups}, input {x.shape}")
        fills = Span(self.fill, self.fill)
        entering = [s.union(fills) if self.window.padded else s for s in x.spans]
        spans = []
        for group in range(self.groups):
            block = self.weights.values[..., group * (outs // self.groups) : (group + 1) * (outs // self.groups)]
            spans += _dot_spans(
                np.concatenate([block[r, c] for r in range(rows) for c in range(columns)]),
                entering[group * per : (group + 1) * per] * (rows * columns),
            )
        return IntType((*self.window.output_size(height, width), outs), tuple(spans))

    def evaluate(self, *operands: Ints) -> Ints:
        patches = self.window.patches(operands[0][None], self.fill)[0]
        per, outs = self.weights.shape[2], self.weights.shape[3]
        weights = self.weights.values.astype(object)
        result = np.empty((*patches.shape[:2], outs), object)
        for out in range(outs):
            group = out // (outs // self.groups)
            part = patches[..., group * per : (group + 1) * per]
            result[..., out] = (part * weights[None, None, ..., out]).sum(axis=(2, 3, 4))
        return result


@INTEGER.op
@dataclass(frozen=True)
class MatMul(IntegerOp):
    """``x @ weights`` on the last axis; constant ``weights`` [in, out]; exact sums."""

    mnemonic: ClassVar[str] = "matmul"
    weights: Array

    def result_type(self, *operands: IntType) -> IntType:
        (x,) = operands
        if self.weights.shape[0] != x.channels:
            raise IRError(f"weights {self.weights.shape} for {x.channels} channels")
        spans = _dot_spans(self.weights.values, list(x.spans))
        return IntType((*x.shape[:-1], self.weights.shape[1]), tuple(spans))

    def evaluate(self, *operands: Ints) -> Ints:
        return np.dot(operands[0], self.weights.values.astype(object))


@INTEGER.op
@dataclass(frozen=True)
class SumPool(IntegerOp):
    """Sum over windows, per channel; padding has the code ``fill``."""

    mnemonic: ClassVar[str] = "sum_pool"
    window: Window
    fill: int = 0

    def result_type(self, *operands: IntType) -> IntType:
        (x,) = operands
        height, width, channels = image(x)
        fills = Span(self.fill, self.fill)
        entering = [s.union(fills) if self.window.padded else s for s in x.spans]
        spans = tuple(s.scaled(prod(self.window.kernel)) for s in entering)
        return IntType((*self.window.output_size(height, width), channels), spans)

    def evaluate(self, *operands: Ints) -> Ints:
        return self.window.patches(operands[0][None], self.fill)[0].sum(axis=(2, 3))


@INTEGER.op
@dataclass(frozen=True)
class WeightedSum(IntegerOp):
    """``sum(factors[k][c] * x_k[c]) + offsets[c]`` for each channel c: residual additions, exactly aligned."""

    mnemonic: ClassVar[str] = "weighted_sum"
    factors: tuple[tuple[int, ...], ...]
    offsets: tuple[int, ...]

    def result_type(self, *operands: IntType) -> IntType:
        if len(operands) != len(self.factors) or len({x.shape for x in operands}) != 1:
            raise IRError(f"{len(self.factors)} factors for operands {[x.shape for x in operands]}")
        spans = []
        for channel in range(operands[0].channels):
            span = Span(self._offset(channel), self._offset(channel))
            for k, x in enumerate(operands):
                span = span + x.spans[channel].scaled(self.factor(k, channel))
            spans.append(span)
        return IntType(operands[0].shape, tuple(spans))

    def factor(self, operand: int, channel: int) -> int:
        return self.factors[operand][channel % len(self.factors[operand])]

    def _offset(self, channel: int) -> int:
        return self.offsets[channel % len(self.offsets)]

    def evaluate(self, *operands: Ints) -> Ints:
        total = np.zeros_like(operands[0]) + np.array(self.offsets, object)
        for x, factors in zip(operands, self.factors, strict=True):
            total = total + x * np.array(factors, object)
        return total


@INTEGER.op
@dataclass(frozen=True)
class Product(IntegerOp):
    """``a * b`` of two computed values, element by element: gates, masks, squares."""

    mnemonic: ClassVar[str] = "product"

    def result_type(self, *operands: IntType) -> IntType:
        a, b = operands
        if a.shape != b.shape:
            raise IRError(f"shapes {a.shape} and {b.shape}")
        return IntType(a.shape, tuple(p.times(q) for p, q in zip(a.spans, b.spans, strict=True)))

    def evaluate(self, *operands: Ints) -> Ints:
        a, b = operands
        return a * b


@INTEGER.op
@dataclass(frozen=True)
class Xnor(IntegerOp):
    """1 where two bits are equal, element by element: the product of two signs that travel as bits."""

    mnemonic: ClassVar[str] = "xnor"

    def result_type(self, *operands: IntType) -> IntType:
        a, b = operands
        if a.shape != b.shape or not all(Span(0, 1).holds(x.span) for x in operands):
            raise IRError(f"bits of one shape are needed, not {a} and {b}")
        ends = [((p.low, p.high), (q.low, q.high)) for p, q in zip(a.spans, b.spans, strict=True)]
        return IntType(a.shape, tuple(Span.of(int(x == y) for x in p for y in q) for p, q in ends))

    def evaluate(self, *operands: Ints) -> Ints:
        a, b = operands
        return (a == b).astype(int).astype(object)


def _dot_spans(weights: npt.NDArray[np.int64], spans: list[Span]) -> list[Span]:
    """Exact spans of ``x @ weights`` for independent x in ``spans``; weights [in, out]."""
    exact = weights.astype(object)
    low = np.array([s.low for s in spans], object)
    high = np.array([s.high for s in spans], object)
    positive, negative = np.maximum(exact, 0), np.minimum(exact, 0)
    lows = low @ positive + high @ negative
    highs = high @ positive + low @ negative
    return [Span(int(a), int(b)) for a, b in zip(lows, highs, strict=True)]
