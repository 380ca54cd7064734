"""The larger of two codes, one of two, the largest of many."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from qcompile.ir.graph import IRError
from qcompile.ir.integer.base import INTEGER, IntegerOp, Ints, IntType, image
from qcompile.ir.window import Window
from qcompile.numerics.span import Span


@INTEGER.op
@dataclass(frozen=True)
class MaxPool(IntegerOp):
    """Maximum over windows, per channel; padding never wins."""

    mnemonic: ClassVar[str] = "max_pool"
    window: Window

    def result_type(self, *operands: IntType) -> IntType:
        (x,) = operands
        height, width, channels = image(x)
        if self.window.padded and not self.window.positions_covered(height, width).all():
            raise IRError("a window lies wholly in the padding")
        return IntType((*self.window.output_size(height, width), channels), x.spans)

    def evaluate(self, *operands: Ints) -> Ints:
        lowest = min(operands[0].ravel().tolist())
        return self.window.patches(operands[0][None], lowest)[0].max(axis=(2, 3))


@INTEGER.op
@dataclass(frozen=True)
class Maximum(IntegerOp):
    """The larger of two values, element by element."""

    mnemonic: ClassVar[str] = "maximum"

    def result_type(self, *operands: IntType) -> IntType:
        a, b = operands
        if a.shape != b.shape:
            raise IRError(f"shapes {a.shape} and {b.shape}")
        spans = (Span(max(p.low, q.low), max(p.high, q.high)) for p, q in zip(a.spans, b.spans, strict=True))
        return IntType(a.shape, tuple(spans))

    def evaluate(self, *operands: Ints) -> Ints:
        return np.maximum(*operands)


@INTEGER.op
@dataclass(frozen=True)
class Select(IntegerOp):
    """``a`` where the condition (0 or 1) is 1, else ``b``; operands condition, a, b."""

    mnemonic: ClassVar[str] = "select"

    def result_type(self, *operands: IntType) -> IntType:
        condition, a, b = operands
        if not condition.shape == a.shape == b.shape or not Span(0, 1).holds(condition.span):
            raise IRError(f"condition {condition} for {a} and {b}")
        return IntType(a.shape, tuple(p.union(q) for p, q in zip(a.spans, b.spans, strict=True)))

    def evaluate(self, *operands: Ints) -> Ints:
        condition, a, b = operands
        return np.where(condition.astype(bool), a, b)


@INTEGER.op
@dataclass(frozen=True)
class ArgMax(IntegerOp):
    """Index of the largest channel, the first one on ties: ``[..., channels]`` to ``[..., 1]``."""

    mnemonic: ClassVar[str] = "argmax"

    def result_type(self, *operands: IntType) -> IntType:
        (x,) = operands
        return IntType((*x.shape[:-1], 1), (Span(0, x.channels - 1),))

    def evaluate(self, *operands: Ints) -> Ints:
        flat = operands[0].reshape(-1, operands[0].shape[-1]).tolist()
        picked = [row.index(max(row)) for row in flat]
        return np.array(picked, object).reshape(*operands[0].shape[:-1], 1)
