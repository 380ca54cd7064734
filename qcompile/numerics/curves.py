"""The named scalar functions: their definition to any precision, their float64 form, and where they ascend."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import mpmath
import numpy as np


@dataclass(frozen=True)
class CurveRule:
    """``exact(x, *parameters)`` on mpmath numbers defines the function; ``fast`` is its float64 form on arrays.

    ``ascends``: never decreases on the real line (with the parameters that `CURVES` documents).
    """

    exact: Callable[..., Any]
    fast: Callable[..., Any]
    ascends: bool


_erf = np.vectorize(math.erf, otypes=[np.float64])
_ROOT_HALF = math.sqrt(0.5)
_ROOT_2_OVER_PI = math.sqrt(2 / math.pi)


def _fast_sigmoid(x: Any) -> Any:
    """Without overflow for very negative ``x``."""
    power = np.exp(-np.abs(x))
    return np.where(x >= 0, 1 / (1 + power), power / (1 + power))


def _fast_softplus(x: Any) -> Any:
    return np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))


def _exact_gelu_tanh(x: Any) -> Any:
    return x / 2 * (1 + mpmath.tanh(mpmath.sqrt(2 / mpmath.pi) * (x + mpmath.mpf(44715) / 1000000 * x**3)))


CURVES: dict[str, CurveRule] = {
    "sigmoid": CurveRule(lambda x: 1 / (1 + mpmath.exp(-x)), _fast_sigmoid, True),
    "tanh": CurveRule(mpmath.tanh, np.tanh, True),
    "exp": CurveRule(mpmath.exp, np.exp, True),
    "erf": CurveRule(mpmath.erf, _erf, True),
    "atan": CurveRule(mpmath.atan, np.arctan, True),
    "softplus": CurveRule(lambda x: mpmath.log1p(mpmath.exp(x)), _fast_softplus, True),
    "softsign": CurveRule(lambda x: x / (1 + abs(x)), lambda x: x / (1 + np.abs(x)), True),
    "sign": CurveRule(mpmath.sign, np.sign, True),
    "gelu": CurveRule(
        lambda x: x / 2 * (1 + mpmath.erf(x / mpmath.sqrt(2))),
        lambda x: x / 2 * (1 + _erf(x * _ROOT_HALF)),
        False,
    ),
    "gelu_tanh": CurveRule(
        _exact_gelu_tanh,
        lambda x: x / 2 * (1 + np.tanh(_ROOT_2_OVER_PI * (x + 0.044715 * x**3))),
        False,
    ),
    "mish": CurveRule(
        lambda x: x * mpmath.tanh(mpmath.log1p(mpmath.exp(x))),
        lambda x: x * np.tanh(_fast_softplus(x)),
        False,
    ),
    # swish(x, beta) = x * sigmoid(beta * x)
    "swish": CurveRule(
        lambda x, beta: x / (1 + mpmath.exp(-beta * x)),
        lambda x, beta: x * _fast_sigmoid(beta * x),
        False,
    ),
    # x * clip(x / 6 + 1/2, 0, 1)
    "hard_swish": CurveRule(
        lambda x: x * min(max(x + 3, 0), 6) / 6,
        lambda x: x * np.clip(x + 3, 0, 6) / 6,
        False,
    ),
    # x where x >= 0, else alpha * (exp(x / beta) - 1), with alpha and beta positive; ELU has beta = 1
    "elu": CurveRule(
        lambda x, alpha, beta: x if x >= 0 else alpha * mpmath.expm1(x / beta),
        lambda x, alpha, beta: np.where(x >= 0, x, alpha * np.expm1(np.minimum(x, 0) / beta)),
        True,
    ),
    "absolute": CurveRule(abs, np.abs, False),
    "square": CurveRule(lambda x: x * x, np.square, False),
    "sin": CurveRule(mpmath.sin, np.sin, False),
    "cos": CurveRule(mpmath.cos, np.cos, False),
}


def exact_curve(name: str, parameters: tuple[Fraction, ...], value: Fraction) -> Fraction:
    """The function at ``value``, computed to 200 bits and taken as that rational."""
    with mpmath.workprec(200):
        numbers = [mpmath.mpf(v.numerator) / v.denominator for v in (value, *parameters)]
        sign, mantissa, exponent, _ = mpmath.mpf(CURVES[name].exact(*numbers))._mpf_
    magnitude = Fraction(int(mantissa)) * Fraction(2) ** int(exponent)
    return -magnitude if sign else magnitude
