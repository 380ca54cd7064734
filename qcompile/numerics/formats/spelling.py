"""Formats as users write them: `FORMATS` lists every kind, `parse_format` reads one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from qcompile.errors import fail
from qcompile.numerics.formats.base import (
    Fixed,
    Format,
    Levels,
    MiniFloat,
    dense_power_of_two,
    evenly_spaced,
    k_hot,
    power_of_two,
    signed_digits,
)
from qcompile.numerics.formats.grouped import (
    Codebook,
    Grouped,
    Planes,
    bit_serial_mixture,
    block_floating_point,
    microscaling,
)
from qcompile.numerics.overflow import QUANTIZATION, Overflow
from qcompile.numerics.rounding import Rounding


@dataclass(frozen=True)
class Spelling:
    """One kind of format: ``read`` makes it of the parts behind the kind, ValueError where they make no sense."""

    read: Callable[..., Format]
    written: str
    example: str
    meaning: str


def _fixed(signed: bool) -> Callable[..., Format]:
    def read(width: str, frac: str | None = None, mode: str | None = None, overflow: str = Overflow.SAT) -> Fixed:
        if overflow not in (Overflow.SAT, Overflow.SAT_SYM):
            raise ValueError(overflow)
        rounding = None if mode is None else QUANTIZATION[mode.removeprefix("AP_")]
        narrow = overflow == Overflow.SAT_SYM
        return Fixed(_within(width, 2, 16), signed, None if frac is None else int(frac), narrow, rounding)

    return read


def _minifloat(signed: bool) -> Callable[..., Format]:
    def read(name: str) -> MiniFloat:
        base = name.removesuffix("fn").removesuffix("ieee")
        head, _, mantissa_text = base.partition("m")
        if head[:1] != "e":
            raise ValueError(name)
        exponent, mantissa = _within(head[1:], 0, 5), _within(mantissa_text, 0, 7)
        reserved = 1 if name.endswith("fn") else (1 << mantissa if name.endswith("ieee") else 0)
        made = MiniFloat(exponent, mantissa, reserved, signed)
        if not 2 <= exponent + mantissa + 1 <= 8 or len(made.levels) < 2:
            raise ValueError(name)
        return made

    return read


def _levels(text: str) -> Levels:
    if "," not in text:
        return evenly_spaced(_within(text, 2, 1024))
    codes = tuple(sorted({_within(part, -(1 << 20), 1 << 20) for part in text.split(",")}))
    if len(codes) < 2 or codes[-1] <= 0:
        raise ValueError(text)
    return Levels("levels:" + ",".join(map(str, codes)), codes)


def _within(text: str, low: int, high: int) -> int:
    number = int(text)
    if not low <= number <= high:
        raise ValueError(text)
    return number


def _k_of(make: Callable[[int, int], Levels]) -> Callable[..., Format]:
    return lambda terms, bits: make(_within(terms, 1, 8), _within(bits, 2, 12))


def _binary(centred: str | None = None) -> Levels:
    if centred not in (None, "centred"):
        raise ValueError(centred)
    return Levels("binary" if centred is None else "binary:centred", (-1, 1), centred is not None)


def _group(text: str) -> int:
    return _within(text, 2, 4096)


def _microscaling(element: str, size: str, *how: str) -> Grouped:
    known = [f"e{e}m{m}" for e, m in ((2, 1), (2, 3), (3, 2), (4, 3), (5, 2))] + [f"int{b}" for b in range(2, 13)]
    if element not in known or list(how) not in ([], ["ceil"], ["away"], ["ceil", "away"]):
        raise ValueError(element)
    exponent = "ceil" if "ceil" in how else "floor"
    tie = Rounding.HALF_AWAY if "away" in how else Rounding.HALF_EVEN
    return microscaling(element, _group(size), exponent, tie)


def _planes(kind: str, digits: tuple[int, ...]) -> Callable[..., Format]:
    def read(count: str, size: str) -> Planes:
        return Planes(f"{kind}:{count}:{size}", _group(size), digits, _within(count, 1, 3))

    return read


FORMATS: dict[str, Spelling] = {
    "fixed": Spelling(
        _fixed(True),
        "fixed:W[:F[:Q[:O]]]",
        "fixed:8",
        "W bits, signed where the data are; F fractional; Q rounds as AP_Q, as RND_CONV; O: SAT, SAT_SYM",
    ),
    "ufixed": Spelling(_fixed(False), "ufixed:W[:F[:Q[:O]]]", "ufixed:6", "W bits, unsigned"),
    "minifloat": Spelling(
        _minifloat(True),
        "minifloat:eEmM",
        "minifloat:e3m2",
        "sign, exponent, mantissa, subnormals; behind it fn: the top code is NaN, ieee: infinities",
    ),
    "uminifloat": Spelling(_minifloat(False), "uminifloat:eEmM", "uminifloat:e3m2", "the same without a sign"),
    "pow2": Spelling(
        lambda bits: power_of_two(_within(bits, 2, 5)), "pow2:B", "pow2:4", "0 and ±2^p, B bits with the sign"
    ),
    "dense-pow2": Spelling(
        lambda bits: dense_power_of_two(_within(bits, 2, 5)), "dense-pow2:B", "dense-pow2:3", "±2^p, no zero"
    ),
    "khot": Spelling(_k_of(k_hot), "khot:K:B", "khot:2:4", "B bits, at most K ones in the magnitude"),
    "csd": Spelling(_k_of(signed_digits), "csd:K:B", "csd:2:6", "B bits, at most K signed powers of two"),
    "ternary": Spelling(lambda: Levels("ternary", (-1, 0, 1)), "ternary", "ternary", "-1, 0, 1"),
    "binary": Spelling(_binary, "binary[:centred]", "binary", "-1, 1; centred: of weights less their row's mean"),
    "levels": Spelling(
        _levels, "levels:N", "levels:5", "N evenly spaced levels around 0, or those listed, as in levels:-4,-1,0,1,4"
    ),
    "codebook": Spelling(
        lambda count: Codebook(_within(count, 2, 64)), "codebook:N", "codebook:16", "N levels that the layer chooses"
    ),
    "mx": Spelling(
        _microscaling,
        "mx:E:N",
        "mx:e2m1:32",
        "groups of N weights share a power of two; E: e2m1 e2m3 e3m2 e4m3 e5m2 intB; then :ceil, :away",
    ),
    "bfp": Spelling(
        lambda bits, size: block_floating_point(_within(bits, 2, 12), _group(size)),
        "bfp:B:N",
        "bfp:4:16",
        "groups of N weights share an exponent; sign and B - 1 magnitude bits",
    ),
    "bitmod": Spelling(
        lambda bits, size: bit_serial_mixture(_within(bits, 3, 4), _group(size)),
        "bitmod:B:N",
        "bitmod:4:128",
        "groups of N weights choose a scale and one of four small floats of B = 3 or 4 bits",
    ),
    "trits": Spelling(
        _planes("trits", (-1, 0, 1)), "trits:P:N", "trits:2:128", "P ternary planes, each with a scale per N weights"
    ),
    "bits": Spelling(
        _planes("bits", (0, 1)), "bits:P:N", "bits:2:128", "P planes of {0, 1}, each with a scale per N weights"
    ),
}
"""Every kind of format; the order is that of `qcompile formats`."""


def parse_format(text: str, where: str) -> Format:
    """The format that ``text`` spells, or a QC203 diagnostic naming ``where``."""
    whole, grouped, size = text.strip().partition("@")
    kind, *parts = whole.split(":")
    try:
        made = FORMATS[kind].read(*parts)
        if not grouped:
            return made
        if not made.for_weights_only and made.frac is None and not getattr(made, "centred", False):
            inner = made.as_weights()
            return Grouped(f"{inner}@{_group(size)}", int(size), (inner,))
    except (KeyError, TypeError, ValueError):
        pass
    known = ", ".join(spelling.written for spelling in FORMATS.values())
    raise fail(
        "QC203",
        where,
        f"format {text!r} is not understood",
        f"write fixed:W with 2 <= W <= 16 (signed where the data are signed), or another of {known}",
    )
