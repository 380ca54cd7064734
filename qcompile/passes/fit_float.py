"""An accumulator to the codes of a minifloat: a line to twice the finest grid, then one rounding of the significand."""

from __future__ import annotations

import numpy as np

from qcompile.ir import integer
from qcompile.ir.integer import IntType
from qcompile.numerics.function import Affine, Clamp, Ints, ScalarFunction, Thresholds
from qcompile.numerics.minifloat import MiniFloatQuantizer
from qcompile.numerics.rounding import Rounding
from qcompile.passes.fit_line import Line, fit_points, signed_digits

Pair = tuple[integer.Rescale, integer.RoundSignificand]

_MOST_DIGITS = 3
"""Signed digits of a factor that is taken as it is, where ties must be seen exactly."""


def fit_float(function: ScalarFunction, operand: IntType, steps: list[Thresholds]) -> Pair | None:
    """The function as a `Rescale` and a `RoundSignificand` that step exactly where it does; None where none do.

    ``steps``: those of every channel. Where no accumulator meets a tie that goes down, or every one does, ties may
    go up, and half a step of the finest grid is all that the line must resolve. Elsewhere the line is exact.
    """
    quantizer = function.quantizer
    nearest = (Rounding.HALF_EVEN, Rounding.HALF_UP, Rounding.HALF_DOWN, Rounding.HALF_AWAY, Rounding.HALF_ZERO)
    if not isinstance(quantizer, MiniFloatQuantizer) or quantizer.rounding not in nearest or any(quantizer.zero_point):
        return None
    low, high = min(t.bottom for t in steps), max(t.top for t in steps)
    bits = quantizer.mantissa_bits + 1
    for made in (_ties_up(quantizer, operand, steps, (low, high)), _exact(function, operand)):
        if made is None:
            continue
        lines, shift, rounding = made
        rescale = integer.Rescale(
            _shared([line.factor for line in lines]),
            _shared([line.offset for line in lines]),
            _shared([line.shift for line in lines]),
            low << shift,
            high << shift,
        )
        pair = (rescale, integer.RoundSignificand(bits, shift, rounding))
        if _steps_alike(pair, operand, steps):
            return pair
    return None


def _ties_up(
    quantizer: MiniFloatQuantizer, operand: IntType, steps: list[Thresholds], clamp: tuple[int, int]
) -> tuple[list[Line], int, Rounding] | None:
    """Lines to halves of a code; the boundaries of codes are integers there."""
    lines = []
    for channel, (step, span) in enumerate(zip(steps, operand.spans, strict=True)):

        def boundary(code: int, channel: int = channel) -> int:
            return int(2 * quantizer.least_value(code, channel)[0] / quantizer.scale_of(channel))

        low, high = (span.low, span.high) if step.sign > 0 else (-span.high, -span.low)
        codes = np.array([boundary(int(code)) for code in step.codes], object)
        reach, stay = [(step.at, codes)], [(step.at - 1, codes)]
        if step.bottom > clamp[0]:
            reach.append((np.array([low], object), np.array([boundary(step.bottom)], object)))
        if step.top < clamp[1]:
            above = quantizer.codes_between(step.top, step.top + (1 << step.top.bit_length()) + 1)[1]
            stay.append((np.array([high], object), np.array([boundary(above)], object)))
        if step.bottom == step.top:
            lines.append(Line(0, 2 * step.bottom, 0))
            continue
        line = fit_points(_joined(reach), _joined(stay), step.sign, Rounding.FLOOR)
        if line is None:
            return None
        lines.append(line)
    return lines, 1, Rounding.HALF_UP


def _joined(parts: list[tuple[Ints, Ints]]) -> tuple[Ints, Ints]:
    return np.concatenate([at for at, _ in parts]), np.concatenate([codes for _, codes in parts])


def _exact(function: ScalarFunction, operand: IntType) -> tuple[list[Line], int, Rounding] | None:
    """The line itself, where it is a small integer over a power of two with an offset on the same grid."""
    match function.steps:
        case (Affine() as line, *clamps) if all(isinstance(c, Clamp) for c in clamps):
            pass
        case _:
            return None
    quantizer = function.quantizer
    slopes, offsets = [], []
    for channel in range(operand.channels):
        scale = quantizer.scale_of(channel)
        slopes.append(line.scale[channel % len(line.scale)] / scale)
        offsets.append(line.offset[channel % len(line.offset)] / scale)
    unit = max(v.denominator for v in (*slopes, *offsets))
    if any(unit % v.denominator for v in (*slopes, *offsets)) or unit.bit_count() != 1:
        return None
    if any(signed_digits(abs(slope.numerator)) > _MOST_DIGITS for slope in slopes):
        return None
    lines = [Line(int(s * unit), int(o * unit), 0) for s, o in zip(slopes, offsets, strict=True)]
    return lines, unit.bit_length() - 1, Rounding.HALF_EVEN


def _steps_alike(pair: Pair, operand: IntType, steps: list[Thresholds]) -> bool:
    """Whether both operations give the code of every accumulator: looked at on both sides of every step."""
    rescale, rounding = pair
    for channel, (step, span) in enumerate(zip(steps, operand.spans, strict=True)):
        reached = step.reached()
        wanted = [step.bottom, *reached.codes.tolist()]
        starts = [span.low if step.sign > 0 else -span.high, *reached.at.tolist()]
        stops = [*(at - 1 for at in starts[1:]), span.high if step.sign > 0 else -span.low]
        for code, first, last in zip(wanted, starts, stops, strict=True):
            for place in (first, last) if first <= last else ():
                if rounding.code(rescale.code(step.sign * place, channel)) != code:
                    return False
    return True


def _shared(values: list[int]) -> tuple[int, ...]:
    return tuple(values[:1]) if len(set(values)) == 1 else tuple(values)
