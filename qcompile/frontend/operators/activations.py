"""Functions of one element: rounding, and the named curves that become exact tables."""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from qcompile.frontend.call import Call
from qcompile.frontend.registry import operator
from qcompile.frontend.values import Grid, Live, Value
from qcompile.ir import model
from qcompile.numerics.quantizer import Quantizer
from qcompile.numerics.rounding import Rounding

_ONE = Fraction(1)

_CURVES = {
    "Sigmoid": "sigmoid",
    "Tanh": "tanh",
    "Exp": "exp",
    "Erf": "erf",
    "Atan": "atan",
    "Softplus": "softplus",
    "Softsign": "softsign",
    "Sign": "sign",
    "Mish": "mish",
    "HardSwish": "hard_swish",
    "Abs": "absolute",
    "Sin": "sin",
    "Cos": "cos",
}


@operator(*_CURVES)
def curve(call: Call) -> Value:
    x = call.real(0)
    return call.emit(model.Curve(_CURVES[call.op_type]), x)


def _float32(value: float) -> Fraction:
    """An attribute as the exact number that the file holds (defaults are rounded to float32 too)."""
    return Fraction(float(np.float32(value)))


@operator("Gelu")
def gelu(call: Call) -> Value:
    kind = call.attribute("approximate", "none")
    if kind not in ("none", "tanh"):
        raise call.refuse("QC104", f"approximate={kind}", "none and tanh are supported")
    return call.emit(model.Curve("gelu_tanh" if kind == "tanh" else "gelu"), call.real(0))


@operator("Swish")
def swish(call: Call) -> Value:
    return call.emit(model.Curve("swish", (_float32(call.attribute("alpha", 1.0)),)), call.real(0))


@operator("Elu", "Celu", "Selu")
def elu(call: Call) -> Value:
    """``x`` where positive, else ``alpha * (exp(x / beta) - 1)``: beta is 1, or alpha for Celu; Selu scales both."""
    defaults = {"Elu": 1.0, "Celu": 1.0, "Selu": 1.67326319217681884765625}
    alpha = _float32(call.attribute("alpha", defaults[call.op_type]))
    if alpha <= 0:
        raise call.refuse("QC104", f"alpha {float(alpha):g}", "a positive alpha is supported")
    result = call.emit(model.Curve("elu", (alpha, alpha if call.op_type == "Celu" else _ONE)), call.real(0))
    if call.op_type != "Selu":
        return result
    gamma = call.scalar(np.float32(call.attribute("gamma", 1.05070102214813232421875)), "gamma")
    return call.emit(model.Mul(), result, gamma, part="scaled")


@operator("HardSigmoid")
def hard_sigmoid(call: Call) -> Value:
    """``clip(alpha * x + beta, 0, 1)``."""
    alpha, beta = (np.float32(call.attribute(n, d)) for n, d in (("alpha", 0.2), ("beta", 0.5)))
    scaled = call.emit(model.Mul(), call.real(0), call.scalar(alpha, "alpha"), part="scaled")
    shifted = call.emit(model.Add(), scaled, call.scalar(beta, "beta"), part="shifted")
    return call.emit(model.Clip(0.0, 1.0), shifted)


@operator("ThresholdedRelu")
def thresholded_relu(call: Call) -> Value:
    x = call.real(0)
    above = call.emit(model.Greater(), x, call.scalar(np.float32(call.attribute("alpha", 1.0)), "alpha"), part="above")
    return call.emit(model.Where(), above, x, call.scalar(0.0, "zero"))


@operator("Pow")
def power(call: Call) -> Value:
    exponent = call.constant(1, "exponent").astype(np.float64)
    if (exponent == 1).all():
        return call.real(0)
    if not (exponent == 2).all():
        raise call.refuse("QC104", f"exponent {exponent.ravel()[:4].tolist()}", "the exponents 1 and 2 are supported")
    x = call.real(0)
    return call.emit(model.Curve("square"), x)


@operator("Round", "Floor", "Ceil")
def rounded(call: Call) -> Value:
    """The nearest integer (ties to even), the next below, the next above: quantizers with scale 1."""
    modes = {"Round": Rounding.HALF_EVEN, "Floor": Rounding.FLOOR, "Ceil": Rounding.CEIL}
    return to_integer(call, call.real(0), modes[call.op_type])


def to_integer(
    call: Call, x: Live, rounding: Rounding, low: int | None = None, high: int | None = None, part: str = ""
) -> Live:
    result = call.quantize(x, Grid(Quantizer((_ONE,), (Fraction(0),), low, high, rounding)), part)
    return Live(result.name, result.shape, x.dtype)
