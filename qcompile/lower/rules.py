"""How each integer operation becomes datapath: one rule per operation, on the lanes of one beat."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from qcompile.ir import datapath, integer
from qcompile.ir.array import Array
from qcompile.ir.integer import IntegerOp
from qcompile.lower.build import Builder, Lanes, Term
from qcompile.lower.counting import count_steps
from qcompile.lower.product import product_of
from qcompile.numerics.rounding import Rounding
from qcompile.numerics.span import Span

Rule = Callable[..., Lanes]


def _matmul(build: Builder, op: integer.MatMul, x: Lanes) -> Lanes:
    return build.product(op.weights.values.tolist(), x, "sum")


def _conv(build: Builder, op: integer.Conv, window: Lanes) -> Lanes:
    """``window``: the lanes of one window, [kernel rows, kernel columns, channels] row-major."""
    rows, columns, per, outs = op.weights.shape
    lanes = np.arange(len(window)).reshape(rows, columns, op.groups, per)
    each = outs // op.groups
    result: Lanes = []
    for group in range(op.groups):
        chosen = [window[i] for i in lanes[:, :, group].ravel().tolist()]
        block = op.weights.values[..., group * each : (group + 1) * each].reshape(-1, each)
        result += build.product(block.tolist(), chosen, "sum")
    return result


def _sum_pool(build: Builder, op: integer.SumPool, window: Lanes) -> Lanes:
    count = op.window.kernel[0] * op.window.kernel[1]
    channels = len(window) // count
    ones = [[1]] * count
    return [build.product(ones, window[c::channels], "sum")[0] for c in range(channels)]


def _max_pool(build: Builder, op: integer.MaxPool, window: Lanes) -> Lanes:
    count = op.window.kernel[0] * op.window.kernel[1]
    channels = len(window) // count
    return [Term(_largest(build, [build.value(t, "max") for t in window[c::channels]])) for c in range(channels)]


def _largest(build: Builder, values: list[str]) -> str:
    while len(values) > 1:
        pairs = [
            build.add("max_", datapath.Maximum(), *values[k : k + 2]) if k + 1 < len(values) else values[k]
            for k in range(0, len(values), 2)
        ]
        values = pairs
    return values[0]


def _weighted_sum(build: Builder, op: integer.WeightedSum, *operands: Lanes) -> Lanes:
    result: Lanes = []
    for channel in range(len(operands[0])):
        terms = [x[channel] for x in operands]
        factors = [[op.factor(k, channel)] for k in range(len(operands))]
        (total,) = build.product(factors, terms, "sum")
        offset = op.offsets[channel % len(op.offsets)]
        result.append(_plus(build, total, offset))
    return result


def _plus(build: Builder, term: Term, offset: int) -> Term:
    if offset == 0:
        return term
    return Term(build.add("biased_", datapath.AddConstant(offset), build.value(term, "sum")))


def _maximum(build: Builder, op: integer.Maximum, a: Lanes, b: Lanes) -> Lanes:
    return [
        Term(build.add("max_", datapath.Maximum(), build.value(p, "max"), build.value(q, "max")))
        for p, q in zip(a, b, strict=True)
    ]


def _product(build: Builder, op: integer.Product, a: Lanes, b: Lanes) -> Lanes:
    return [
        Term(product_of(build, p.node, q.node), p.shift + q.shift, p.negate != q.negate)
        for p, q in zip(a, b, strict=True)
    ]


def _xnor(build: Builder, op: integer.Xnor, a: Lanes, b: Lanes) -> Lanes:
    return [
        Term(build.add("equal_", datapath.Xnor(), build.value(p, "equal"), build.value(q, "equal")))
        for p, q in zip(a, b, strict=True)
    ]


def _select(build: Builder, op: integer.Select, condition: Lanes, a: Lanes, b: Lanes) -> Lanes:
    return [
        Term(build.add("chosen_", datapath.Select(), *(build.value(t, "choice") for t in lanes)))
        for lanes in zip(condition, a, b, strict=True)
    ]


def _rescale(build: Builder, op: integer.Rescale, x: Lanes) -> Lanes:
    result: Lanes = []
    for channel, lane in enumerate(x):
        factor, offset, shift = op.of(channel)
        scaled = build.scaled(lane, factor, "scaled")
        half_even = op.rounding is Rounding.HALF_EVEN
        # (v << k) + offset loses nothing when floor drops the offset's low bits with v's zeros.
        drop = 0 if half_even and offset % (1 << min(scaled.shift, shift)) else min(scaled.shift, shift)
        scaled = Term(scaled.node, scaled.shift - drop, scaled.negate)
        offset, shift = offset >> drop, shift - drop
        node = build.value(scaled, "scaled")
        if offset:
            node = build.add("biased_", datapath.AddConstant(offset), node)
        if shift:
            rounding = datapath.RoundEven(shift) if half_even else datapath.ShiftRight(shift)
            node = build.add("rounded_", rounding, node)
        result.append(Term(_clamped(build, node, op.low, op.high)))
    return result


def _clamped(build: Builder, node: str, low: int, high: int) -> str:
    if Span(low, high).holds(build.spans[node]):
        return node
    return build.add("code_", datapath.Clamp(low, high), node)


def _round_significand(build: Builder, op: integer.RoundSignificand, x: Lanes) -> Lanes:
    rounding = datapath.RoundSignificand(op.bits, op.shift, op.rounding)
    return [Term(build.add("float_", rounding, build.value(lane, "exact"))) for lane in x]


def _thresholds(build: Builder, op: integer.Thresholds, x: Lanes) -> Lanes:
    result: Lanes = []
    for channel, lane in enumerate(x):
        sign = op.sign[channel % len(op.sign)]
        # sign * ±(v << k) >= t  is  ±v >= ceil(t / 2**k)
        negate = lane.negate != (sign < 0)
        base = op.base[channel % len(op.base)]
        bits: list[str] = []
        for threshold in op.at.values[channel % op.at.shape[0]].tolist():
            least = -(-threshold >> lane.shift)
            span = build.spans[lane.node]
            # -v >= t  is  not v >= 1 - t
            least = 1 - least if negate else least
            if least <= span.low or least > span.high:
                base += op.step * ((least <= span.low) != negate)
                continue
            bits.append(build.add("reached_", datapath.AtLeast(least), lane.node))
        result.append(_counted(build, bits, base, op.step, negate))
    return result


def _counted(build: Builder, bits: list[str], base: int, step: int, inverted: bool) -> Term:
    """``base + step * (number of bits set)``, of bits clear where ``inverted``; set ones come first, or then last."""
    if not bits:
        return build.constant(base)
    node = count_steps(build, bits[::-1] if inverted else bits)
    shift = step.bit_length() - 1
    if 1 << shift != step:
        raise ValueError(f"codes {step} apart: only powers of two have a datapath")
    if inverted:
        base += step * len(bits)
    node = build.value(Term(node, shift, inverted), "count")
    return Term(build.add("code_", datapath.AddConstant(base), node) if base else node)


def _lookup(build: Builder, op: integer.Lookup, x: Lanes) -> Lanes:
    result: Lanes = []
    for channel, lane in enumerate(x):
        node = build.value(lane, "index")
        row = op.table.values[channel % op.table.shape[0]]
        reachable = Span(op.low, op.low + len(row) - 1)
        if not reachable.holds(build.spans[node]):  # a stream whose lanes are all as wide as the widest
            node = build.add("index_", datapath.Clamp(reachable.low, reachable.high), node)
        span = build.spans[node]
        table = Array(row[span.low - op.low : span.high - op.low + 1])
        result.append(Term(build.add("code_", datapath.Lookup(table, span.low), node)))
    return result


def _gather(build: Builder, op: integer.Gather, x: Lanes) -> Lanes:
    return [x[i] for i in op.order.values.ravel().tolist()]


def _concat(build: Builder, op: integer.Concat, *operands: Lanes) -> Lanes:
    return [lane for x in operands for lane in x]


def _argmax(build: Builder, op: integer.ArgMax, x: Lanes) -> Lanes:
    """A knock-out of neighbours; the left one wins ties, so the first index does."""
    players = [(build.value(lane, "score"), build.constant(k).node) for k, lane in enumerate(x)]
    while len(players) > 1:
        winners = []
        for k in range(0, len(players) - 1, 2):
            (a, i), (b, j) = players[k], players[k + 1]
            right = build.add("right_wins_", datapath.Greater(), b, a)
            winners.append(
                (build.add("max_", datapath.Maximum(), a, b), build.add("index_", datapath.Select(), right, j, i))
            )
        players = winners + players[len(players) - len(players) % 2 :]
    return [Term(players[0][1])]


RULES: dict[type[IntegerOp], Any] = {
    integer.MatMul: _matmul,
    integer.Conv: _conv,
    integer.SumPool: _sum_pool,
    integer.MaxPool: _max_pool,
    integer.WeightedSum: _weighted_sum,
    integer.Maximum: _maximum,
    integer.Product: _product,
    integer.Xnor: _xnor,
    integer.Select: _select,
    integer.Rescale: _rescale,
    integer.RoundSignificand: _round_significand,
    integer.Thresholds: _thresholds,
    integer.Lookup: _lookup,
    integer.Gather: _gather,
    integer.Concat: _concat,
    integer.ArgMax: _argmax,
}
