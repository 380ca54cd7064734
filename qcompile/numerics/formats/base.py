"""Formats: finite sets of exact levels without a scale.

Levels are integers, the codes; `value = scale * code`, with a scale for each tensor, channel or group that the data
decide. `Format.quantizer` binds the scale.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cached_property
from math import ceil, log2
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from qcompile.numerics.levels import LevelQuantizer
from qcompile.numerics.minifloat import MiniFloatQuantizer
from qcompile.numerics.overflow import QUANTIZATION
from qcompile.numerics.quantizer import Quantizer
from qcompile.numerics.rounding import Rounding
from qcompile.numerics.span import Span

Reals = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Scales = tuple[Fraction, ...]


@dataclass(frozen=True)
class Format:
    """A set of codes without a scale; `qcompile.numerics.formats.parse_format` reads what ``str`` prints."""

    for_weights_only: ClassVar[bool] = False
    """It needs the values before the hardware is made."""

    @cached_property
    def levels(self) -> tuple[int, ...]:
        """All codes, ascending."""
        raise NotImplementedError

    @property
    def span(self) -> Span:
        return Span(self.levels[0], self.levels[-1])

    @property
    def bits(self) -> int:
        """Bits of one number in memory."""
        return ceil(log2(len(self.levels)))

    @property
    def frac(self) -> int | None:
        """The scale is ``2**-frac``; None: the data decide it."""
        return None

    def as_signed(self) -> Format:
        """The format for numbers that may be negative."""
        return self

    def as_weights(self) -> Format:
        """The format for weights: signed and symmetric."""
        return self.as_signed()

    def as_unsigned(self) -> Format:
        """The format for numbers that cannot be negative; it has a zero."""
        return Levels(str(self), (0, *(level for level in self.levels if level > 0)))

    def fitted(self, rows: Reals) -> Format:
        """The format with the levels that suit weights [out, in] best, where the format leaves them open."""
        return self

    def prepared(self, weights: Reals, axis: int) -> Reals:
        """What is rounded in place of ``weights``, whose output channels lie along ``axis``."""
        return weights

    def quantizer(self, scale: Scales, rounding: Rounding = Rounding.HALF_EVEN) -> Quantizer:
        """The exact quantizer with ``scale``, one or one per channel: the value of code 1."""
        return LevelQuantizer.of(scale, self.levels, rounding=rounding)

    def encode(self, codes: Ints) -> Ints:
        """The bit patterns of ``codes``: what memory holds."""
        return np.searchsorted(np.array(self.levels, np.int64), codes)

    def decode(self, patterns: Ints) -> Ints:
        """The codes of bit patterns, which are numbers of levels."""
        return np.array(self.levels, np.int64)[patterns]

    def nearest(self, ratios: Reals) -> Reals:
        """The codes nearest to ``ratios`` (values over scale) in plain float64, ties up: for searches."""
        codes = np.array(self.levels, np.float64)
        return codes[np.searchsorted((codes[1:] + codes[:-1]) / 2, ratios, side="right")]


@dataclass(frozen=True)
class Fixed(Format):
    """Two's complement or unsigned fixed point: value = code / 2**frac. ``frac`` None: the scale is free.

    ``narrow`` leaves out the most negative code, which makes the range symmetric. ``rounding`` None: whatever the
    tensor's is.
    """

    width: int
    signed: bool = True
    frac: int | None = None
    narrow: bool = False
    rounding: Rounding | None = None

    @property
    def levels(self) -> tuple[int, ...]:
        return tuple(range(self.span.low, self.span.high + 1))

    @property
    def span(self) -> Span:
        full = Span.of_bits(self.width, self.signed)
        return Span(full.low + 1, full.high) if self.narrow and self.signed else full

    @property
    def bits(self) -> int:
        return self.width

    def as_signed(self) -> Fixed:
        return replace(self, signed=True)

    def as_weights(self) -> Fixed:
        return replace(self, signed=True, narrow=True)

    def as_unsigned(self) -> Fixed:
        return replace(self, signed=False)

    def quantizer(self, scale: Scales, rounding: Rounding = Rounding.HALF_EVEN) -> Quantizer:
        return Quantizer(scale, low=self.span.low, high=self.span.high, rounding=self.rounding or rounding)

    def encode(self, codes: Ints) -> Ints:
        """Two's complement."""
        return codes & ((1 << self.width) - 1)

    def decode(self, patterns: Ints) -> Ints:
        return np.where(self.signed & (patterns >> self.width - 1 == 1), patterns - (1 << self.width), patterns)

    def nearest(self, ratios: Reals) -> Reals:
        return np.clip(np.rint(ratios), self.span.low, self.span.high)

    def __str__(self) -> str:
        text = f"{'' if self.signed else 'u'}fixed:{self.width}"
        if self.frac is not None:
            text += f":{self.frac}"
        if self.rounding is not None:
            text += f":{next(name for name, mode in QUANTIZATION.items() if mode is self.rounding)}"
            text += ":SAT_SYM" if self.narrow else ""
        return text


@dataclass(frozen=True)
class MiniFloat(Format):
    """Sign, ``exponent_bits`` and ``mantissa_bits``, with subnormals; code 1 is the smallest of them.

    ``reserved`` codes at the top are no numbers (infinities, NaN): 0 for Brevitas and most OCP formats, 1 for
    e4m3fn, all of the last exponent (``2**mantissa_bits``) for e5m2. What is beyond the largest number saturates.
    A bias is a power of two of the scale, so it has no field: a real-valued one (LLM-FP4) is a free scale.
    """

    exponent_bits: int
    mantissa_bits: int
    reserved: int = 0
    signed: bool = True

    @cached_property
    def levels(self) -> tuple[int, ...]:
        """``mantissa`` where the exponent field is 0, else ``(2**mantissa_bits + mantissa) << (exponent - 1)``."""
        one = 1 << self.mantissa_bits
        patterns = range((one << self.exponent_bits) - self.reserved)
        magnitudes = [f if f < one else (one + f % one) << (f // one - 1) for f in patterns]
        return tuple([-m for m in reversed(magnitudes[1:])] if self.signed else []) + tuple(magnitudes)

    @property
    def bits(self) -> int:
        return self.signed + self.exponent_bits + self.mantissa_bits

    def as_signed(self) -> MiniFloat:
        return replace(self, signed=True)

    def as_unsigned(self) -> MiniFloat:
        return replace(self, signed=False)

    def quantizer(self, scale: Scales, rounding: Rounding = Rounding.HALF_EVEN) -> Quantizer:
        """Rounds ties to even whatever ``rounding`` says, as floating point does."""
        bias = max(1, (1 << self.exponent_bits - 1) - 1) if self.exponent_bits else 1
        return MiniFloatQuantizer(
            scale,
            low=self.span.low,
            high=self.span.high,
            rounding=Rounding.HALF_EVEN,
            exponent_bits=self.exponent_bits,
            mantissa_bits=self.mantissa_bits,
            bias=bias,
        )

    def encode(self, codes: Ints) -> Ints:
        """Sign, exponent, mantissa; zero has the sign 0."""
        magnitudes = np.array([level for level in self.levels if level >= 0], np.int64)
        fields = np.searchsorted(magnitudes, np.abs(codes))
        return fields | np.where(codes < 0, 1 << self.exponent_bits + self.mantissa_bits, 0)

    def decode(self, patterns: Ints) -> Ints:
        """Patterns that are no numbers raise IndexError."""
        magnitudes = np.array([level for level in self.levels if level >= 0], np.int64)
        width = self.exponent_bits + self.mantissa_bits
        fields = magnitudes[patterns & ((1 << width) - 1)]
        return np.where(patterns >> width & 1, -fields, fields)

    def __str__(self) -> str:
        name = f"e{self.exponent_bits}m{self.mantissa_bits}"
        suffix = {0: "", 1: "fn", 1 << self.mantissa_bits: "ieee"}[self.reserved]
        return f"{'' if self.signed else 'u'}minifloat:{name}{suffix}"


@dataclass(frozen=True)
class Levels(Format):
    """Any finite set of codes, ``name`` being its text form.

    ``centred``: the mean of each output channel's weights is taken off them first, and forgotten (BiBERT).
    """

    name: str
    codes: tuple[int, ...]
    centred: bool = False

    @property
    def levels(self) -> tuple[int, ...]:
        return self.codes

    def prepared(self, weights: Reals, axis: int) -> Reals:
        others = tuple(a for a in range(weights.ndim) if a != axis % weights.ndim)
        return weights - weights.mean(axis=others, keepdims=True) if self.centred else weights

    def __str__(self) -> str:
        return self.name


def power_of_two(bits: int) -> Levels:
    """Zero and ``±2**p``: as many powers as ``bits`` hold with a sign (S3's three bits are 0, ±1, ±2, ±4)."""
    return _symmetric(f"pow2:{bits}", {0, *(1 << p for p in range((1 << bits - 1) - 1))})


def dense_power_of_two(bits: int) -> Levels:
    """``±2**p`` without zero (DenseShift): three bits are ±1, ±2, ±4, ±8."""
    return _symmetric(f"dense-pow2:{bits}", {1 << p for p in range(1 << bits - 1)})


def k_hot(terms: int, bits: int) -> Levels:
    """A sign and ``bits - 1`` magnitude bits of which at most ``terms`` are 1 (QFX)."""
    return _symmetric(f"khot:{terms}:{bits}", {m for m in range(1 << bits - 1) if m.bit_count() <= terms})


def signed_digits(terms: int, bits: int) -> Levels:
    """Sums and differences of at most ``terms`` powers of two: as many adders as `k_hot`, more levels."""
    # The number of digits of the canonical signed form of m is that of the ones in m xor 3m.
    magnitudes = {m for m in range(1 << bits - 1) if (m ^ 3 * m).bit_count() <= terms}
    return _symmetric(f"csd:{terms}:{bits}", magnitudes)


def evenly_spaced(count: int) -> Levels:
    """``count`` levels around zero: integers where there is an odd number of them, else odd numbers."""
    step = 1 if count % 2 else 2
    return Levels(f"levels:{count}", tuple((2 * k - (count - 1)) * step // 2 for k in range(count)))


def _symmetric(name: str, magnitudes: set[int]) -> Levels:
    return Levels(name, tuple(sorted(magnitudes | {-m for m in magnitudes})))
