"""Every `Requantize` becomes its cheapest realisation without a multiplier, proved equal over its whole range.

Three are weighed by an estimate of their LUTs: multiply by a constant of few signed digits and shift
(`Rescale`), comparators (`Thresholds`), a table (`Lookup`). The exact function is known as the least
accumulator that reaches each code; a realisation is accepted only if it steps at exactly those places.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction
from math import floor
from typing import ClassVar

import numpy as np

from qcompile.errors import Collector
from qcompile.ir import integer
from qcompile.ir.array import Array
from qcompile.ir.graph import Graph, Level, Node
from qcompile.ir.integer import IntType
from qcompile.numerics.function import Affine, Clamp, Leaky, ScalarFunction, Thresholds, direction
from qcompile.numerics.rounding import Rounding
from qcompile.numerics.span import Span
from qcompile.passes.fit_line import Line, fit_line, signed_digits

_LARGEST_TABLE = 1 << 16
_MOST_LEVELS = 1 << 10
_FEW_DIGITS = 2  # signed digits of a factor that is taken as it is


@dataclass(frozen=True)
class RealizeRequantize:
    """Replace each requantization by a multiply-shift, comparators or a table of the same function."""

    name: ClassVar[str] = "realize_requantize"
    requires: ClassVar[Level] = integer.INTEGER
    ensures: ClassVar[Level] = integer.INTEGER

    def run(self, graph: Graph) -> Graph:
        found = Collector()

        def step(node: Node) -> list[Node] | None:
            if not isinstance(node.op, integer.Requantize):
                return None
            operand: IntType = graph.types[node.inputs[0]]
            split = _split_at_zero(node.op.function)
            if split is None:
                return [replace(node, op=_realized(node, node.op.function, operand, found))]
            parts = [
                replace(node, name=f"{node.name}_{side}", op=_realized(node, function, operand, found))
                for side, function in zip(("positive", "negative"), split, strict=True)
            ]
            return [*parts, replace(node, op=integer.Maximum(), inputs=tuple(p.name for p in parts))]

        result = graph.rewrite(step)
        found.check()
        return result


def _thresholds_of(function: ScalarFunction, span: Span, channel: int) -> Thresholds | None:
    """The channel's steps, unless it has none or too many to look at."""
    if function.span(span, channel).size > _LARGEST_TABLE:
        return None
    return function.thresholds(span, channel)


def _split_at_zero(function: ScalarFunction) -> tuple[ScalarFunction, ScalarFunction] | None:
    """A leaky ReLU with slopes in (0, 1) is the larger of two lines; rounding and clamping keep the order."""
    for place, step in enumerate(function.steps):
        if isinstance(step, Leaky) and all(0 < s < 1 for s in step.slope):
            after = function.steps[place + 1 :]
            if any(direction(after, c) != 1 for c in range(function.channels)):
                return None
            bent = Affine(step.slope, (Fraction(0),))
            before = function.steps[:place]
            flat = replace(function, steps=(*before, *after))
            return flat, replace(function, steps=(*before, bent, *after))
    return None


def _realized(node: Node, function: ScalarFunction, operand: IntType, found: Collector) -> integer.IntegerOp:
    shift = _shifted(function, operand)
    if shift is not None:
        return shift
    steps = [_thresholds_of(function, span, c) for c, span in enumerate(operand.spans)]
    candidates: list[tuple[float, integer.IntegerOp]] = []
    if all(t is not None for t in steps):
        monotone = [t for t in steps if t is not None]
        for realisation in (_rescale(function, operand, monotone), _thresholds(operand, monotone)):
            if realisation is not None:
                candidates.append((_luts(realisation, operand), realisation))
    if operand.span.size <= _LARGEST_TABLE:
        table = _lookup(function, operand, [t for t in steps if t is not None])
        candidates.append((_luts(table, operand), table))
    if candidates:
        return min(candidates, key=lambda c: c[0])[1]
    span = operand.span
    found.error(
        "QC301",
        ", ".join(f'"{name}"' for name in node.origin),
        f"the function of an accumulator in {span} is neither a line, nor of at most {_MOST_LEVELS} steps, "
        f"nor small enough for a table ({_LARGEST_TABLE} entries)",
        "quantize the accumulator to at most 16 bits before the nonlinearity",
    )
    return integer.Requantize(function)


def _shifted(function: ScalarFunction, operand: IntType) -> integer.Rescale | None:
    """A bare shift (or nothing at all), where the slope is a small integer over a power of two on every channel.

    ``floor((n * x + o) / 2**s)`` only sees the integer part of ``o``, so any bias is exact.
    """
    match function.steps:
        case (Affine() as line, *clamps) if all(isinstance(c, Clamp) for c in clamps):
            pass
        case _:
            return None
    quantizer = function.quantizer
    factors, offsets, shifts, ties = [], [], [], []
    for channel in range(function.channels):
        slope = line.scale[channel % len(line.scale)] / quantizer.scale_of(channel)
        if slope.denominator.bit_count() != 1 or signed_digits(slope.numerator) > _FEW_DIGITS:
            return None
        shift = slope.denominator.bit_length() - 1
        zero = quantizer.zero_of(channel)
        exact = (line.offset[channel % len(line.offset)] / quantizer.scale_of(channel) + zero) * (1 << shift)
        half_even = quantizer.rounding is Rounding.HALF_EVEN
        if half_even and not quantizer.zero_first and zero % 2:
            return None  # the parity that ties go by is that of the code without its zero point
        if not (half_even or quantizer.rounding in (Rounding.HALF_UP, Rounding.FLOOR)):
            return None
        ties.append(half_even and exact.denominator == 1 and shift > 0)
        half = Fraction(0) if quantizer.rounding is Rounding.FLOOR or ties[-1] else Fraction(1 << shift, 2)
        factors.append(slope.numerator)
        offsets.append(floor(exact + half))
        shifts.append(shift)
    if any(ties) and not all(ties):
        return None
    spans = [function.span(span, c) for c, span in enumerate(operand.spans)]
    low, high = min(s.low for s in spans), max(s.high for s in spans)
    rounding = Rounding.HALF_EVEN if any(ties) else Rounding.FLOOR
    return integer.Rescale(_shared(factors), _shared(offsets), _shared(shifts), low, high, rounding)


def _rescale(function: ScalarFunction, operand: IntType, steps: list[Thresholds]) -> integer.Rescale | None:
    if any(not isinstance(s, Affine) and direction((s,), 0) is None for s in function.steps):
        return None
    low = min(t.first - 1 for t in steps)
    high = max(t.first - 1 + len(t.at) for t in steps)
    for rounding in (Rounding.FLOOR, Rounding.HALF_EVEN):
        lines: list[Line] = []
        for step, span in zip(steps, operand.spans, strict=True):
            line = fit_line(step, span, (low, high), rounding)
            if line is None:
                break
            lines.append(line)
        else:
            return integer.Rescale(
                _shared([line.factor for line in lines]),
                _shared([line.offset for line in lines]),
                _shared([line.shift for line in lines]),
                low,
                high,
                rounding,
            )
    return None


def _thresholds(operand: IntType, steps: list[Thresholds]) -> integer.Thresholds | None:
    levels = max((len(t.at) for t in steps), default=0)
    if levels > _MOST_LEVELS or any(abs(v) >= 1 << 62 for t in steps for v in t.at):
        return None
    # Channels that reach fewer codes get thresholds that no accumulator reaches.
    beyond = max(max(abs(s.low), abs(s.high)) for s in operand.spans) + 1
    at = np.full((len(steps), levels), beyond, np.int64)
    for channel, step in enumerate(steps):
        at[channel, : len(step.at)] = [int(v) for v in step.at]
    return integer.Thresholds(Array(at), tuple(t.sign for t in steps), tuple(t.first - 1 for t in steps))


def _lookup(function: ScalarFunction, operand: IntType, steps: list[Thresholds]) -> integer.Lookup:
    span = operand.span
    shared = function.channels == 1 and len(set(operand.spans)) == 1
    rows = []
    for channel in range(1 if shared else operand.channels):
        own = operand.spans[channel]
        values = range(own.low, own.high + 1)
        if len(steps) == operand.channels:
            step = steps[channel]
            reached = np.searchsorted(step.at.astype(np.int64), step.sign * np.array(values), side="right")
            codes = (step.first - 1 + reached).tolist()
        else:
            codes = [function.code(value, channel) for value in values]
        before, after = own.low - span.low, span.high - own.high
        rows.append([codes[0]] * before + codes + [codes[-1]] * after)
    return integer.Lookup(Array(np.array(rows, np.int64)), span.low)


def _shared(values: list[int]) -> tuple[int, ...]:
    return tuple(values[:1]) if len(set(values)) == 1 else tuple(values)


def _luts(op: integer.IntegerOp, operand: IntType) -> float:
    """A rough LUT count, good enough to choose between realisations."""
    total = 0.0
    result = op.result_type(operand)
    for channel, span in enumerate(operand.spans):
        width, out = span.width, result.spans[channel].width
        match op:
            case integer.Rescale():
                factor, offset, _ = op.of(channel)
                adders = max(0, signed_digits(factor) - 1) + (offset != 0)
                adders += 2 if op.rounding is Rounding.HALF_EVEN else 0
                total += adders * (width + 2) + 1.5 * out
            case integer.Thresholds():
                levels = op.at.shape[1]
                total += levels * (width / 2 + 1)
            case integer.Lookup():
                total += out * max(1.0, span.size / 64)
    return total
