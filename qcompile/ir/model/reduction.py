"""Operations of the model graph along axes: what classifiers end with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from qcompile.ir.model.base import MODEL, ModelOp, Reals, RealType


@MODEL.op
@dataclass(frozen=True)
class Softmax(ModelOp):
    """Softmax along ``axis``; after the last layer it runs on the host."""

    mnemonic: ClassVar[str] = "softmax"
    axis: int

    def result_type(self, x: RealType) -> RealType:
        return x

    def evaluate(self, *operands: Reals) -> Reals:
        axis = self.axis % (operands[0].ndim - 1) + 1
        powers = np.exp(operands[0] - operands[0].max(axis=axis, keepdims=True))
        shares: Reals = powers / powers.sum(axis=axis, keepdims=True)
        return shares


@MODEL.op
@dataclass(frozen=True)
class ArgMax(ModelOp):
    """Index of the largest element along ``axis``, the first one on ties."""

    mnemonic: ClassVar[str] = "argmax"
    axis: int
    keepdims: bool = True

    def result_type(self, x: RealType) -> RealType:
        axis = self.axis % len(x.shape)
        kept = (1,) if self.keepdims else ()
        return RealType((*x.shape[:axis], *kept, *x.shape[axis + 1 :]))

    def evaluate(self, *operands: Reals) -> Reals:
        axis = self.axis % (operands[0].ndim - 1) + 1
        index = operands[0].argmax(axis=axis).astype(np.float64)
        return np.expand_dims(index, axis) if self.keepdims else index
