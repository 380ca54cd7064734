"""Element-by-element operations of the model graph, with broadcasting."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import ClassVar

import numpy as np

from qcompile.ir.graph import IRError
from qcompile.ir.model.base import MODEL, ModelOp, Reals, RealType, aligned, broadcast
from qcompile.numerics.curves import CURVES


@MODEL.op
@dataclass(frozen=True)
class Add(ModelOp):
    """Sum with broadcasting: a bias (one operand constant) or a residual join."""

    mnemonic: ClassVar[str] = "add"

    def result_type(self, a: RealType, b: RealType) -> RealType:
        return broadcast(a, b)

    def evaluate(self, *operands: Reals) -> Reals:
        a, b = aligned(*operands)
        return a + b


@MODEL.op
@dataclass(frozen=True)
class Mul(ModelOp):
    """Product with broadcasting; hardware needs one operand constant."""

    mnemonic: ClassVar[str] = "mul"

    def result_type(self, a: RealType, b: RealType) -> RealType:
        return broadcast(a, b)

    def evaluate(self, *operands: Reals) -> Reals:
        a, b = aligned(*operands)
        return a * b


@MODEL.op
@dataclass(frozen=True)
class Div(ModelOp):
    """Quotient ``a / b`` with broadcasting, exact in the rationals; hardware needs ``b`` constant.

    It stays apart from `Mul` because ``1 / b`` is rarely a float.
    """

    mnemonic: ClassVar[str] = "div"

    def result_type(self, a: RealType, b: RealType) -> RealType:
        return broadcast(a, b)

    def evaluate(self, *operands: Reals) -> Reals:
        a, b = aligned(*operands)
        return a / b


@MODEL.op
@dataclass(frozen=True)
class Clip(ModelOp):
    """``min(max(x, low), high)``; None leaves a side open. ReLU is ``low = 0``."""

    mnemonic: ClassVar[str] = "clip"
    low: float | None
    high: float | None

    def result_type(self, x: RealType) -> RealType:
        return x

    def evaluate(self, *operands: Reals) -> Reals:
        return np.clip(operands[0], self.low, self.high)


@MODEL.op
@dataclass(frozen=True)
class LeakyRelu(ModelOp):
    """``x`` where ``x >= 0``, else ``slope * x``; operands x and slope (constant, broadcasts)."""

    mnemonic: ClassVar[str] = "leaky_relu"

    def result_type(self, x: RealType, slope: RealType) -> RealType:
        if broadcast(x, slope) != x:
            raise IRError(f"slopes {slope.shape} do not broadcast to {x.shape}")
        return x

    def evaluate(self, *operands: Reals) -> Reals:
        x, slope = aligned(*operands)
        return np.where(x >= 0, x, slope * x)


@MODEL.op
@dataclass(frozen=True)
class Curve(ModelOp):
    """A named function of `qcompile.numerics.curves`, element by element."""

    mnemonic: ClassVar[str] = "curve"
    function: str
    parameters: tuple[Fraction, ...] = ()

    def result_type(self, x: RealType) -> RealType:
        if self.function not in CURVES:
            raise IRError(f"no function is named {self.function}")
        return x

    def evaluate(self, *operands: Reals) -> Reals:
        result: Reals = CURVES[self.function].fast(operands[0], *map(float, self.parameters))
        return result


class _Pairwise(ModelOp):
    """One result per pair of elements, with broadcasting."""

    def result_type(self, a: RealType, b: RealType) -> RealType:
        return broadcast(a, b)


@MODEL.op
@dataclass(frozen=True)
class Maximum(_Pairwise):
    """The greater of two tensors, with broadcasting."""

    mnemonic: ClassVar[str] = "maximum"

    def evaluate(self, *operands: Reals) -> Reals:
        return np.maximum(*aligned(*operands))


@MODEL.op
@dataclass(frozen=True)
class Minimum(_Pairwise):
    """The lesser of two tensors, with broadcasting."""

    mnemonic: ClassVar[str] = "minimum"

    def evaluate(self, *operands: Reals) -> Reals:
        return np.minimum(*aligned(*operands))


@MODEL.op
@dataclass(frozen=True)
class Greater(_Pairwise):
    """1 where ``a > b`` (with ``or_equal``: ``a >= b``), else 0."""

    mnemonic: ClassVar[str] = "greater"
    or_equal: bool = False

    def evaluate(self, *operands: Reals) -> Reals:
        a, b = aligned(*operands)
        return (a >= b if self.or_equal else a > b).astype(np.float64)


@MODEL.op
@dataclass(frozen=True)
class Equal(_Pairwise):
    """1 where ``a == b``, else 0."""

    mnemonic: ClassVar[str] = "equal"

    def evaluate(self, *operands: Reals) -> Reals:
        a, b = aligned(*operands)
        return (a == b).astype(np.float64)


@MODEL.op
@dataclass(frozen=True)
class Where(ModelOp):
    """``a`` where the condition (0 or 1) is 1, else ``b``, with broadcasting."""

    mnemonic: ClassVar[str] = "where"

    def result_type(self, condition: RealType, a: RealType, b: RealType) -> RealType:
        return broadcast(condition, broadcast(a, b))

    def evaluate(self, *operands: Reals) -> Reals:
        condition, a = aligned(operands[0], operands[1])
        condition, b = aligned(condition, operands[2])
        a, b = aligned(a, b)
        return np.where(condition != 0, a, b)
