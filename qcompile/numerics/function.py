"""Exact scalar functions from an integer accumulator to a code: what a requantization *means*.

A function is a chain of real-valued steps, each with one parameter or one per channel, ended by a quantizer.
`ScalarFunction.code` is the definition. `ScalarFunction.thresholds` inverts a monotone chain exactly: it is
how cheaper realisations (multiply-shift, comparators, tables) are proved equal over a whole range.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction
from functools import lru_cache
from math import lcm
from typing import Any

import numpy as np
import numpy.typing as npt

from qcompile.numerics.curves import CURVES, exact_curve
from qcompile.numerics.quantizer import Quantizer
from qcompile.numerics.span import Span

Ints = npt.NDArray[Any]
"""One-dimensional array of Python ints (dtype object): exact at any size."""


@dataclass(frozen=True)
class Affine:
    """``scale * x + offset``; one entry each, or one per channel."""

    scale: tuple[Fraction, ...]
    offset: tuple[Fraction, ...]

    def apply(self, value: Fraction, channel: int) -> Fraction:
        return self.scale[channel % len(self.scale)] * value + self.offset[channel % len(self.offset)]

    def after(self, first: Affine) -> Affine:
        """The affine function ``self(first(x))``."""
        size = max(len(self.scale), len(self.offset), len(first.scale), len(first.offset))
        a, b = _spread(self.scale, size), _spread(self.offset, size)
        c, d = _spread(first.scale, size), _spread(first.offset, size)
        return Affine(
            _folded(tuple(s * f for s, f in zip(a, c, strict=True))),
            _folded(tuple(s * f + o for s, f, o in zip(a, d, b, strict=True))),
        )


@dataclass(frozen=True)
class Clamp:
    """``min(max(x, low), high)``; None leaves a side open. ReLU is ``Clamp(0, None)``."""

    low: Fraction | None
    high: Fraction | None

    def apply(self, value: Fraction, channel: int) -> Fraction:
        if self.low is not None:
            value = max(value, self.low)
        return value if self.high is None else min(value, self.high)


@dataclass(frozen=True)
class Leaky:
    """``x`` where ``x >= 0``, else ``slope * x``; one slope, or one per channel (PReLU)."""

    slope: tuple[Fraction, ...]

    def apply(self, value: Fraction, channel: int) -> Fraction:
        return value if value >= 0 else self.slope[channel % len(self.slope)] * value


@dataclass(frozen=True)
class Curve:
    """A function of `qcompile.numerics.curves`, evaluated to 200 bits; its value is taken as that rational."""

    name: str
    parameters: tuple[Fraction, ...] = ()

    def apply(self, value: Fraction, channel: int) -> Fraction:
        return _curve_value(self.name, self.parameters, value)


_curve_value = lru_cache(maxsize=1 << 16)(exact_curve)  # the channels of a table share their values

Step = Affine | Clamp | Leaky | Curve


def _spread(values: tuple[Fraction, ...], size: int) -> tuple[Fraction, ...]:
    return values * size if len(values) == 1 else values


def _folded(values: tuple[Fraction, ...]) -> tuple[Fraction, ...]:
    return values[:1] if len(set(values)) == 1 else values


def append_step(steps: tuple[Step, ...], step: Step) -> tuple[Step, ...]:
    """``steps`` followed by ``step``; neighbouring affine steps become one."""
    if steps and isinstance(step, Affine) and isinstance(steps[-1], Affine):
        return (*steps[:-1], step.after(steps[-1]))
    return (*steps, step)


def evaluate_steps(steps: tuple[Step, ...], value: Fraction | int, channel: int) -> Fraction:
    """The real value of the chain at ``value``."""
    result = Fraction(value)
    for step in steps:
        result = step.apply(result, channel)
    return result


def direction(steps: tuple[Step, ...], channel: int) -> int | None:
    """+1 where the chain is non-decreasing on ``channel``, -1 non-increasing, 0 constant, None neither."""
    sign = 1
    for step in steps:
        match step:
            case Affine(scale=scale):
                factor = scale[channel % len(scale)]
                sign *= (factor > 0) - (factor < 0)
            case Leaky(slope=slope) if slope[channel % len(slope)] < 0:
                return None
            case Curve(name=name) if not CURVES[name].ascends:
                return None
            case _:
                pass
    return sign


@dataclass(frozen=True)
class Thresholds:
    """A monotone function as its steps: ``code(x) >= codes[k]`` exactly when ``sign * x >= at[k]``.

    ``bottom`` is the code at the low end of ``sign * x``. ``codes`` ascend and are all codes of the quantizer up
    to the highest that is reached; ``at`` (Python ints) never decreases, and stays the same where codes are
    skipped.
    """

    sign: int
    bottom: int
    codes: Ints
    at: Ints

    @property
    def top(self) -> int:
        return int(self.codes[-1]) if len(self.codes) else self.bottom

    def reached(self) -> Thresholds:
        """Without the codes that no accumulator has."""
        if len(self.at) < 2:
            return self
        last = np.append(_truth(self.at[1:] != self.at[:-1]), True)
        return replace(self, codes=self.codes[last], at=self.at[last])


@dataclass(frozen=True)
class ScalarFunction:
    """``quantizer.code(steps(x))``, per channel."""

    steps: tuple[Step, ...]
    quantizer: Quantizer

    @property
    def channels(self) -> int:
        """Channels with parameters of their own; 1 when every channel has the same function."""
        sizes = [self.quantizer.channels]
        for step in self.steps:
            match step:
                case Affine(scale=scale, offset=offset):
                    sizes += [len(scale), len(offset)]
                case Leaky(slope=slope):
                    sizes.append(len(slope))
                case _:
                    pass
        return max(sizes)

    def code(self, value: int, channel: int) -> int:
        """The definition: the code of accumulator ``value``."""
        return self.quantizer.code(evaluate_steps(self.steps, value, channel), channel)

    def span(self, domain: Span, channel: int) -> Span:
        """The span of codes over ``domain``; exact for monotone chains, else found by evaluating everything."""
        if direction(self.steps, channel) is not None:
            return Span.of((self.code(domain.low, channel), self.code(domain.high, channel)))
        return Span.of(self.code(x, channel) for x in range(domain.low, domain.high + 1))

    def thresholds(self, domain: Span, channel: int) -> Thresholds | None:
        """The function over ``domain`` as thresholds, or None where it is not monotone."""
        sign = direction(self.steps, channel)
        if sign is None:
            return None
        sign = sign or 1
        low, high = (domain.low, domain.high) if sign > 0 else (-domain.high, -domain.low)
        bottom, top = self.code(sign * low, channel), self.code(sign * high, channel)
        codes = tuple(self.quantizer.codes_between(bottom, top))[1:]
        exact = np.array(codes, object)
        if not codes:
            return Thresholds(sign, bottom, exact, exact)
        if any(isinstance(step, Curve) for step in self.steps):
            return Thresholds(sign, bottom, exact, self._bisected(sign, low, high, codes, channel))
        bounds = _code_bounds(self.quantizer, codes, channel % self.quantizer.channels)
        for step in reversed(self.steps):
            match step:
                case Affine(scale=scale, offset=offset):
                    bounds = bounds.before_affine(scale[channel % len(scale)], offset[channel % len(offset)])
                case Clamp():
                    bounds = bounds.before_clamp(step)
                case Leaky(slope=slope):
                    bounds = bounds.before_leaky(slope[channel % len(slope)])
        return Thresholds(sign, bottom, exact, bounds.least_integers(low, high))

    def _bisected(self, sign: int, low: int, high: int, codes: tuple[int, ...], channel: int) -> Ints:
        """Thresholds by bisection on the definition; ``code(low) < codes[0]`` and ``code(high) = codes[-1]``."""
        found = []
        below = low
        for code in codes:
            left, right = below, high  # code(left) < code <= code(right), or left is a threshold already
            while right - left > 1:
                middle = (left + right) // 2
                if self.code(sign * middle, channel) >= code:
                    right = middle
                else:
                    left = middle
            at = left if self.code(sign * left, channel) >= code else right
            found.append(at)
            below = at if at == low else at - 1
        return np.array(found, object)


@dataclass(frozen=True)
class _Bounds:
    """For each code the set of reals u that reach it: ``sign * u > b`` or ``>= b``, with ``b = number / unit``.

    The chain is walked backwards over these sets. ``side`` is 0 for a finite bound, -1 where every real
    reaches the code, +1 where none does.
    """

    sign: int
    number: Ints
    unit: int
    included: npt.NDArray[np.bool_]
    side: npt.NDArray[np.int8]

    @classmethod
    def of(cls, pairs: list[tuple[Fraction, bool]]) -> _Bounds:
        unit = lcm(*(b.denominator for b, _ in pairs))
        number = np.array([b.numerator * (unit // b.denominator) for b, _ in pairs], object)
        included = np.array([i for _, i in pairs], bool)
        return cls(1, number, unit, included, np.zeros(len(pairs), np.int8))

    def before_affine(self, factor: Fraction, offset: Fraction) -> _Bounds:
        """``u = factor * x + offset`` with a factor that is not zero."""
        scale = abs(factor)
        shifted = self.number * offset.denominator - self.sign * offset.numerator * self.unit
        return replace(
            self,
            sign=self.sign if factor > 0 else -self.sign,
            number=shifted * scale.denominator,
            unit=self.unit * offset.denominator * scale.numerator,
        )

    def before_clamp(self, step: Clamp) -> _Bounds:
        low, high = step.low, step.high
        if self.sign < 0:
            low, high = (None if high is None else -high), (None if low is None else -low)
        side = self.side.copy()
        if low is not None:
            gap = self.number * low.denominator - low.numerator * self.unit
            side[(_truth(gap < 0) | (_truth(gap == 0) & self.included)) & (side == 0)] = -1
        if high is not None:
            gap = self.number * high.denominator - high.numerator * self.unit
            side[(_truth(gap > 0) | (_truth(gap == 0) & ~self.included)) & (side == 0)] = 1
        return replace(self, side=side)

    def before_leaky(self, slope: Fraction) -> _Bounds:
        bent = _truth(self.number * self.sign < 0)
        if slope == 0:
            return self.before_clamp(Clamp(Fraction(0), None))
        number = np.where(bent, self.number * slope.denominator, self.number * slope.numerator)
        return replace(self, number=number, unit=self.unit * slope.numerator)

    def least_integers(self, low: int, high: int) -> Ints:
        """The least integer of ``low..high`` in each set (``high`` where none is)."""
        at = -((-self.number) // self.unit)
        on_bound = _truth(self.number % self.unit == 0) & ~self.included
        at = np.where(on_bound, at + 1, at)
        at = np.where(self.side < 0, low, np.where(self.side > 0, high, at))
        return np.minimum(np.maximum(at, low), high)


@lru_cache(maxsize=64)
def _code_bounds(quantizer: Quantizer, codes: tuple[int, ...], channel: int) -> _Bounds:
    """The reals that reach each code; most channels of a tensor share them."""
    return _Bounds.of([quantizer.least_value(code, channel) for code in codes])


def _truth(array: Any) -> npt.NDArray[np.bool_]:
    """Comparisons of object arrays, as booleans."""
    return np.asarray(array, bool)
