"""Operations that only move codes."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import ClassVar

import numpy as np

from qcompile.ir.array import Array
from qcompile.ir.graph import IRError
from qcompile.ir.integer.base import INTEGER, IntegerOp, Ints, IntType
from qcompile.numerics.span import union


@INTEGER.op
@dataclass(frozen=True)
class Reshape(IntegerOp):
    """The same elements in the same (row-major) order: positions become channels or channels positions."""

    mnemonic: ClassVar[str] = "reshape"
    shape: tuple[int, ...]

    def result_type(self, *operands: IntType) -> IntType:
        (x,) = operands
        if prod(x.shape) != prod(self.shape):
            raise IRError(f"{x.shape} has other elements than {self.shape}")
        flat = x.spans * x.positions
        rows = prod(self.shape[:-1])
        channels = self.shape[-1]
        return IntType(self.shape, tuple(union(flat[c::channels]) for c in range(channels)) if rows > 1 else flat)

    def evaluate(self, *operands: Ints) -> Ints:
        return operands[0].reshape(self.shape)


@INTEGER.op
@dataclass(frozen=True)
class Gather(IntegerOp):
    """Elements picked by ``order``: for each element of the result its row-major position in the operand.

    Transposes that move data, slices, space to depth: any fixed re-arrangement.
    """

    mnemonic: ClassVar[str] = "gather"
    order: Array

    def result_type(self, *operands: IntType) -> IntType:
        (x,) = operands
        order = self.order.values
        if order.size and not 0 <= order.min() <= order.max() < prod(x.shape):
            raise IRError(f"order does not fit {x.shape}")
        flat = order.reshape(-1, order.shape[-1]) % x.channels
        spans = tuple(union(x.spans[c] for c in sorted(set(column.tolist()))) for column in flat.T)
        return IntType(order.shape, spans)

    def evaluate(self, *operands: Ints) -> Ints:
        return operands[0].ravel()[self.order.values]


@INTEGER.op
@dataclass(frozen=True)
class Concat(IntegerOp):
    """Operands joined along the channels."""

    mnemonic: ClassVar[str] = "concat"

    def result_type(self, *operands: IntType) -> IntType:
        if len({x.shape[:-1] for x in operands}) != 1:
            raise IRError(f"shapes {[x.shape for x in operands]}")
        spans = tuple(s for x in operands for s in x.spans)
        return IntType((*operands[0].shape[:-1], len(spans)), spans)

    def evaluate(self, *operands: Ints) -> Ints:
        return np.concatenate(operands, axis=-1)
