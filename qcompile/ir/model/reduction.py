"""Operations of the model graph along axes: reductions, and what classifiers end with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from qcompile.ir.graph import IRError
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


@MODEL.op
@dataclass(frozen=True)
class Reduce(ModelOp):
    """``function`` (sum, mean, max or min) over ``axes``, which stay with size 1 or go (``keepdims``)."""

    mnemonic: ClassVar[str] = "reduce"
    function: str
    axes: tuple[int, ...]
    keepdims: bool = True

    _NUMPY: ClassVar[dict[str, Any]] = {"sum": np.sum, "mean": np.mean, "max": np.max, "min": np.min}

    def result_type(self, x: RealType) -> RealType:
        if self.function not in self._NUMPY or not all(0 <= a < len(x.shape) for a in self.axes):
            raise IRError(f"{self.function} over axes {self.axes} of {x.shape}")
        if self.keepdims:
            return RealType(tuple(1 if a in self.axes else n for a, n in enumerate(x.shape)))
        return RealType(tuple(n for a, n in enumerate(x.shape) if a not in self.axes))

    def evaluate(self, *operands: Reals) -> Reals:
        axes = tuple(a + 1 for a in self.axes)
        result: Reals = self._NUMPY[self.function](operands[0], axis=axes, keepdims=self.keepdims)
        return result
