"""Operations of the model graph that only move elements."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import ClassVar

from qcompile.ir.graph import IRError
from qcompile.ir.model.base import MODEL, ModelOp, Reals, RealType


@MODEL.op
@dataclass(frozen=True)
class Reshape(ModelOp):
    """The same elements in row-major order with another shape (also ONNX Flatten, Squeeze, Unsqueeze)."""

    mnemonic: ClassVar[str] = "reshape"
    shape: tuple[int, ...]

    def result_type(self, x: RealType) -> RealType:
        if prod(x.shape) != prod(self.shape):
            raise IRError(f"{x.shape} has other elements than {self.shape}")
        return RealType(self.shape)

    def evaluate(self, *operands: Reals) -> Reals:
        return operands[0].reshape(operands[0].shape[0], *self.shape)


@MODEL.op
@dataclass(frozen=True)
class Transpose(ModelOp):
    """Axes permuted as ``numpy.transpose``."""

    mnemonic: ClassVar[str] = "transpose"
    axes: tuple[int, ...]

    def result_type(self, x: RealType) -> RealType:
        if sorted(self.axes) != list(range(len(x.shape))):
            raise IRError(f"axes {self.axes} of shape {x.shape}")
        return RealType(tuple(x.shape[a] for a in self.axes))

    def evaluate(self, *operands: Reals) -> Reals:
        return operands[0].transpose(0, *(a + 1 for a in self.axes))
