"""Element-by-element operations of the model graph, with broadcasting."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from qcompile.ir.graph import IRError
from qcompile.ir.model.base import MODEL, ModelOp, Reals, RealType, aligned, broadcast


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
    """A named transcendental function of `qcompile.numerics.function.Curve`, element by element."""

    mnemonic: ClassVar[str] = "curve"
    function: str

    _NUMPY: ClassVar[dict[str, Any]] = {
        "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
        "tanh": np.tanh,
        "exp": np.exp,
    }

    def result_type(self, x: RealType) -> RealType:
        return x

    def evaluate(self, *operands: Reals) -> Reals:
        result: Reals = self._NUMPY[self.function](operands[0])
        return result
