"""From steps to integers: tensors made linear, on one grid, or on a grid that several share. Nothing is rounded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction

from qcompile.ir import integer
from qcompile.numerics.function import Affine, Clamp, Curve, Leaky
from qcompile.passes.integerize.builder import Builder
from qcompile.passes.integerize.carried import Carried, Refused, common_unit, shared

Reals = Sequence[Fraction]


def straight(build: Builder, x: Carried) -> Carried:
    """``x`` with at most one affine step, with parameters per channel."""
    if x.affine() is not None:
        return x
    done = replace(x, steps=())
    for step in x.steps:
        match step:
            case Affine():
                done = done.then(step, ())
            case Clamp():
                done = _clamped(build, done, step)
            case Leaky():
                done = _bent(build, done, step)
            case Curve(name=curve):
                raise Refused(
                    "QC108",
                    f"the result of {curve} is not on any grid",
                    "quantize it in the file (a quantizer right after the function)",
                )
    return done


def lines(x: Carried) -> tuple[list[Fraction], list[Fraction]]:
    """Scale and offset of every channel of a straight tensor."""
    affine = x.affine()
    assert affine is not None
    return (
        [affine.scale[c % len(affine.scale)] for c in range(x.channels)],
        [affine.offset[c % len(affine.offset)] for c in range(x.channels)],
    )


def one_grid(build: Builder, x: Carried, *values: Fraction) -> tuple[Carried, Fraction, Fraction]:
    """``x`` with one positive scale and one offset: ``(x, scale, offset)``; each of ``values`` has a code."""
    x = straight(build, x)
    uniform = x.uniform()
    if uniform is not None and all(((v - uniform[1]) / uniform[0]).denominator == 1 for v in values):
        return x, *uniform
    scales, offsets = lines(x)
    base = values[0] if values else offsets[0]
    unit = common_unit([*scales, *(o - base for o in offsets), *(v - base for v in values)])
    return regridded(build, x, [unit] * x.channels, [base] * x.channels), unit, base


def same_grid(build: Builder, operands: Sequence[Carried], negate: bool = False) -> list[Carried]:
    """Straight tensors of one layout on a grid that is the same for all, channel by channel.

    Scales become positive (negative with ``negate``), so comparing codes compares values.
    """
    sign = -1 if negate else 1
    straightened = [straight(build, x) for x in operands]
    parts = [lines(x) for x in straightened]
    units, bases = [], []
    for channel in range(operands[0].channels):
        base = parts[0][1][channel]
        gaps = [o[channel] - base for _, o in parts]
        units.append(sign * common_unit([*(s[channel] for s, _ in parts), *gaps]))
        bases.append(base)
    return [regridded(build, x, units, bases) for x in straightened]


def regridded(build: Builder, x: Carried, units: Reals, bases: Reals) -> Carried:
    """A straight tensor with the given scales and offsets, which must hold all its values."""
    scales, offsets = lines(x)
    factors = [s / u for s, u in zip(scales, units, strict=True)]
    gaps = [(o - b) / u for o, b, u in zip(offsets, bases, units, strict=True)]
    assert all(v.denominator == 1 for v in (*factors, *gaps))
    affine = Affine(shared(list(units)), shared(list(bases)))
    if any(f != 1 for f in factors) or any(gaps):
        op = integer.WeightedSum((shared([int(f) for f in factors]),), shared([int(g) for g in gaps]))
        x = replace(x, node=build.emit(f"{x.node}_exact", op, (x.node,), x.origin))
    return replace(x, steps=(affine,))


def _clamped(build: Builder, x: Carried, step: Clamp) -> Carried:
    """``step`` on integers: where its bounds have codes, on the codes as they are."""
    scales, offsets = lines(x)
    bounds = [b for b in (step.low, step.high) if b is not None]
    codes = {tuple((b - o) / s for b in bounds) if s > 0 else None for s, o in zip(scales, offsets, strict=True)}
    if len(codes) > 1 or any(c is None or any(v.denominator != 1 for v in c) for c in codes):
        if bounds == [0]:
            units = [common_unit([s, o]) for s, o in zip(scales, offsets, strict=True)]
        else:
            units = [common_unit([*scales, *offsets, *bounds])] * x.channels
        x = regridded(build, x, units, [Fraction(0)] * x.channels)
        scales, offsets = lines(x)
    span = build.types[x.node].span
    low = None if step.low is None else int((step.low - offsets[0]) / scales[0])
    high = None if step.high is None else int((step.high - offsets[0]) / scales[0])
    limits = (
        min(span.low, high if high is not None else span.low) if low is None else low,
        max(span.high, low if low is not None else span.high) if high is None else high,
    )
    clamp = integer.Rescale((1,), (0,), (0,), *limits)
    return replace(x, node=build.emit(f"{x.node}_clamped", clamp, (x.node,), x.origin))


def _bent(build: Builder, x: Carried, step: Leaky) -> Carried:
    """The larger of both lines where the slope is at most 1, the smaller one where it is more."""
    scales, offsets = lines(x)
    slopes = [step.slope[c % len(step.slope)] for c in range(x.channels)]
    signs = [1 if slope <= 1 else -1 for slope in slopes]
    units = [
        sign * common_unit([s, o, slope * s, slope * o])
        for sign, s, o, slope in zip(signs, scales, offsets, slopes, strict=True)
    ]
    parts = []
    for factors in ([Fraction(1)] * x.channels, slopes):
        line = integer.WeightedSum(
            (shared([int(f * s / u) for f, s, u in zip(factors, scales, units, strict=True)]),),
            shared([int(f * o / u) for f, o, u in zip(factors, offsets, units, strict=True)]),
        )
        parts.append(build.emit(f"{x.node}_line", line, (x.node,), x.origin))
    node = build.emit(f"{x.node}_bent", integer.Maximum(), tuple(parts), x.origin)
    return replace(x, node=node, steps=(Affine(shared(units), (Fraction(0),)),))
