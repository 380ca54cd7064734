"""Where a network begins and ends: codes in, codes out, and how the host makes and reads them."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from math import prod
from typing import ClassVar

from qcompile.ir.array import Array
from qcompile.ir.graph import IRError
from qcompile.ir.integer.base import INTEGER, IntegerOp, Ints, IntType
from qcompile.numerics.function import Affine
from qcompile.numerics.quantizer import Quantizer


@INTEGER.op
@dataclass(frozen=True)
class Input(IntegerOp):
    """A network input: the codes of ``affine(x)`` under ``quantizer``, in channels-last order.

    ``order`` holds, for each element of the tensor, its row-major position in the ONNX input of
    ``onnx_shape``. ``affine`` is what the network does to the real input before it quantizes it (one entry
    each, or per channel). ``quantizer.low/high`` bound the codes.
    """

    mnemonic: ClassVar[str] = "input"
    onnx_shape: tuple[int, ...]
    order: Array
    affine: Affine
    quantizer: Quantizer

    def result_type(self, *operands: IntType) -> IntType:
        if self.quantizer.span is None:
            raise IRError("an input needs a bounded quantizer")
        return IntType(self.order.shape, (self.quantizer.span,) * self.order.shape[-1])


@INTEGER.op
@dataclass(frozen=True)
class Output(IntegerOp):
    """A network output: codes, and how the host reads them.

    The real value is ``scale * code + offset`` (one each, or per channel), put in ONNX order by ``order``:
    for each element of the ONNX tensor of ``onnx_shape`` its row-major position in the codes. ``host`` then
    runs there in float64: "softmax" over the last axis of the ONNX tensor, or a function of
    `qcompile.numerics.curves` on every element, or nothing. ``grid`` is the
    quantizer after it, or after the dequantization where nothing runs in between (None: real output).
    """

    mnemonic: ClassVar[str] = "output"
    onnx_shape: tuple[int, ...]
    order: Array
    scale: tuple[Fraction, ...]
    offset: tuple[Fraction, ...]
    host: str | None = None
    grid: Quantizer | None = None

    def result_type(self, *operands: IntType) -> IntType:
        (x,) = operands
        if self.order.values.size and not 0 <= self.order.values.min() <= self.order.values.max() < prod(x.shape):
            raise IRError(f"order does not fit {x.shape}")
        return x

    def evaluate(self, *operands: Ints) -> Ints:
        return operands[0]
