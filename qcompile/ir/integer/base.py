"""What every integer operation shares: the level, types with exact spans, and the base of the operations."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt

from qcompile.ir.graph import IRError, Level, Op
from qcompile.ir.window import Window
from qcompile.numerics.bipolar import BipolarQuantizer
from qcompile.numerics.function import Affine, Clamp, Curve, Leaky, ScalarFunction
from qcompile.numerics.levels import LevelQuantizer
from qcompile.numerics.minifloat import MiniFloatQuantizer
from qcompile.numerics.quantizer import Quantizer
from qcompile.numerics.rounding import Rounding
from qcompile.numerics.span import Span, union
from qcompile.numerics.thresholds import ThresholdQuantizer

Ints = npt.NDArray[Any]
"""Object array of Python ints."""

INTEGER = Level("integer")
PARAMETERS: dict[str, type] = {
    cls.__name__: cls
    for cls in (
        *(Window, Rounding, Span, ScalarFunction, Affine, Clamp, Leaky, Curve),
        *(Quantizer, BipolarQuantizer, LevelQuantizer, MiniFloatQuantizer, ThresholdQuantizer),
    )
}


@dataclass(frozen=True)
class IntType:
    """An integer tensor of ``shape``; ``spans`` has one span per channel (last axis)."""

    shape: tuple[int, ...]
    spans: tuple[Span, ...]

    def __post_init__(self) -> None:
        if len(self.spans) != self.shape[-1]:
            raise IRError(f"{len(self.spans)} spans for shape {self.shape}")

    @property
    def span(self) -> Span:
        return union(self.spans)

    @property
    def channels(self) -> int:
        return self.shape[-1]

    @property
    def positions(self) -> int:
        """Elements per channel: the beats of a frame when channels travel in parallel."""
        return prod(self.shape[:-1])

    def __str__(self) -> str:
        return f"{'x'.join(map(str, self.shape))} {self.span}"


@dataclass(frozen=True)
class IntegerOp(Op):
    """An exact operation on integer tensors."""

    def result_type(self, *operands: IntType) -> IntType:
        raise NotImplementedError

    def evaluate(self, *operands: Ints) -> Ints:
        raise NotImplementedError


def image(x: IntType) -> tuple[int, int, int]:
    if len(x.shape) != 3:
        raise IRError(f"needs [rows, columns, channels], found {x.shape}")
    return x.shape[0], x.shape[1], x.shape[2]


def per_channel(values: Ints, function: Any) -> Ints:
    """``function(value, channel)`` on every element."""
    channels = values.shape[-1]
    flat = values.reshape(-1)
    result = np.empty(flat.size, object)
    for index, value in enumerate(flat.tolist()):
        result[index] = function(value, index % channels)
    return result.reshape(values.shape)
