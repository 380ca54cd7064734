"""Operations of the model graph that only move elements."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import ClassVar

import numpy as np

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


@MODEL.op
@dataclass(frozen=True)
class Concat(ModelOp):
    """Tensors joined along ``axis``."""

    mnemonic: ClassVar[str] = "concat"
    axis: int

    def result_type(self, *operands: RealType) -> RealType:
        first = operands[0].shape
        axis = self.axis % len(first)
        for other in operands:
            if (*other.shape[:axis], *other.shape[axis + 1 :]) != (*first[:axis], *first[axis + 1 :]):
                raise IRError(f"shapes {first} and {other.shape} do not join along axis {axis}")
        return RealType((*first[:axis], sum(o.shape[axis] for o in operands), *first[axis + 1 :]))

    def evaluate(self, *operands: Reals) -> Reals:
        axis = self.axis % (operands[0].ndim - 1) + 1
        samples = max(o.shape[0] for o in operands)
        # A constant operand has one sample.
        return np.concatenate([np.broadcast_to(o, (samples, *o.shape[1:])) for o in operands], axis)


@MODEL.op
@dataclass(frozen=True)
class Take(ModelOp):
    """``numpy.take``: along ``axis`` the elements at ``indices``, in that order, repetitions allowed.

    Slices, splits, gathers, nearest-neighbour resizing, tiling and reflecting pads are all this.
    """

    mnemonic: ClassVar[str] = "take"
    axis: int
    indices: tuple[int, ...]

    def result_type(self, x: RealType) -> RealType:
        axis = self.axis % len(x.shape)
        if not self.indices or not all(0 <= i < x.shape[axis] for i in self.indices):
            raise IRError(f"indices {self.indices} on axis {axis} of {x.shape}")
        return RealType((*x.shape[:axis], len(self.indices), *x.shape[axis + 1 :]))

    def evaluate(self, *operands: Reals) -> Reals:
        return np.take(operands[0], self.indices, self.axis % (operands[0].ndim - 1) + 1)


@MODEL.op
@dataclass(frozen=True)
class Pad(ModelOp):
    """``value`` put around the tensor: ``before[axis]`` elements in front of it, ``after[axis]`` behind."""

    mnemonic: ClassVar[str] = "pad"
    before: tuple[int, ...]
    after: tuple[int, ...]
    value: float = 0.0

    def result_type(self, x: RealType) -> RealType:
        if len(self.before) != len(x.shape) or len(self.after) != len(x.shape):
            raise IRError(f"pads {self.before}, {self.after} on shape {x.shape}")
        if min(*self.before, *self.after, 0) < 0:
            raise IRError("pads must not be negative")
        return RealType(tuple(b + n + a for b, n, a in zip(self.before, x.shape, self.after, strict=True)))

    def evaluate(self, *operands: Reals) -> Reals:
        width = ((0, 0), *zip(self.before, self.after, strict=True))
        return np.pad(operands[0], width, constant_values=self.value)
