"""From the scales and zero points of a file to quantizers."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt

from qcompile.frontend.call import Call
from qcompile.frontend.values import Grid
from qcompile.numerics.minifloat import MiniFloatQuantizer
from qcompile.numerics.quantizer import Quantizer

MINIFLOATS: dict[str, tuple[int, int, int, Fraction]] = {
    "float8_e4m3fn": (4, 3, 7, Fraction(448)),
    "float8_e4m3fnuz": (4, 3, 8, Fraction(240)),
    "float8_e5m2": (5, 2, 15, Fraction(57344)),
    "float8_e5m2fnuz": (5, 2, 16, Fraction(57344)),
    "float6_e2m3fn": (2, 3, 1, Fraction(15, 2)),
    "float6_e3m2fn": (3, 2, 3, Fraction(28)),
    "float4_e2m1fn": (2, 1, 1, Fraction(6)),
}
"""NumPy name to exponent bits, mantissa bits, bias and largest finite value (OCP specifications, ONNX float8)."""


def limits_of(dtype: np.dtype[Any]) -> tuple[int, int] | None:
    """The range of an integer element type; None for any other."""
    if dtype.kind == "b":
        return (0, 1)
    if dtype.kind in "iu":
        return (int(np.iinfo(dtype).min), int(np.iinfo(dtype).max))
    if dtype.name in ("int2", "int4", "uint2", "uint4"):
        bits = int(dtype.name[-1])
        return (0, 2**bits - 1) if dtype.name[0] == "u" else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
    return None


def fractions(call: Call, array: npt.NDArray[Any]) -> tuple[Fraction, ...]:
    """Scales as exact rationals, one entry when they are all the same; QC106 for impossible ones.

    Writers give channels whose weights are all zero a scale of 0; any scale does for those, here 1.
    """
    wide = array.astype(np.float64).ravel()
    if not np.isfinite(wide).all() or (wide < 0).any():
        raise call.refuse("QC106", "a scale is negative, NaN or infinite", "scales must be positive numbers")
    scales = tuple(Fraction(float(s)) if s else Fraction(1) for s in wide)
    return scales[:1] if len(set(scales)) == 1 else scales


def grid_of(
    call: Call,
    scale: npt.NDArray[Any],
    zero: npt.NDArray[Any],
    dtype: np.dtype[Any],
    axis: int,
    shape: tuple[int, ...],
) -> Grid:
    """The grid of codes of ``dtype`` with one scale and zero point, or one of each per channel along ``axis``."""
    scales = fractions(call, scale)
    if dtype.name in MINIFLOATS:
        exponent, mantissa, bias, largest = MINIFLOATS[dtype.name]
        if zero.astype(np.float64).any():
            raise call.refuse("QC104", "a zero point with floating-point codes", "the zero point must be 0")
        quantizer: Quantizer = MiniFloatQuantizer.of(scales, exponent, mantissa, bias, largest)
        unit = Fraction(2) ** (1 - bias - mantissa)
    else:
        limits = limits_of(dtype)
        if limits is None:
            raise call.refuse(
                "QC104",
                f"codes of type {dtype.name}",
                "integers of 2 to 32 bits, float8, float6 and float4 are supported",
            )
        zeros = tuple(Fraction(int(z)) for z in zero.astype(np.int64).ravel())
        zeros = zeros[:1] if len(set(zeros)) == 1 else zeros
        quantizer, unit = Quantizer(scales, zeros, *limits), Fraction(1)
    if quantizer.channels == 1:
        return Grid(quantizer, None, unit)
    rank = len(shape)
    if not -rank <= axis < rank or shape[axis] != quantizer.channels:
        raise call.refuse(
            "QC107",
            f"{quantizer.channels} scales or zero points along axis {axis} of a tensor {list(shape)}",
            "give one, or one per position of the axis",
        )
    return Grid(quantizer, axis % rank, unit)


def channels_of(
    call: Call, shape: tuple[int, ...], *arrays: npt.NDArray[Any]
) -> tuple[int | None, tuple[npt.NDArray[Any], ...]]:
    """The one axis of ``shape`` along which broadcast parameters vary (None: none), and each as a vector."""
    rank = len(shape)
    axes: set[int] = set()
    for array in arrays:
        full = (1,) * (rank - array.ndim) + array.shape
        if len(full) > rank or any(n not in (1, shape[a]) for a, n in enumerate(full)):
            if array.size != 1:
                raise call.refuse(
                    "QC107",
                    f"parameters of shape {list(array.shape)} for a tensor {list(shape)}",
                    "they must broadcast to it",
                )
            continue
        axes |= {a for a, n in enumerate(full) if n > 1}
    if len(axes) > 1:
        raise call.refuse(
            "QC104",
            f"parameters that vary along the axes {sorted(axes)}",
            "one scale per tensor or per channel is supported",
        )
    return (axes.pop() if axes else None), tuple(array.ravel() for array in arrays)
