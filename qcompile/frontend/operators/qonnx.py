"""QONNX: Quant, BipolarQuant, FloatQuant, Trunc, MultiThreshold, as Brevitas, QKeras and FINN write them.

Semantics after the reference of the qonnx project (`qonnx.custom_op.general`), with exact rationals.
"""

from __future__ import annotations

from fractions import Fraction
from math import log2

from qcompile.frontend.builder import as_float64
from qcompile.frontend.call import Call
from qcompile.frontend.grids import channels_of, fractions
from qcompile.frontend.registry import QONNX, operator
from qcompile.frontend.values import Grid, Known, Live, Value
from qcompile.ir import model
from qcompile.numerics.bipolar import BipolarQuantizer
from qcompile.numerics.minifloat import MiniFloatQuantizer
from qcompile.numerics.quantizer import Quantizer
from qcompile.numerics.rounding import Rounding, round_exact
from qcompile.numerics.thresholds import ThresholdQuantizer

ROUNDINGS = {
    "ROUND": Rounding.HALF_EVEN,
    "HALF_EVEN": Rounding.HALF_EVEN,
    "CEIL": Rounding.CEIL,
    "FLOOR": Rounding.FLOOR,
    "UP": Rounding.AWAY,
    "DOWN": Rounding.ZERO,
    "ROUND_TO_ZERO": Rounding.ZERO,
    "HALF_UP": Rounding.HALF_AWAY,
    "HALF_DOWN": Rounding.HALF_ZERO,
}


def _rounding(call: Call, default: str = "ROUND") -> Rounding:
    name = str(call.attribute("rounding_mode", default)).upper()
    if name not in ROUNDINGS:
        raise call.refuse("QC104", f"rounding_mode {name}", f"one of {', '.join(ROUNDINGS)} is supported")
    return ROUNDINGS[name]


def _on_grid(call: Call, x: Known | Live, grid: Grid) -> Value:
    """``x`` behind the quantizer; a known tensor keeps its exact values in front of it."""
    if isinstance(x, Live):
        return call.quantize(call.as_real(x), grid)
    return Known(as_float64(x.plain(), x.name), x.name, x.dtype, grid, origin=(*x.origin, call.name))


def _limits(call: Call, bits: float, signed: bool, narrow: bool) -> tuple[int, int]:
    """QONNX clamps before rounding, to bounds that need not be integers; rounded, they bound the codes."""
    if not 1 <= bits <= 64:
        raise call.refuse("QC104", f"a bit width of {bits:g}", "1 to 64 bits are supported")
    top = Fraction(2.0 ** (bits - 1)) if signed else Fraction(2.0**bits)
    high = top - 1 if signed or not narrow else top - 2
    low = (1 - top if narrow else -top) if signed else Fraction(0)
    rounding = _rounding(call)
    return round_exact(low, rounding), round_exact(high, rounding)


@operator("Quant", "IntQuant", domain=QONNX, folds=False)
def quant(call: Call) -> Value:
    """``(round(clamp(x / scale + zero)) - zero) * scale``: the zero point is added before rounding."""
    x = call.value(0)
    axis, (scale, zero) = channels_of(
        call, x.shape, call.constant(1, "scale"), as_float64(call.constant(2, "zero point"), call.name)
    )
    bits = call.number(3, "bit width")
    signed, narrow = bool(call.attribute("signed", 1)), bool(call.attribute("narrow", 1))
    scales = fractions(call, scale)
    zeros = tuple(Fraction(float(z)) for z in zero)
    zeros = zeros[:1] if len(set(zeros)) == 1 else zeros
    if bits == 1 and signed:
        quantizer: Quantizer = BipolarQuantizer(scales, zeros)
    else:
        low, high = _limits(call, bits, signed, narrow)
        # With an integer zero point both orders of adding it give the same code, except at ties.
        quantizer = Quantizer(scales, zeros, low, high, _rounding(call), zero_first=any(zeros))
    call.dialects.add("qonnx")
    return _on_grid(call, x, Grid(quantizer, axis if quantizer.channels > 1 else None))


@operator("BipolarQuant", domain=QONNX, folds=False)
def bipolar_quant(call: Call) -> Value:
    """``scale`` where ``x >= 0``, else ``-scale``."""
    x = call.value(0)
    axis, (scale,) = channels_of(call, x.shape, call.constant(1, "scale"))
    quantizer = BipolarQuantizer(fractions(call, scale))
    call.dialects.add("qonnx")
    return _on_grid(call, x, Grid(quantizer, axis if quantizer.channels > 1 else None))


@operator("FloatQuant", domain=QONNX, folds=False)
def float_quant(call: Call) -> Value:
    """A minifloat that saturates at the smaller of ``max_val`` and the greatest number with all exponents in use.

    As in the reference, has_subnormal, has_inf and has_nan do not change a saturating conversion.
    """
    x = call.value(0)
    axis, (scale,) = channels_of(call, x.shape, call.constant(1, "scale"))
    exponent, mantissa, bias = (
        call.number(i, what) for i, what in ((2, "exponent bit width"), (3, "mantissa bit width"), (4, "exponent bias"))
    )
    if any(v != int(v) for v in (exponent, mantissa, bias)):
        raise call.refuse(
            "QC104",
            f"exponent {exponent:g} bits, mantissa {mantissa:g} bits, bias {bias:g}",
            "whole numbers are supported; move a fractional bias into the scale",
        )
    if not call.attribute("saturation", 1):
        raise call.refuse("QC104", "saturation=0", "saturating formats are supported; export with saturation=1")
    e, m, b = int(exponent), int(mantissa), int(bias)
    if not (1 <= e <= 8 and 0 <= m <= 23 and abs(b) <= 1024):
        raise call.refuse(
            "QC104",
            f"exponent {e} bits, mantissa {m} bits, bias {b}",
            "1 to 8 exponent bits, up to 23 mantissa bits and a bias within 1024 are supported",
        )
    largest = (2 - Fraction(1, 2**m)) * Fraction(2) ** (2**e - 1 - b)
    if call.has(5) and call.constant(5, "max_val").size:
        largest = min(largest, Fraction(call.number(5, "max_val")))
    try:
        quantizer = MiniFloatQuantizer.of(fractions(call, scale), e, m, b, largest, _rounding(call))
    except ValueError as error:
        raise call.refuse("QC104", f"max_val: {error}", "use a max_val that the format can represent") from None
    call.dialects.add("qonnx")
    return _on_grid(call, x, Grid(quantizer, axis if quantizer.channels > 1 else None))


@operator("Trunc", domain=QONNX, folds=False)
def trunc(call: Call) -> Value:
    """Drops low bits of an integer. Version 1 has five inputs, version 2 seven and clamps.

    Version 1: ``(round(q / 2**(in_bits - out_bits)) - zero) * scale`` with ``q = rint(x / scale + zero)``;
    the scale stays, so the values shrink. Version 2: ``q / t`` is clamped, rounded, and read with the output
    scale and the zero point ``zero / t``, where ``t`` is the power of two nearest output scale / scale.
    """
    x = call.real(0)
    scale, zero = Fraction(call.number(1, "scale")), Fraction(call.number(2, "zero point"))
    call.dialects.add("qonnx")
    rounding = _rounding(call, "FLOOR")
    integer = call.quantize(x, Grid(Quantizer((scale,), (zero,), zero_first=True)), part="input")
    if len(call.node.input) < 7:
        dropped = call.number(3, "input bit width") - call.number(4, "output bit width")
        if not abs(dropped) <= 64:
            raise call.refuse("QC104", f"{dropped:g} bits to drop", "up to 64 bits are supported")
        t = Fraction(2) ** int(dropped)
        low = high = None
        out_scale, out_zero = scale, zero
    else:
        out_scale = Fraction(call.number(4, "output scale"))
        t = Fraction(2) ** round(log2(out_scale / scale))
        low, high = _limits(
            call,
            call.number(6, "output bit width"),
            bool(call.attribute("signed", 1)),
            bool(call.attribute("narrow", 0)),
        )
        out_zero = zero / t
    fine = Quantizer((scale * t,), (zero / t,), low, high, rounding, zero_first=True)
    result = call.quantize(integer, Grid(fine))
    # The grid's own reading is scale * t * (code - zero / t); the operator may read the code otherwise.
    factor = out_scale / (scale * t)
    if factor != 1:
        result = call.emit(model.Mul(), result, call.scalar(float(out_scale), "out_scale"), part="scaled")
        result = call.emit(model.Div(), result, call.scalar(float(scale * t), "in_scale"), part="rescaled")
    shift = out_scale * (zero / t - out_zero)
    if shift:
        result = call.emit(model.Add(), result, call.scalar(float(shift), "offset"), part="shifted")
    return result


@operator("MultiThreshold", domain=QONNX, folds=False)
def multi_threshold(call: Call) -> Value:
    """``out_scale * #{t : x >= t} + out_bias``, thresholds [channels or 1, steps]."""
    x = call.value(0)
    rows = as_float64(call.constant(1, "thresholds"), call.name)
    if rows.ndim != 2 or not rows.size:
        raise call.refuse("QC107", f"thresholds of shape {list(rows.shape)}", "they must be [channels, steps]")
    rank = len(x.shape)
    last = call.attribute("data_layout", "NCHW") in ("NHWC", "NWC", "NC")
    axis = rank - 1 if last or (rank not in (2, 4) and x.shape[-1] == rows.shape[0]) else min(1, rank - 1)
    if rows.shape[0] not in (1, x.shape[axis]):
        raise call.refuse(
            "QC107", f"{rows.shape[0]} rows of thresholds for {x.shape[axis]} channels", "fix the thresholds"
        )
    scale = Fraction(call.attribute("out_scale", 1.0))
    if scale <= 0:
        raise call.refuse("QC104", f"out_scale {float(scale):g}", "a positive out_scale is supported")
    at = tuple(tuple(Fraction(float(t)) for t in row) for row in rows)
    quantizer = ThresholdQuantizer.of(at, scale, Fraction(call.attribute("out_bias", 0.0)))
    call.dialects.add("multithreshold")
    return _on_grid(call, x, Grid(quantizer, axis if quantizer.channels > 1 else None))
