"""Real inputs to codes: exact, and in a handful of passes over a block that stays in the cache."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt

from qcompile.ir import integer
from qcompile.numerics.quantizer import Quantizer
from qcompile.numerics.rounding import Rounding

Reals = npt.NDArray[Any]

_BLOCK_VALUES = 1 << 14


def encode(op: integer.Input, samples: Reals, dtype: np.dtype[Any]) -> Reals:
    """Codes ``[samples, *shape]`` of ``dtype`` of real inputs ``[samples, *ONNX shape]``."""
    flat = np.asarray(samples).reshape(len(samples), -1)
    order = op.order.values.ravel()
    arranged = bool((order == np.arange(len(order))).all())
    codes = np.empty((len(flat), *op.order.shape), dtype)
    coded = _power_of_two(op) or (lambda values: _general(op, values))
    step = max(1, _BLOCK_VALUES // max(1, prod(op.order.shape)))
    for start in range(0, len(flat), step):
        part = flat[start : start + step]
        part = part if arranged else part[:, order]
        codes[start : start + step] = coded(part.reshape(-1, *op.order.shape))
    return codes


def _power_of_two(op: integer.Input) -> Callable[[Reals], Reals] | None:
    """The coder of ``round(x * 2**k)``; None where the grid is another one.

    The product is exact, and so is its rounding. Clamping to integers first does not change the result.
    """
    q = op.quantizer
    if type(q) is not Quantizer or len(q.scale) != 1 or len(op.affine.scale) != 1:
        return None
    factor = op.affine.scale[0] / q.scale[0]
    if any(op.affine.offset) or any(q.zero_point) or factor.numerator & (factor.numerator - 1) or factor <= 0:
        return None
    if factor.denominator & (factor.denominator - 1) or not Fraction(1, 1 << 64) <= factor <= 1 << 64:
        return None
    # Nearest modes alone: a directed one would see what underflows.
    if q.rounding not in (Rounding.HALF_EVEN, Rounding.HALF_UP, Rounding.HALF_DOWN):
        return None
    low, high = q.low, q.high
    assert low is not None and high is not None
    multiplier = float(factor)
    tie = {Rounding.HALF_UP: 0.5, Rounding.HALF_DOWN: -0.5}.get(q.rounding)

    def code(values: Reals) -> Reals:
        ratio = values.astype(values.dtype if values.dtype in (np.float32, np.float64) else np.float64)
        with np.errstate(over="ignore"):
            ratio *= ratio.dtype.type(multiplier)
        np.clip(ratio, low, high, out=ratio)
        nearest = np.rint(ratio)
        if tie is not None:
            ratio -= nearest
            nearest += tie * 2 * (ratio == tie)
        return nearest

    return code


def _general(op: integer.Input, values: Reals) -> npt.NDArray[np.int64]:
    """``quantizer.code(affine(x))``; in float64 with one exact correction near every rounding boundary."""
    scale, offset = op.affine.scale, op.affine.offset
    if scale == (Fraction(1),) and offset == (Fraction(0),):
        return op.quantizer.codes(values)
    approximate = np.asarray(values, np.float64) * np.array([float(s) for s in scale])
    approximate += np.array([float(o) for o in offset])
    codes = op.quantizer.codes(approximate)
    ratio = approximate / float(op.quantizer.scale[0]) + float(op.quantizer.zero_point[0])
    if not op.quantizer.every_integer:
        ties = np.rint(2 * ratio) / 2  # codes lie apart: middles are integers too
    elif op.quantizer.rounding in (Rounding.FLOOR, Rounding.CEIL, Rounding.ZERO, Rounding.AWAY):
        ties = np.rint(ratio)
    else:
        ties = np.floor(ratio) + 0.5
    near = np.abs(ratio - ties) < 1e-9 * (1 + np.abs(ratio))
    for place in zip(*np.nonzero(near), strict=True):
        real = op.affine.apply(Fraction(float(values[place])), int(place[-1]))
        codes[place] = op.quantizer.code(real)
    return codes
