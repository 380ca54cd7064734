"""Every `Requantize` becomes its cheapest realisation without a multiplier, proved equal over its whole range.

Three are weighed by an estimate of their LUTs: multiply by a constant of few signed digits and shift
(`Rescale`), comparators (`Thresholds`), a table (`Lookup`). The exact function is known as the least
accumulator that reaches each code; a realisation is accepted only if it steps at exactly those places.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import pairwise
from math import ceil, floor
from typing import ClassVar

import numpy as np

from qcompile.errors import Collector
from qcompile.ir import integer
from qcompile.ir.array import Array
from qcompile.ir.graph import Graph, Level, Node
from qcompile.ir.integer import IntType
from qcompile.numerics.function import Affine, Clamp, Leaky, ScalarFunction, Step, Thresholds, append_step, direction
from qcompile.numerics.quantizer import Quantizer
from qcompile.numerics.rounding import Rounding
from qcompile.numerics.span import Span
from qcompile.passes.fit_float import fit_float
from qcompile.passes.fit_line import Line, fit_line, signed_digits

_LARGEST_TABLE = 1 << 16
_MOST_LEVELS = 1 << 10
_FEW_DIGITS = 2  # signed digits of a factor that is taken as it is
_FINE = 1 << 12  # codes of a grid so fine that a line to it has little freedom: the exact factor is taken as it is
_FEW_CODES = 4  # up to here comparators may be cheaper than a shift and a clamp
_WIDEST_LINE = 60  # bits of an accumulator for which a line is looked for


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
            halves = _split_at_zero(node.op.function) or _truncating(node.op.function)
            parts = [] if halves is None else [_realized(half, operand) for half in halves[1]]
            pair = [part for part in parts if part is not None] if None not in parts else []
            whole = None if pair and _finely(node.op.function, operand) else _realized(node.op.function, operand)
            cheaper = whole is None or sum(_luts(part, operand) for part in pair) < _luts(whole, operand)
            if halves is not None and pair and cheaper:
                return _joined(node, halves[0], pair)
            if whole is not None:
                return _named(node, whole, node.name)
            found.error(
                "QC301",
                ", ".join(f'"{name}"' for name in node.origin),
                f"the function of an accumulator in {operand.span} is neither a line, nor of at most {_MOST_LEVELS} "
                f"steps, nor small enough for a table ({_LARGEST_TABLE} entries)",
                "quantize the accumulator to at most 16 bits before the nonlinearity",
            )
            return None

        result = graph.rewrite(step)
        found.check()
        return result


Chain = tuple[integer.IntegerOp, ...]
"""Operations one behind the other."""


def _named(node: Node, chain: Chain, name: str) -> list[Node]:
    """The chain as nodes, of which the last is ``name``."""
    nodes: list[Node] = []
    source = node.inputs[0]
    for place, op in enumerate(chain):
        own = name if place == len(chain) - 1 else f"{name}_level"
        nodes.append(replace(node, name=own, op=op, inputs=(source,)))
        source = own
    return nodes


def _joined(node: Node, join: integer.IntegerOp, pair: list[Chain]) -> list[Node]:
    names = [f"{node.name}_{side}" for side in ("positive", "negative")]
    nodes = [part for chain, name in zip(pair, names, strict=True) for part in _named(node, chain, name)]
    return [*nodes, replace(node, op=join, inputs=tuple(names))]


def _thresholds_of(function: ScalarFunction, span: Span, channel: int) -> Thresholds | None:
    """The channel's steps, unless it has none or too many to look at."""
    reach = function.span(span, channel)
    if len(function.quantizer.codes_between(reach.low, reach.high)) > _LARGEST_TABLE:
        return None
    return function.thresholds(span, channel)


_Halves = tuple[integer.IntegerOp, tuple[ScalarFunction, ScalarFunction]]
"""Two simpler functions, and the operation that makes the whole of them."""


def _split_at_zero(function: ScalarFunction) -> _Halves | None:
    """A leaky ReLU with slopes up to 1 is the larger of two lines; rounding and clamping keep the order."""
    for place, step in enumerate(function.steps):
        if isinstance(step, Leaky) and all(s <= 1 for s in step.slope) and any(step.slope):
            after = function.steps[place + 1 :]
            if any(direction(after, c) != 1 for c in range(function.channels)):
                return None
            bent = Affine(step.slope, (Fraction(0),))
            before = function.steps[:place]
            flat = replace(function, steps=_merged((*before, *after)))
            return integer.Maximum(), (flat, replace(function, steps=_merged((*before, bent, *after))))
    return None


def _truncating(function: ScalarFunction) -> _Halves | None:
    """Rounding towards zero is rounding down above zero, and up below: one of the two is always 0."""
    quantizer = function.quantizer
    if quantizer.rounding is not Rounding.ZERO or any(quantizer.zero_point) or type(quantizer) is not Quantizer:
        return None
    if quantizer.span is None or not quantizer.span.signed:
        return None
    above = replace(quantizer, rounding=Rounding.FLOOR, low=0)
    below = replace(quantizer, rounding=Rounding.CEIL, high=0)
    halves = (replace(function, quantizer=above), replace(function, quantizer=below))
    return integer.WeightedSum(((1,), (1,)), (0,)), halves


def _merged(steps: tuple[Step, ...]) -> tuple[Step, ...]:
    result: tuple[Step, ...] = ()
    for step in steps:
        result = append_step(result, step)
    return result


def _realized(function: ScalarFunction, operand: IntType) -> Chain | None:
    """The cheapest realisation; None where there is none."""
    uniform = function.quantizer.every_integer
    shift = _shifted(function, operand) if uniform else None
    if shift is not None and shift.high - shift.low > _FEW_CODES:
        return (shift,)
    candidates: list[Chain] = [] if shift is None else [(shift,)]
    steps = [_thresholds_of(function, span, c) for c, span in enumerate(operand.spans)]
    monotone = [t for t in steps if t is not None]
    if len(monotone) == len(steps):
        line = _rescale(function, operand, monotone) if uniform and operand.span.width <= _WIDEST_LINE else None
        candidates += [] if line is None else [(line,)]
        comparators = _thresholds(operand, monotone)
        candidates += [] if comparators is None else [comparators]
        rounded = fit_float(function, operand, monotone) if operand.span.width <= _WIDEST_LINE else None
        candidates += [] if rounded is None else [rounded]
    if operand.span.size <= _LARGEST_TABLE:
        candidates.append((_lookup(function, operand, monotone),))
    return min(candidates, key=lambda chain: _luts(chain, operand), default=None)


def _shifted(function: ScalarFunction, operand: IntType) -> integer.Rescale | None:
    """A bare shift (or nothing at all), where the slope is an integer over a power of two on every channel.

    The integer must be small, unless the grid is fine. ``floor((n * x + o) / 2**s)`` only sees the integer part of
    ``o``, so any bias is exact.
    """
    match function.steps:
        case (Affine() as line, *clamps) if all(isinstance(c, Clamp) for c in clamps):
            pass
        case _:
            return None
    quantizer = function.quantizer
    fine = _finely(function, operand)
    factors, offsets, shifts, ties = [], [], [], []
    for channel in range(function.channels):
        slope = line.scale[channel % len(line.scale)] / quantizer.scale_of(channel)
        if slope.denominator.bit_count() != 1 or (signed_digits(slope.numerator) > _FEW_DIGITS and not fine):
            return None
        shift = slope.denominator.bit_length() - 1
        zero = quantizer.zero_of(channel)
        exact = (line.offset[channel % len(line.offset)] / quantizer.scale_of(channel) + zero) * (1 << shift)
        half_even = quantizer.rounding is Rounding.HALF_EVEN
        if half_even and not quantizer.zero_first and zero % 2:
            return None  # the parity that ties go by is that of the code without its zero point
        if not (half_even or quantizer.rounding in (Rounding.HALF_UP, Rounding.FLOOR, Rounding.CEIL)):
            return None
        ties.append(half_even and exact.denominator == 1 and shift > 0)
        factors.append(slope.numerator)
        if quantizer.rounding is Rounding.CEIL:
            offsets.append(ceil(exact) + (1 << shift) - 1)
        else:
            half = Fraction(0) if quantizer.rounding is Rounding.FLOOR or ties[-1] else Fraction(1 << shift, 2)
            offsets.append(floor(exact + half))
        shifts.append(shift)
    if any(ties) and not all(ties):
        return None
    spans = [function.span(span, c) for c, span in enumerate(operand.spans)]
    low, high = min(s.low for s in spans), max(s.high for s in spans)
    rounding = Rounding.HALF_EVEN if any(ties) else Rounding.FLOOR
    return integer.Rescale(_shared(factors), _shared(offsets), _shared(shifts), low, high, rounding)


def _finely(function: ScalarFunction, operand: IntType) -> bool:
    """Whether some channel's codes lie on a grid with a great many of them."""
    quantizer = function.quantizer
    return quantizer.span is not None and quantizer.span.size > _FINE and operand.span.size > _FEW_CODES


def _rescale(function: ScalarFunction, operand: IntType, steps: list[Thresholds]) -> integer.Rescale | None:
    if any(not isinstance(s, Affine) and direction((s,), 0) is None for s in function.steps):
        return None
    low = min(t.bottom for t in steps)
    high = max(t.top for t in steps)
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


def _thresholds(operand: IntType, steps: list[Thresholds]) -> Chain | None:
    """Comparators that count up to the code; where codes are unevenly spaced, a table of the count behind them."""
    reached = [t.reached() for t in steps]
    codes = sorted({int(code) for t in reached for code in (t.bottom, *t.codes)})
    gaps = {b - a for a, b in pairwise(codes)} or {1}
    step = gaps.pop() if len(gaps) == 1 else 0
    even = step.bit_count() == 1
    place = {code: number for number, code in enumerate(codes)}
    rows = []
    for t in reached:
        # One comparator per code of the tensor; codes that this channel skips come with the next one.
        numbers = np.array([place[int(code)] for code in t.codes], np.int64)
        after = np.arange(place[t.bottom] + 1, place[t.top] + 1)
        rows.append(t.at[np.searchsorted(numbers, after)])
    levels = max(len(row) for row in rows)
    if levels > _MOST_LEVELS:
        return None
    # Channels that reach fewer codes get thresholds that no accumulator reaches.
    beyond = max(max(abs(s.low), abs(s.high)) for s in operand.spans) + 1
    at = np.full((len(rows), levels), beyond, object)
    for channel, row in enumerate(rows):
        at[channel, : len(row)] = [int(v) for v in row]
    bases = _shared([t.bottom if even else place[t.bottom] for t in steps])
    signs = _shared([t.sign for t in steps])
    if (at == at[:1]).all():
        at = at[:1]
    counted = integer.Thresholds(Array(at), signs, bases, step if even else 1)
    if even:
        return (counted,)
    return counted, integer.Lookup(Array(np.array([codes], np.int64)), 0)


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
            codes = np.append(step.bottom, step.codes)[reached].tolist()
        else:
            codes = [function.code(value, channel) for value in values]
        before, after = own.low - span.low, span.high - own.high
        rows.append([codes[0]] * before + codes + [codes[-1]] * after)
    return integer.Lookup(Array(np.array(rows, np.int64)), span.low)


def _shared(values: list[int]) -> tuple[int, ...]:
    return tuple(values[:1]) if len(set(values)) == 1 else tuple(values)


def _luts(chain: Chain, operand: IntType) -> float:
    """A rough LUT count, good enough to choose between realisations."""
    total = 0.0
    for op in chain:
        result = op.result_type(operand)
        total += sum(_channel_luts(op, c, operand, result) for c in range(operand.channels))
        operand = result
    return total


def _channel_luts(op: integer.IntegerOp, channel: int, operand: IntType, result: IntType) -> float:
    width, out = operand.spans[channel].width, result.spans[channel].width
    match op:
        case integer.Rescale():
            factor, offset, _ = op.of(channel)
            adders = max(0, signed_digits(factor) - 1) + (offset != 0)
            adders += 2 if op.rounding is Rounding.HALF_EVEN else 0
            return adders * (width + 2) + 1.5 * out
        case integer.RoundSignificand():
            binades = max(1, width - op.bits - op.shift + 1)
            return (4 if op.rounding is Rounding.HALF_UP else 7) * binades
        case integer.Thresholds():
            return op.at.shape[1] * (width / 5 + 0.7)
        case integer.Lookup():
            return out * max(1.0, operand.span.size / 64)
    return 0.0
