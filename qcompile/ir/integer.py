"""The integer graph: the golden model. Every operation's ``evaluate`` on exact Python ints is its definition.

Values are integer tensors without a batch axis, channels last: ``[channels]``, ``[rows, channels]`` or
``[rows, columns, channels]``. A type holds the exact span of every channel, so no operation ever wraps.
``evaluate`` takes and gives object arrays of Python ints of one sample.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from math import prod
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from qcompile.ir.array import Array
from qcompile.ir.graph import IRError, Level, Op
from qcompile.ir.window import Window
from qcompile.numerics.bipolar import BipolarQuantizer
from qcompile.numerics.function import Affine, Clamp, Curve, Leaky, ScalarFunction
from qcompile.numerics.minifloat import MiniFloatQuantizer
from qcompile.numerics.quantizer import Quantizer
from qcompile.numerics.rounding import Rounding, round_exact
from qcompile.numerics.span import Span, union
from qcompile.numerics.thresholds import ThresholdQuantizer

Ints = npt.NDArray[Any]
"""Object array of Python ints."""

INTEGER = Level("integer")
PARAMETERS: dict[str, type] = {
    cls.__name__: cls
    for cls in (
        *(Window, Rounding, Span, ScalarFunction, Affine, Clamp, Leaky, Curve),
        *(Quantizer, BipolarQuantizer, MiniFloatQuantizer, ThresholdQuantizer),
    )
}


@dataclass(frozen=True)
class IntType:
    """An integer tensor of ``shape``; ``spans`` has one span per channel (last axis)."""

    shape: tuple[int, ...]
    spans: tuple[Span, ...]

    def __post_init__(self) -> None:
        if len(self.spans) != self.shape[-1]:
            raise IRError(f"{len(self.spans)} spans for shape {self.shape}")

    @property
    def span(self) -> Span:
        return union(self.spans)

    @property
    def channels(self) -> int:
        return self.shape[-1]

    @property
    def positions(self) -> int:
        """Elements per channel: the beats of a frame when channels travel in parallel."""
        return prod(self.shape[:-1])

    def __str__(self) -> str:
        return f"{'x'.join(map(str, self.shape))} {self.span}"


@dataclass(frozen=True)
class IntegerOp(Op):
    """An exact operation on integer tensors."""

    def result_type(self, *operands: IntType) -> IntType:
        raise NotImplementedError

    def evaluate(self, *operands: Ints) -> Ints:
        raise NotImplementedError


def _image(x: IntType) -> tuple[int, int, int]:
    if len(x.shape) != 3:
        raise IRError(f"needs [rows, columns, channels], found {x.shape}")
    return x.shape[0], x.shape[1], x.shape[2]


@INTEGER.op
@dataclass(frozen=True)
class Input(IntegerOp):
    """A network input: the codes of ``affine(x)`` under ``quantizer``, in channels-last order.

    ``order`` holds, for each element of the tensor, its row-major position in the ONNX input of
    ``onnx_shape``. ``affine`` is what the network does to the real input before it quantizes it (one entry
    each, or per channel). ``quantizer.low/high`` bound the codes.
    """

    mnemonic: ClassVar[str] = "input"
    onnx_shape: tuple[int, ...]
    order: Array
    affine: Affine
    quantizer: Quantizer

    def result_type(self, *operands: IntType) -> IntType:
        if self.quantizer.span is None:
            raise IRError("an input needs a bounded quantizer")
        return IntType(self.order.shape, (self.quantizer.span,) * self.order.shape[-1])


@INTEGER.op
@dataclass(frozen=True)
class Output(IntegerOp):
    """A network output: codes, and how the host reads them.

    The real value is ``scale * code + offset`` (one each, or per channel), put in ONNX order by ``order``:
    for each element of the ONNX tensor of ``onnx_shape`` its row-major position in the codes. ``host`` then
    runs there in float64: "softmax" over the last axis of the ONNX tensor, or a function of
    `qcompile.numerics.curves` on every element, or nothing. ``grid`` is the
    quantizer after it, or after the dequantization where nothing runs in between (None: real output).
    """

    mnemonic: ClassVar[str] = "output"
    onnx_shape: tuple[int, ...]
    order: Array
    scale: tuple[Fraction, ...]
    offset: tuple[Fraction, ...]
    host: str | None = None
    grid: Quantizer | None = None

    def result_type(self, *operands: IntType) -> IntType:
        (x,) = operands
        if self.order.values.size and not 0 <= self.order.values.min() <= self.order.values.max() < prod(x.shape):
            raise IRError(f"order does not fit {x.shape}")
        return x

    def evaluate(self, *operands: Ints) -> Ints:
        return operands[0]


@INTEGER.op
@dataclass(frozen=True)
class Conv(IntegerOp):
    """Convolution with constant ``weights`` [kernel rows, kernel columns, in / groups, out]; exact sums.

    Padding has the code ``fill``, the code of real zero.
    """

    mnemonic: ClassVar[str] = "conv"
    weights: Array
    window: Window
    groups: int = 1
    fill: int = 0

    def result_type(self, *operands: IntType) -> IntType:
        (x,) = operands
        height, width, channels = _image(x)
        rows, columns, per, outs = self.weights.shape
        if (rows, columns) != self.window.kernel or per * self.groups != channels or outs % self.groups:
            raise IRError(f"weights {self.weights.shape}, groups {self.groups}, input {x.shape}")
        fills = Span(self.fill, self.fill)
        entering = [s.union(fills) if self.window.padded else s for s in x.spans]
        spans = []
        for group in range(self.groups):
            block = self.weights.values[..., group * (outs // self.groups) : (group + 1) * (outs // self.groups)]
            spans += _dot_spans(
                np.concatenate([block[r, c] for r in range(rows) for c in range(columns)]),
                entering[group * per : (group + 1) * per] * (rows * columns),
            )
        return IntType((*self.window.output_size(height, width), outs), tuple(spans))

    def evaluate(self, *operands: Ints) -> Ints:
        patches = self.window.patches(operands[0][None], self.fill)[0]
        per, outs = self.weights.shape[2], self.weights.shape[3]
        weights = self.weights.values.astype(object)
        result = np.empty((*patches.shape[:2], outs), object)
        for out in range(outs):
            group = out // (outs // self.groups)
            part = patches[..., group * per : (group + 1) * per]
            result[..., out] = (part * weights[None, None, ..., out]).sum(axis=(2, 3, 4))
        return result


@INTEGER.op
@dataclass(frozen=True)
class MatMul(IntegerOp):
    """``x @ weights`` on the last axis; constant ``weights`` [in, out]; exact sums."""

    mnemonic: ClassVar[str] = "matmul"
    weights: Array

    def result_type(self, *operands: IntType) -> IntType:
        (x,) = operands
        if self.weights.shape[0] != x.channels:
            raise IRError(f"weights {self.weights.shape} for {x.channels} channels")
        spans = _dot_spans(self.weights.values, list(x.spans))
        return IntType((*x.shape[:-1], self.weights.shape[1]), tuple(spans))

    def evaluate(self, *operands: Ints) -> Ints:
        return np.dot(operands[0], self.weights.values.astype(object))


def _dot_spans(weights: npt.NDArray[np.int64], spans: list[Span]) -> list[Span]:
    """Exact spans of ``x @ weights`` for independent x in ``spans``; weights [in, out]."""
    exact = weights.astype(object)
    low = np.array([s.low for s in spans], object)
    high = np.array([s.high for s in spans], object)
    positive, negative = np.maximum(exact, 0), np.minimum(exact, 0)
    lows = low @ positive + high @ negative
    highs = high @ positive + low @ negative
    return [Span(int(a), int(b)) for a, b in zip(lows, highs, strict=True)]


@INTEGER.op
@dataclass(frozen=True)
class MaxPool(IntegerOp):
    """Maximum over windows, per channel; padding never wins."""

    mnemonic: ClassVar[str] = "max_pool"
    window: Window

    def result_type(self, *operands: IntType) -> IntType:
        (x,) = operands
        height, width, channels = _image(x)
        if self.window.padded and not self.window.positions_covered(height, width).all():
            raise IRError("a window lies wholly in the padding")
        return IntType((*self.window.output_size(height, width), channels), x.spans)

    def evaluate(self, *operands: Ints) -> Ints:
        lowest = min(operands[0].ravel().tolist())
        return self.window.patches(operands[0][None], lowest)[0].max(axis=(2, 3))


@INTEGER.op
@dataclass(frozen=True)
class SumPool(IntegerOp):
    """Sum over windows, per channel; padding has the code ``fill``."""

    mnemonic: ClassVar[str] = "sum_pool"
    window: Window
    fill: int = 0

    def result_type(self, *operands: IntType) -> IntType:
        (x,) = operands
        height, width, channels = _image(x)
        fills = Span(self.fill, self.fill)
        entering = [s.union(fills) if self.window.padded else s for s in x.spans]
        spans = tuple(s.scaled(prod(self.window.kernel)) for s in entering)
        return IntType((*self.window.output_size(height, width), channels), spans)

    def evaluate(self, *operands: Ints) -> Ints:
        return self.window.patches(operands[0][None], self.fill)[0].sum(axis=(2, 3))


@INTEGER.op
@dataclass(frozen=True)
class WeightedSum(IntegerOp):
    """``sum(factors[k][c] * x_k[c]) + offsets[c]`` for each channel c: residual additions, exactly aligned."""

    mnemonic: ClassVar[str] = "weighted_sum"
    factors: tuple[tuple[int, ...], ...]
    offsets: tuple[int, ...]

    def result_type(self, *operands: IntType) -> IntType:
        if len(operands) != len(self.factors) or len({x.shape for x in operands}) != 1:
            raise IRError(f"{len(self.factors)} factors for operands {[x.shape for x in operands]}")
        spans = []
        for channel in range(operands[0].channels):
            span = Span(self._offset(channel), self._offset(channel))
            for k, x in enumerate(operands):
                span = span + x.spans[channel].scaled(self.factor(k, channel))
            spans.append(span)
        return IntType(operands[0].shape, tuple(spans))

    def factor(self, operand: int, channel: int) -> int:
        return self.factors[operand][channel % len(self.factors[operand])]

    def _offset(self, channel: int) -> int:
        return self.offsets[channel % len(self.offsets)]

    def evaluate(self, *operands: Ints) -> Ints:
        total = np.zeros_like(operands[0]) + np.array(self.offsets, object)
        for x, factors in zip(operands, self.factors, strict=True):
            total = total + x * np.array(factors, object)
        return total


@INTEGER.op
@dataclass(frozen=True)
class Maximum(IntegerOp):
    """The larger of two values, element by element."""

    mnemonic: ClassVar[str] = "maximum"

    def result_type(self, *operands: IntType) -> IntType:
        a, b = operands
        if a.shape != b.shape:
            raise IRError(f"shapes {a.shape} and {b.shape}")
        spans = (Span(max(p.low, q.low), max(p.high, q.high)) for p, q in zip(a.spans, b.spans, strict=True))
        return IntType(a.shape, tuple(spans))

    def evaluate(self, *operands: Ints) -> Ints:
        return np.maximum(*operands)


@INTEGER.op
@dataclass(frozen=True)
class Select(IntegerOp):
    """``a`` where the condition (0 or 1) is 1, else ``b``; operands condition, a, b."""

    mnemonic: ClassVar[str] = "select"

    def result_type(self, *operands: IntType) -> IntType:
        condition, a, b = operands
        if not condition.shape == a.shape == b.shape or not Span(0, 1).holds(condition.span):
            raise IRError(f"condition {condition} for {a} and {b}")
        return IntType(a.shape, tuple(p.union(q) for p, q in zip(a.spans, b.spans, strict=True)))

    def evaluate(self, *operands: Ints) -> Ints:
        condition, a, b = operands
        return np.where(condition.astype(bool), a, b)


@INTEGER.op
@dataclass(frozen=True)
class Requantize(IntegerOp):
    """``function.code(x, channel)``: what a requantization means. A pass picks a cheap realisation of it."""

    mnemonic: ClassVar[str] = "requantize"
    function: ScalarFunction

    def result_type(self, *operands: IntType) -> IntType:
        (x,) = operands
        if self.function.channels not in (1, x.channels):
            raise IRError(f"{self.function.channels} functions for {x.channels} channels")
        return IntType(x.shape, tuple(self.function.span(s, c) for c, s in enumerate(x.spans)))

    def evaluate(self, *operands: Ints) -> Ints:
        return _per_channel(operands[0], self.function.code)


@INTEGER.op
@dataclass(frozen=True)
class Rescale(IntegerOp):
    """``clamp(round((factor * x + offset) / 2**shift), low, high)``: a requantization without a multiplier.

    One entry each, or one per channel. ``rounding`` is FLOOR (any bias is in the offset) or HALF_EVEN.
    """

    mnemonic: ClassVar[str] = "rescale"
    factor: tuple[int, ...]
    offset: tuple[int, ...]
    shift: tuple[int, ...]
    low: int
    high: int
    rounding: Rounding = Rounding.FLOOR

    def code(self, value: int, channel: int) -> int:
        factor, offset, shift = self.of(channel)
        ratio = Fraction(factor * value + offset, 1 << shift)
        return max(self.low, min(self.high, round_exact(ratio, self.rounding)))

    def of(self, channel: int) -> tuple[int, int, int]:
        """``(factor, offset, shift)`` of a channel."""
        pick = tuple(part[channel % len(part)] for part in (self.factor, self.offset, self.shift))
        return pick[0], pick[1], pick[2]

    def result_type(self, *operands: IntType) -> IntType:
        (x,) = operands
        if self.rounding not in (Rounding.FLOOR, Rounding.HALF_EVEN) or any(s < 0 for s in self.shift):
            raise IRError("rounding must be FLOOR or HALF_EVEN, shifts non-negative")
        ends = (Span.of((self.code(s.low, c), self.code(s.high, c))) for c, s in enumerate(x.spans))
        return IntType(x.shape, tuple(ends))

    def evaluate(self, *operands: Ints) -> Ints:
        return _per_channel(operands[0], self.code)


@INTEGER.op
@dataclass(frozen=True)
class Thresholds(IntegerOp):
    """``base[c] + step * #{k : sign[c] * x >= at[c, k]}``: comparators; ``at`` [channels or 1, levels] ascends.

    ``step`` is 1, or the distance of the codes (2 for -1/+1).
    """

    mnemonic: ClassVar[str] = "thresholds"
    at: Array
    sign: tuple[int, ...]
    base: tuple[int, ...]
    step: int = 1

    def code(self, value: int, channel: int) -> int:
        row = self.at.values[channel % self.at.shape[0]]
        reached = int((row <= self.sign[channel % len(self.sign)] * value).sum())
        return self.base[channel % len(self.base)] + self.step * reached

    def result_type(self, *operands: IntType) -> IntType:
        (x,) = operands
        ends = (Span.of((self.code(s.low, c), self.code(s.high, c))) for c, s in enumerate(x.spans))
        return IntType(x.shape, tuple(ends))

    def evaluate(self, *operands: Ints) -> Ints:
        return _per_channel(operands[0], self.code)


@INTEGER.op
@dataclass(frozen=True)
class Lookup(IntegerOp):
    """``table[c][x - low]``; ``table`` [channels or 1, entries] covers the operand's whole span."""

    mnemonic: ClassVar[str] = "lookup"
    table: Array
    low: int

    def result_type(self, *operands: IntType) -> IntType:
        (x,) = operands
        if x.span.low < self.low or x.span.high >= self.low + self.table.shape[1]:
            raise IRError(f"a table from {self.low} with {self.table.shape[1]} entries for {x.span}")
        spans = []
        for channel, span in enumerate(x.spans):
            row = self.table.values[channel % self.table.shape[0], span.low - self.low : span.high - self.low + 1]
            spans.append(Span(int(row.min()), int(row.max())))
        return IntType(x.shape, tuple(spans))

    def evaluate(self, *operands: Ints) -> Ints:
        rows = self.table.shape[0]
        return _per_channel(operands[0], lambda v, c: int(self.table.values[c % rows, v - self.low]))


@INTEGER.op
@dataclass(frozen=True)
class Reshape(IntegerOp):
    """The same elements in the same (row-major) order: positions become channels or channels positions."""

    mnemonic: ClassVar[str] = "reshape"
    shape: tuple[int, ...]

    def result_type(self, *operands: IntType) -> IntType:
        (x,) = operands
        if prod(x.shape) != prod(self.shape):
            raise IRError(f"{x.shape} has other elements than {self.shape}")
        flat = x.spans * x.positions
        rows = prod(self.shape[:-1])
        channels = self.shape[-1]
        return IntType(self.shape, tuple(union(flat[c::channels]) for c in range(channels)) if rows > 1 else flat)

    def evaluate(self, *operands: Ints) -> Ints:
        return operands[0].reshape(self.shape)


@INTEGER.op
@dataclass(frozen=True)
class Gather(IntegerOp):
    """Elements picked by ``order``: for each element of the result its row-major position in the operand.

    Transposes that move data, slices, space to depth: any fixed re-arrangement.
    """

    mnemonic: ClassVar[str] = "gather"
    order: Array

    def result_type(self, *operands: IntType) -> IntType:
        (x,) = operands
        order = self.order.values
        if order.size and not 0 <= order.min() <= order.max() < prod(x.shape):
            raise IRError(f"order does not fit {x.shape}")
        flat = order.reshape(-1, order.shape[-1]) % x.channels
        spans = tuple(union(x.spans[c] for c in sorted(set(column.tolist()))) for column in flat.T)
        return IntType(order.shape, spans)

    def evaluate(self, *operands: Ints) -> Ints:
        return operands[0].ravel()[self.order.values]


@INTEGER.op
@dataclass(frozen=True)
class Concat(IntegerOp):
    """Operands joined along the channels."""

    mnemonic: ClassVar[str] = "concat"

    def result_type(self, *operands: IntType) -> IntType:
        if len({x.shape[:-1] for x in operands}) != 1:
            raise IRError(f"shapes {[x.shape for x in operands]}")
        spans = tuple(s for x in operands for s in x.spans)
        return IntType((*operands[0].shape[:-1], len(spans)), spans)

    def evaluate(self, *operands: Ints) -> Ints:
        return np.concatenate(operands, axis=-1)


@INTEGER.op
@dataclass(frozen=True)
class ArgMax(IntegerOp):
    """Index of the largest channel, the first one on ties: ``[..., channels]`` to ``[..., 1]``."""

    mnemonic: ClassVar[str] = "argmax"

    def result_type(self, *operands: IntType) -> IntType:
        (x,) = operands
        return IntType((*x.shape[:-1], 1), (Span(0, x.channels - 1),))

    def evaluate(self, *operands: Ints) -> Ints:
        flat = operands[0].reshape(-1, operands[0].shape[-1]).tolist()
        picked = [row.index(max(row)) for row in flat]
        return np.array(picked, object).reshape(*operands[0].shape[:-1], 1)


def _per_channel(values: Ints, function: Any) -> Ints:
    """``function(value, channel)`` on every element."""
    channels = values.shape[-1]
    flat = values.reshape(-1)
    result = np.empty(flat.size, object)
    for index, value in enumerate(flat.tolist()):
        result[index] = function(value, index % channels)
    return result.reshape(values.shape)
