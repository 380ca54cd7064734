"""What every integer operation means in the rationals, in loops of its own: nothing here calls the operation.

A law gives two lists that must be equal: the operation's result, decoded, and the real-valued meaning of the
operation on decoded operands. Codes are decoded as ``scale * (code - zero)`` with scales chosen here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from fractions import Fraction as Q
from itertools import product
from math import floor, prod
from typing import Any

import numpy.typing as npt

from qcompile.numerics.function import Affine, Clamp, Curve, Leaky
from qcompile.numerics.rounding import Rounding

Ints = npt.NDArray[Any]
Pair = tuple[list[Any], list[Any]]
UNIT, WEIGHT_UNIT = Q(3, 10), Q(1, 7)


def _inside(window: Any, shape: tuple[int, ...], row: int, column: int) -> Iterator[tuple[int, int, int, int]]:
    """Kernel row and column, image row and column of the window's elements that lie in the image."""
    for i, j in product(range(window.kernel[0]), range(window.kernel[1])):
        y = row * window.strides[0] - window.pads[0] + i * window.dilations[0]
        x = column * window.strides[1] - window.pads[1] + j * window.dilations[1]
        if 0 <= y < shape[0] and 0 <= x < shape[1]:
            yield i, j, y, x


def _conv(op: Any, result: Ints, x: Ints) -> Pair:
    """Padding is real zero, whose code is ``fill``; the zero point's share is known from the weights alone."""
    w, fill = op.weights.values, op.fill
    outs, per = w.shape[3], w.shape[2]
    found, meant = [], []
    for row, column, out in product(*map(range, result.shape)):
        total = sum(int(w[i, j, k, out]) for i, j, k in product(*map(range, w.shape[:3])))
        found.append((int(result[row, column, out]) - fill * total) * UNIT * WEIGHT_UNIT)
        first = out // (outs // op.groups) * per
        meant.append(
            sum(
                (
                    UNIT * (int(x[y, z, first + k]) - fill) * (WEIGHT_UNIT * int(w[i, j, k, out]))
                    for i, j, y, z in _inside(op.window, x.shape, row, column)
                    for k in range(per)
                ),
                Q(0),
            )
        )
    return found, meant


def _matmul(op: Any, result: Ints, x: Ints) -> Pair:
    w = op.weights.values
    rows = x.reshape(-1, x.shape[-1]).tolist()
    meant = [
        sum((UNIT * row[i] * WEIGHT_UNIT * int(w[i, out]) for i in range(len(row))), Q(0))
        for row in rows
        for out in range(w.shape[1])
    ]
    return [v * UNIT * WEIGHT_UNIT for v in result.ravel().tolist()], meant


def _max_pool(op: Any, result: Ints, x: Ints) -> Pair:
    meant = [
        max(UNIT * int(x[y, z, channel]) for _, _, y, z in _inside(op.window, x.shape, row, column))
        for row, column, channel in product(*map(range, result.shape))
    ]
    return [UNIT * v for v in result.ravel().tolist()], meant


def _sum_pool(op: Any, result: Ints, x: Ints) -> Pair:
    count = prod(op.window.kernel)
    meant = [
        sum((UNIT * (int(x[y, z, c]) - op.fill) for _, _, y, z in _inside(op.window, x.shape, row, column)), Q(0))
        for row, column, c in product(*map(range, result.shape))
    ]
    return [UNIT * (v - op.fill * count) for v in result.ravel().tolist()], meant


def _weighted_sum(op: Any, result: Ints, *operands: Ints) -> Pair:
    """Operand k has the scale ``factors[k] * UNIT``: on the common unit the sum is exact."""
    channels = result.shape[-1]
    meant = []
    for place in range(result.size):
        c = place % channels
        scales = [UNIT * factors[c % len(factors)] for factors in op.factors]
        terms = [scale * int(x.flat[place]) for scale, x in zip(scales, operands, strict=True)]
        meant.append(sum(terms, UNIT * op.offsets[c % len(op.offsets)]))
    return [UNIT * v for v in result.ravel().tolist()], meant


def _maximum(op: Any, result: Ints, a: Ints, b: Ints) -> Pair:
    pairs = zip(a.ravel().tolist(), b.ravel().tolist(), strict=True)
    return result.ravel().tolist(), [sorted(pair)[1] for pair in pairs]


def _product(op: Any, result: Ints, a: Ints, b: Ints) -> Pair:
    pairs = zip(a.ravel().tolist(), b.ravel().tolist(), strict=True)
    meant = [UNIT * p * (WEIGHT_UNIT * q) for p, q in pairs]
    return [v * UNIT * WEIGHT_UNIT for v in result.ravel().tolist()], meant


def _xnor(op: Any, result: Ints, a: Ints, b: Ints) -> Pair:
    """A product of signs."""
    signs = [[2 * v - 1 for v in x.ravel().tolist()] for x in (result, a, b)]
    return signs[0], [p * q for p, q in zip(*signs[1:], strict=True)]


def _select(op: Any, result: Ints, *operands: Ints) -> Pair:
    """On bits the choice is a sum of products."""
    rows = zip(*(x.ravel().tolist() for x in operands), strict=True)
    return result.ravel().tolist(), [condition * a + (1 - condition) * b for condition, a, b in rows]


def _real(step: Any, value: Q, channel: int) -> Q:
    match step:
        case Affine(scale, offset):
            return value * scale[channel % len(scale)] + offset[channel % len(offset)]
        case Clamp(low, high):
            return min(v for v in (max(v for v in (value, low) if v is not None), high) if v is not None)
        case Leaky(slope):
            return value * (1 if value >= 0 else slope[channel % len(slope)])
        case Curve("sigmoid"):
            # A power series of exp(-|x|) in rationals; 60 terms for |x| <= 8 are good to 2^-80.
            power, term = Q(0), Q(1)
            for k in range(1, 61):
                power, term = power + term, term * abs(value) / k
            return power / (1 + power) if value >= 0 else 1 / (1 + power)
    raise AssertionError(step)


def _requantize(op: Any, result: Ints, x: Ints) -> Pair:
    """The nearest code, found by looking at all of them; ties go to the even one, or upwards."""
    quantizer = op.function.quantizer
    meant = []
    for place, value in enumerate(x.ravel().tolist()):
        channel = place % x.shape[-1]
        real = Q(value)
        for step in op.function.steps:
            real = _real(step, real, channel)
        scale = quantizer.scale[channel % len(quantizer.scale)]
        zero = quantizer.zero_point[channel % len(quantizer.zero_point)]

        def order(code: int, real: Q = real, scale: Q = scale, zero: Q = zero) -> tuple[Q, int]:
            tie = (code - zero) % 2 if quantizer.rounding is Rounding.HALF_EVEN else -code
            return abs(scale * (code - zero) - real), int(tie)

        meant.append(min(range(quantizer.low, quantizer.high + 1), key=order))
    return result.ravel().tolist(), meant


def _rescale(op: Any, result: Ints, x: Ints) -> Pair:
    meant = []
    for place, value in enumerate(x.ravel().tolist()):
        channel = place % x.shape[-1]
        factor, offset, shift = (part[channel % len(part)] for part in (op.factor, op.offset, op.shift))
        real = Q(factor, 2**shift) * value + Q(offset, 2**shift)
        code = floor(real) if op.rounding is Rounding.FLOOR else round(real)
        meant.append(sorted((op.low, code, op.high))[1])
    return result.ravel().tolist(), meant


def _round_significand(op: Any, result: Ints, x: Ints) -> Pair:
    """The nearest of all numbers with so few significant bits, found by looking at them; ties even, or up."""
    reals = [Q(value, 2**op.shift) for value in x.ravel().tolist()]
    reach = int(max(map(abs, reals))).bit_length() + 1
    magnitudes = sorted({s << e for s in range(2**op.bits) for e in range(reach)})
    numbers = sorted({sign * m for m in magnitudes for sign in (-1, 1)})
    meant = []
    for real in reals:
        if op.rounding is Rounding.FLOOR:
            meant.append(max(number for number in numbers if number <= real))
            continue
        near = min(abs(number - real) for number in numbers)
        best = [number for number in numbers if abs(number - real) == near]
        even = [number for number in best if Q(number, max(best[-1] - best[0], 1)) % 2 == 0]
        meant.append(even[0] if op.rounding is Rounding.HALF_EVEN and len(best) > 1 else best[-1])
    return result.ravel().tolist(), meant


def _thresholds(op: Any, result: Ints, x: Ints) -> Pair:
    meant = []
    for place, value in enumerate(x.ravel().tolist()):
        channel = place % x.shape[-1]
        code = op.base[channel % len(op.base)]
        for threshold in op.at.values[channel % op.at.shape[0]].tolist():
            code += op.step if op.sign[channel % len(op.sign)] * value - threshold >= 0 else 0
        meant.append(code)
    return result.ravel().tolist(), meant


def _lookup(op: Any, result: Ints, x: Ints) -> Pair:
    tables = [dict(enumerate(row, start=op.low)) for row in op.table.values.tolist()]
    values = enumerate(x.ravel().tolist())
    return result.ravel().tolist(), [tables[place % x.shape[-1] % len(tables)][value] for place, value in values]


def _gather(op: Any, result: Ints, x: Ints) -> Pair:
    flat = x.ravel().tolist()
    return result.ravel().tolist(), [flat[place] for place in op.order.values.ravel().tolist()]


def _concat(op: Any, result: Ints, *operands: Ints) -> Pair:
    rows = [x.reshape(-1, x.shape[-1]).tolist() for x in operands]
    return result.ravel().tolist(), [v for parts in zip(*rows, strict=True) for part in parts for v in part]


def _argmax(op: Any, result: Ints, x: Ints) -> Pair:
    """No score is larger than the one picked, and all before it are smaller."""
    found = []
    for row, picked in zip(x.reshape(-1, x.shape[-1]).tolist(), result.ravel().tolist(), strict=True):
        found.append(all(v <= row[picked] for v in row) and all(v < row[picked] for v in row[:picked]))
    return found, [True] * result.size


def _unchanged(op: Any, result: Ints, x: Ints) -> Pair:
    return result.ravel().tolist(), x.ravel().tolist()


LAWS: dict[str, Callable[..., Pair]] = {
    "conv": _conv,
    "matmul": _matmul,
    "max_pool": _max_pool,
    "sum_pool": _sum_pool,
    "weighted_sum": _weighted_sum,
    "maximum": _maximum,
    "product": _product,
    "xnor": _xnor,
    "select": _select,
    "requantize": _requantize,
    "rescale": _rescale,
    "round_significand": _round_significand,
    "thresholds": _thresholds,
    "lookup": _lookup,
    "reshape": _unchanged,
    "gather": _gather,
    "concat": _concat,
    "argmax": _argmax,
    "output": _unchanged,
}
