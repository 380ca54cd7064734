"""Cases of every integer operation: small shapes, every attribute, spans of all signs, up to Python ints."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction as Q
from functools import cached_property
from math import prod
from typing import Any
from zlib import crc32

import numpy as np
import numpy.typing as npt

from qcompile.ir import integer
from qcompile.ir.array import Array
from qcompile.ir.integer import IntegerOp, IntType
from qcompile.ir.window import Window
from qcompile.numerics.function import Affine, Clamp, Curve, Leaky, ScalarFunction
from qcompile.numerics.quantizer import Quantizer
from qcompile.numerics.rounding import Rounding
from qcompile.numerics.span import Span

Ints = npt.NDArray[Any]
SAMPLES = 12
NIBBLE, BYTE = Span(-8, 7), Span(-128, 127)


@dataclass(frozen=True)
class Operand:
    """Values ``(base + offset[c]) >> shift[c]`` with any ``base`` of a span: channels differ in range and sign."""

    shape: tuple[int, ...]
    base: Span = NIBBLE
    offset: tuple[int, ...] = (0,)
    shift: tuple[int, ...] = (0,)

    @property
    def plain(self) -> bool:
        return not any(self.offset + self.shift)

    @cached_property
    def type(self) -> IntType:
        ends = [self.of(np.full(self.shape[-1], end, object)) for end in (self.base.low, self.base.high)]
        return IntType(self.shape, tuple(Span(int(low), int(high)) for low, high in zip(*ends, strict=True)))

    def of(self, base: Ints) -> Ints:
        channels = base.shape[-1]
        offset, shift = (np.resize(np.array(part, object), channels) for part in (self.offset, self.shift))
        return (base + offset) >> shift


@dataclass(frozen=True)
class Case:
    """``op`` on ``operands``. ``hardware``: it is simulated as a network; else another case has the same circuit."""

    name: str
    op: IntegerOp
    operands: tuple[Operand, ...]
    hardware: bool = True

    def __str__(self) -> str:
        return f"{self.op.mnemonic}-{self.name}"

    @cached_property
    def types(self) -> tuple[IntType, ...]:
        return tuple(operand.type for operand in self.operands)

    @cached_property
    def result(self) -> IntType:
        return self.op.result_type(*self.types)

    @cached_property
    def bases(self) -> list[Ints]:
        """Per operand ``[samples, *shape]``: both ends, mixtures of ends, around zero, then random."""
        random = np.random.default_rng(crc32(str(self).encode()))
        result = []
        for operand in self.operands:
            low, high = operand.base.low, operand.base.high
            rows = np.empty((SAMPLES, *operand.shape), object)
            rows[0], rows[1] = low, high
            rows[2:5] = np.array([low, high], object)[random.integers(0, 2, rows[2:5].shape)]
            near = [v for v in (-1, 0, 1, low) if v in operand.base]
            rows[5] = np.array(near, object)[random.integers(0, len(near), rows[5].shape)]
            size = prod(rows[6:].shape)
            rows[6:].flat[:] = [low + int(part * (high - low)) for part in random.random(size).tolist()]
            result.append(rows)
        return result

    @cached_property
    def values(self) -> list[Ints]:
        return [operand.of(base) for operand, base in zip(self.operands, self.bases, strict=True)]

    @cached_property
    def wanted(self) -> Ints:
        """The definition's results ``[samples, *shape]``, all Python ints."""
        return np.stack([self.op.evaluate(*(v[s] for v in self.values)) for s in range(SAMPLES)]).astype(object)


def weights(*shape: int, largest: int = 7) -> Array:
    return Array(np.random.default_rng(prod(shape) + largest).integers(-largest, largest + 1, shape))


def _conv(name: str, shape: tuple[int, int, int], kernel: tuple[int, ...], **attributes: Any) -> Case:
    """``kernel``: rows, columns, in / groups, out."""
    groups, fill = attributes.pop("groups", 1), attributes.pop("fill", 0)
    operand = Operand(shape, **{key: attributes.pop(key) for key in ("base", "offset", "shift") if key in attributes})
    hardware = attributes.pop("hardware", True)
    window = Window((kernel[0], kernel[1]), **attributes)
    return Case(name, integer.Conv(weights(*kernel), window, groups, fill), (operand,), hardware)


CONVS = [
    _conv("valid", (4, 4, 2), (3, 3, 2, 3)),
    _conv("padded", (4, 3, 2), (3, 3, 2, 2), pads=(1, 1, 1, 1), fill=3),
    _conv("padded beyond its span", (3, 3, 1), (2, 2, 1, 2), pads=(1, 0, 0, 1), fill=-20),
    _conv("strided, uneven pads", (5, 6, 2), (3, 2, 2, 2), strides=(2, 2), pads=(0, 1, 2, 0), fill=-1),
    _conv("dilated", (6, 7, 1), (2, 2, 1, 2), dilations=(2, 3), strides=(1, 2), pads=(1, 0, 0, 2)),
    _conv("grouped", (3, 4, 4), (2, 2, 2, 6), groups=2),
    _conv("depthwise", (4, 4, 3), (3, 3, 1, 3), groups=3, pads=(1, 1, 1, 1), fill=-2),
    _conv("depthwise times two", (3, 3, 2), (2, 2, 1, 4), groups=2, hardware=False),
    _conv("one row", (1, 8, 2), (1, 3, 2, 2), strides=(1, 2), pads=(0, 1, 0, 1)),
    _conv("one point", (3, 2, 3), (1, 1, 3, 2)),
    _conv("one point, strided", (4, 5, 2), (1, 1, 2, 2), strides=(2, 3)),
    _conv("mixed channels", (3, 4, 3), (2, 2, 3, 2), offset=(8, -40, 3), shift=(0, 1, 2), pads=(0, 1, 0, 0), fill=1),
]
MATMULS = [
    Case("vector", integer.MatMul(weights(6, 4)), (Operand((6,)),)),
    Case("rows", integer.MatMul(weights(3, 2)), (Operand((4, 3)),)),
    Case("image", integer.MatMul(weights(2, 3)), (Operand((2, 3, 2)),), hardware=False),
    Case("powers and a zero column", integer.MatMul(Array([[4, 0, -8, 4], [0, 0, 1, 0]])), (Operand((2,)),)),
    Case("mixed channels", integer.MatMul(weights(3, 3)), (Operand((3,), offset=(8, -40, 3), shift=(0, 1, 2)),)),
    Case("large weights", integer.MatMul(weights(4, 2, largest=30000)), (Operand((4,), BYTE),), hardware=False),
]
MAX_POOLS = [
    Case("even", integer.MaxPool(Window((2, 2), (2, 2))), (Operand((4, 6, 2)),)),
    Case("padded", integer.MaxPool(Window((3, 3), (2, 2), (1, 1, 1, 1))), (Operand((5, 4, 2)),)),
    Case(
        "padded, negative and positive channels",
        integer.MaxPool(Window((2, 3), (1, 2), (0, 1, 1, 0))),
        (Operand((3, 5, 3), offset=(9, -30, 0), shift=(0, 0, 1)),),
    ),
    Case("dilated", integer.MaxPool(Window((2, 2), dilations=(2, 1))), (Operand((4, 3, 1)),)),
]
SUM_POOLS = [
    Case("even", integer.SumPool(Window((2, 2), (2, 2))), (Operand((4, 4, 2)),)),
    Case("padded", integer.SumPool(Window((3, 2), (1, 2), (1, 0, 1, 1)), 5), (Operand((3, 4, 2)),)),
    Case("whole image", integer.SumPool(Window((3, 4))), (Operand((3, 4, 2)),)),
    Case("mixed channels", integer.SumPool(Window((1, 2))), (Operand((2, 3, 2), offset=(8, -21), shift=(0, 1)),)),
]
PAIR = (Operand((3, 2, 2)), Operand((3, 2, 2), offset=(8, -30)))
WEIGHTED_SUMS = [
    Case("plain", integer.WeightedSum(((1,), (1,)), (0,)), PAIR, hardware=False),
    Case("difference", integer.WeightedSum(((3,), (-5,)), (7,)), PAIR),
    Case("per channel", integer.WeightedSum(((12, -1), (1, 6)), (-9, 4)), PAIR),
    Case("of one", integer.WeightedSum(((3, -20),), (5,)), PAIR[:1], hardware=False),
    Case("a zero factor", integer.WeightedSum(((0, 4), (3, 0)), (0, 1)), PAIR),
    Case("of three", integer.WeightedSum(((1,), (2,), (-7,)), (0,)), (*PAIR, Operand((3, 2, 2)))),
]
MAXIMA = [
    Case("equal spans", integer.Maximum(), (Operand((2, 1, 2)), Operand((2, 1, 2)))),
    Case("mixed spans", integer.Maximum(), (Operand((3,), offset=(0, 8, 20)), Operand((3,), shift=(1, 0, 0)))),
]
PRODUCTS = [
    Case("of signed values", integer.Product(), (Operand((2, 2, 2), BYTE, shift=(4, 1)), Operand((2, 2, 2), BYTE))),
    Case("of unsigned values", integer.Product(), (Operand((2, 3), offset=(0, 16, 40)), Operand((2, 3), offset=(8,)))),
    Case("with a bit", integer.Product(), (Operand((2, 2)), Operand((2, 2), NIBBLE, (8,), (3,)))),
    Case(
        "with few values", integer.Product(), (Operand((2, 3), offset=(0, 8, 3)), Operand((2, 3), NIBBLE, (8,), (2,)))
    ),
]
BITS = Operand((2, 2), NIBBLE, (8,), (3,))
XNORS = [
    Case("of bits", integer.Xnor(), (Operand((2, 3, 2), NIBBLE, (8,), (3,)),) * 2),
    Case("with a constant lane", integer.Xnor(), (BITS, Operand((2, 2), NIBBLE, (8, 16), (3, 5)))),
]
SELECTS = [
    Case("equal spans", integer.Select(), (BITS, Operand((2, 2)), Operand((2, 2)))),
    Case("mixed spans", integer.Select(), (BITS, Operand((2, 2), offset=(8, -20)), Operand((2, 2), shift=(2, 0)))),
]
RESCALES = [
    Case("bare shift", integer.Rescale((1,), (0,), (2,), -100, 100), (Operand((4, 2), BYTE),)),
    Case("clamp", integer.Rescale((1,), (0,), (0,), -3, 5), (Operand((3,)),), hardware=False),
    Case(
        "floor, per channel", integer.Rescale((5, -3, 8), (1, 100, 4), (3, 2, 4), -20, 60), (Operand((2, 1, 3), BYTE),)
    ),
    Case(
        "half even, per channel",
        integer.Rescale((6, -3, 1), (2, 0, 16), (2, 3, 5), -20, 21, Rounding.HALF_EVEN),
        (Operand((1, 2, 3), BYTE),),
    ),
    Case(
        "half even of halves",
        integer.Rescale((1,), (0,), (1,), -64, 64, Rounding.HALF_EVEN),
        (Operand((2,), BYTE),),
        hardware=False,
    ),
    Case("half even, offset on a multiple", integer.Rescale((8,), (5,), (3,), 0, 99, Rounding.HALF_EVEN), PAIR[:1]),
    Case(
        "half even, offset half", integer.Rescale((8,), (4,), (3,), -9, 9, Rounding.HALF_EVEN), PAIR[:1], hardware=False
    ),
    Case("constant", integer.Rescale((0, 1), (40, 0), (2, 9), -5, 20), (Operand((2,), BYTE),), hardware=False),
]
ROUND_SIGNIFICANDS = [
    Case("ties to even", integer.RoundSignificand(3, 1), (Operand((4, 2), BYTE),)),
    Case("ties up", integer.RoundSignificand(2, 2, Rounding.HALF_UP), (Operand((2, 1, 3), BYTE),)),
    Case("leading powers", integer.RoundSignificand(1, 0, Rounding.FLOOR), (Operand((3, 2), BYTE),)),
    Case("of integers", integer.RoundSignificand(1, 0), (Operand((3,), BYTE, shift=(0, 0, 3)),)),
]
LEVELS = Array([[-5, -1, 0, 3, 3], [-8, -7, 2, 2, 90], [1, 2, 3, 4, 5]])
NO_LEVELS = Array(np.zeros((1, 0), np.int64))
THRESHOLDS = [
    Case("per channel", integer.Thresholds(LEVELS, (1, -1, 1), (0, -3, 5)), (Operand((2, 3)),)),
    Case("two apart", integer.Thresholds(Array([[0]]), (1,), (-1,), 2), (Operand((3,)),), hardware=False),
    Case("two apart, downwards", integer.Thresholds(Array([[0, 3]]), (-1,), (-2,), 2), (Operand((3,)),)),
    Case(
        "never reached, always reached",
        integer.Thresholds(Array([[-90, 90]]), (1,), (4,)),
        (Operand((2,)),),
        hardware=False,
    ),
    Case(
        "no levels", integer.Thresholds(Array(np.zeros((1, 0), np.int64)), (1,), (4,)), (Operand((2,)),), hardware=False
    ),
]
SQUARES = Array([[k * k for k in range(20)]])
LOOKUPS = [
    Case("shared", integer.Lookup(weights(1, 16, largest=99), -8), (Operand((2, 3)),)),
    Case("per channel", integer.Lookup(weights(2, 40, largest=9), -20), (Operand((2,), offset=(-12, 9)),)),
    Case(
        "positive",
        integer.Lookup(Array([[k * k for k in range(20)]]), 0),
        (Operand((2,), offset=(8,)),),
        hardware=False,
    ),
]
RESHAPES = [
    Case("image to vector", integer.Reshape((12,)), (Operand((2, 3, 2), offset=(0, 9)),)),
    Case("vector to rows", integer.Reshape((4, 2)), (Operand((8,)),)),
    Case("rows of another length", integer.Reshape((3, 4)), (Operand((2, 6)),)),
    Case("the same rows", integer.Reshape((2, 3, 2)), (Operand((6, 2)),), hardware=False),
]
_TURNED = Array(np.arange(12).reshape(2, 3, 2).transpose(1, 0, 2).copy())
GATHERS = [
    Case("channels turned", integer.Gather(Array(np.arange(12).reshape(4, 3)[:, ::-1].copy())), (Operand((4, 3)),)),
    Case("channels dropped and doubled", integer.Gather(Array([[1, 1, 0, 1], [4, 4, 3, 4]])), (Operand((2, 3)),)),
    Case("vector", integer.Gather(Array([4, 0, 0, 2])), (Operand((5,), offset=(0, 0, 7, 0, -9)),), hardware=False),
    Case("transposed", integer.Gather(_TURNED), (Operand((2, 3, 2)),), hardware=False),
]
CONCATS = [
    Case("two", integer.Concat(), PAIR, hardware=False),
    Case("three", integer.Concat(), (Operand((2, 1)), Operand((2, 3), offset=(8,)), Operand((2, 2), shift=(1,)))),
]
ARGMAXES = [
    Case("vector", integer.ArgMax(), (Operand((7,), Span(-2, 1)),)),
    Case("pairs", integer.ArgMax(), (Operand((5, 2), Span(-1, 1)),)),
    Case("mixed channels", integer.ArgMax(), (Operand((5,), offset=(0, 5, -3, 0, 6), shift=(0, 0, 0, 1, 2)),)),
    Case("one channel", integer.ArgMax(), (Operand((3, 1)),), hardware=False),
]
FINE = Quantizer((Q(1, 64),), low=0, high=63)
EVEN = Quantizer((Q(3, 7),), low=-20, high=19)
REALIZED = ("falling, zero point", "leaky", "sigmoid", "per channel scales")
REQUANTIZES = [
    Case(name, integer.Requantize(ScalarFunction(steps, quantizer)), (Operand(shape, base),), name in REALIZED)
    for name, steps, quantizer, shape, base in (
        ("line with ties", (Affine((Q(1, 8),), (Q(0),)),), Quantizer((Q(1),), low=-6, high=9), (4,), BYTE),
        ("relu, per channel", (Affine((Q(1, 3), Q(2, 9)), (Q(1), Q(-2))), Clamp(Q(0), None)), EVEN, (3, 2), BYTE),
        ("falling, zero point", (Affine((Q(-1, 6),), (Q(1, 2),)),), Quantizer((Q(1, 2),), (Q(3),), 0, 15), (3,), BYTE),
        ("leaky", (Affine((Q(1, 5),), (Q(0),)), Leaky((Q(1, 10),))), EVEN, (2,), BYTE),
        ("leaky, steep and negative", (Leaky((Q(3), Q(-1, 2))),), Quantizer((Q(5),), low=-9, high=9), (2,), BYTE),
        ("sigmoid", (Affine((Q(1, 16),), (Q(0),)), Curve("sigmoid")), FINE, (2,), BYTE),
        ("per channel scales", (), Quantizer((Q(3), Q(4, 3)), (Q(0), Q(-2)), low=-40, high=40), (2, 2), BYTE),
        ("half up, zero first", (), Quantizer((Q(4),), (Q(1, 2),), -9, 9, Rounding.HALF_UP, True), (3,), BYTE),
    )
]


def _output(shape: tuple[int, ...]) -> Case:
    order = Array(np.arange(prod(shape))[::-1].reshape(shape).copy())
    op = integer.Output(shape, order, (Q(1, 3),), (Q(5),))
    return Case(f"of {len(shape)} axes", op, (Operand(shape),), hardware=len(shape) > 1)


def _wide() -> Iterator[Case]:
    """Values that need float64, int64 and Python ints, in the emulator alone."""
    for bits in (20, 34, 56, 70):
        top = 1 << bits
        base = Span(-top, top - 1)
        image, vector = Operand((3, 3, 2), base), Operand((4,), base)
        bit = Operand((4,), base, (top,), (bits,))
        window = Window((2, 2), pads=(0, 1, 1, 0))
        ops: list[tuple[IntegerOp, tuple[Operand, ...]]] = [
            (integer.Conv(weights(2, 2, 2, 2), window, 1, -5), (image,)),
            (integer.Conv(weights(2, 2, 1, 2), window, 2, 9), (image,)),
            (integer.MatMul(weights(4, 3)), (vector,)),
            (integer.MaxPool(window), (image,)),
            (integer.SumPool(window, 3), (image,)),
            (integer.WeightedSum(((3,), (-4, 2)), (11,)), (image, image)),
            (integer.Maximum(), (image, Operand((3, 3, 2), base, (-3, 5), (0, 1)))),
            (integer.Rescale((5, -1), (3, top // 4), (4, bits - 5), -top, top), (image,)),
            (integer.Rescale((5, -1, 3, 2), (3, top // 4, 0, 1), (4, bits - 5, 0, 7), -top, top), (vector,)),
            (integer.Rescale((3,), (1 << 3,), (5,), -top, top, Rounding.HALF_EVEN), (image,)),
            (integer.Rescale((1,), (0,), (1,), -top, top, Rounding.HALF_EVEN), (vector,)),
            (integer.RoundSignificand(3, 5), (image,)),
            (integer.Thresholds(Array([[-(1 << 55), -3, 0, 1 << 19, 1 << 33]]), (1, -1, 1, -1), (2,)), (vector,)),
            (integer.Requantize(ScalarFunction((Affine((Q(1, 1 << bits),), (Q(0),)),), EVEN)), (vector,)),
            (integer.Lookup(weights(1, 32), (1 << min(bits, 56)) - 32), (_near(min(bits, 56)),)),
            (integer.Reshape((2, 2)), (vector,)),
            (integer.Gather(Array([3, 0, 0])), (vector,)),
            (integer.Concat(), (vector, Operand((2,), base, (0, 1), (0, 9)))),
            (integer.Product(), (vector, Operand((4,), base, (8, 0, 1, 5), (0, 1, 0, 3)))),
            (integer.Select(), (bit, vector, Operand((4,), base, (-3, 0, 1, 5), (0, 1, 0, 3)))),
            (integer.ArgMax(), (vector,)),
            (integer.Output((4,), Array([0, 1, 2, 3]), (Q(1),), (Q(0),)), (vector,)),
        ]
        for place, (op, operands) in enumerate(ops):
            yield Case(f"{bits} bits, {place}", op, operands, hardware=False)


def _near(bits: int) -> Operand:
    """A narrow span far from zero: such a tensor still needs a wide number type."""
    return Operand((3,), Span((1 << bits) - 32, (1 << bits) - 1))


CASES: list[Case] = [
    *(*CONVS, *MATMULS, *MAX_POOLS, *SUM_POOLS, *WEIGHTED_SUMS, *MAXIMA, *PRODUCTS, *XNORS, *SELECTS),
    *(*RESCALES, *ROUND_SIGNIFICANDS),
    *(*THRESHOLDS, *LOOKUPS, *RESHAPES, *GATHERS, *CONCATS, *ARGMAXES, *REQUANTIZES, _output((3,)), _output((2, 2, 2))),
    *_wide(),
]
