"""What every model operation shares, and the leaves: inputs, constants, quantizers.

Values are real tensors with ONNX's shape (batch 1 in front). ``evaluate`` computes in float64 on arrays that
carry one more axis in front, the samples: ``[samples, *shape]``; constants have one sample and broadcast.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from qcompile.ir.array import Array
from qcompile.ir.graph import IRError, Level, Op
from qcompile.ir.window import Window
from qcompile.numerics.bipolar import BipolarQuantizer
from qcompile.numerics.levels import LevelQuantizer
from qcompile.numerics.minifloat import MiniFloatQuantizer
from qcompile.numerics.quantizer import Quantizer
from qcompile.numerics.rounding import Rounding
from qcompile.numerics.thresholds import ThresholdQuantizer

Reals = npt.NDArray[np.float64]

MODEL = Level("model")
PARAMETERS: dict[str, type] = {
    cls.__name__: cls
    for cls in (
        *(Window, Rounding),
        *(Quantizer, BipolarQuantizer, LevelQuantizer, MiniFloatQuantizer, ThresholdQuantizer),
    )
}


@dataclass(frozen=True)
class RealType:
    """A real tensor of ONNX ``shape``."""

    shape: tuple[int, ...]


@dataclass(frozen=True)
class ModelOp(Op):
    """An operation on real tensors."""

    def evaluate(self, *operands: Reals) -> Reals:
        """The real-valued meaning in float64, on ``[samples, *shape]`` arrays."""
        raise NotImplementedError


def broadcast(a: RealType, b: RealType) -> RealType:
    try:
        return RealType(np.broadcast_shapes(a.shape, b.shape))
    except ValueError:
        raise IRError(f"shapes {a.shape} and {b.shape} do not broadcast") from None


def aligned(a: Reals, b: Reals) -> tuple[Reals, Reals]:
    """Both with the same rank, the sample axis staying in front."""
    rank = max(a.ndim, b.ndim)
    return (
        a.reshape(a.shape[0], *[1] * (rank - a.ndim), *a.shape[1:]),
        b.reshape(b.shape[0], *[1] * (rank - b.ndim), *b.shape[1:]),
    )


@MODEL.op
@dataclass(frozen=True)
class Input(ModelOp):
    """A network input. ``integer``: the ONNX type is an integer one with these (low, high) limits."""

    mnemonic: ClassVar[str] = "input"
    shape: tuple[int, ...]
    integer: tuple[int, int] | None = None

    def result_type(self) -> RealType:
        return RealType(self.shape)


@MODEL.op
@dataclass(frozen=True)
class Constant(ModelOp):
    """A constant tensor; its float64 values are exact."""

    mnemonic: ClassVar[str] = "constant"
    value: Array

    def result_type(self) -> RealType:
        return RealType(self.value.shape)

    def evaluate(self, *operands: Reals) -> Reals:
        return np.asarray(self.value.values, np.float64)[None]


@MODEL.op
@dataclass(frozen=True)
class Quantize(ModelOp):
    """The nearest value on the quantizer's grid (quantize, then dequantize). Channels lie along ``axis``."""

    mnemonic: ClassVar[str] = "quantize"
    quantizer: Quantizer
    axis: int | None = None

    def result_type(self, x: RealType) -> RealType:
        channels = self.quantizer.channels
        if channels > 1 and (self.axis is None or x.shape[self.axis] != channels):
            raise IRError(f"{channels} channels on axis {self.axis} of shape {x.shape}")
        return x

    def evaluate(self, *operands: Reals) -> Reals:
        (x,) = operands
        axis = None if self.axis is None else self.axis % (x.ndim - 1) + 1
        return self.quantizer.values(self.quantizer.codes(x, axis), axis)
