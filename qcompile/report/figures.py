"""Numbers as people read them, and the geometry of small charts."""

from __future__ import annotations

import re
from collections.abc import Sequence

_SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
_PREFIXES = ((1e9, " G"), (1e6, " M"), (1e3, " k"))


def compact(value: float) -> str:
    """Three digits and a prefix: ``2.74 M``; below ten thousand in full: ``1,356``."""
    if value < 9999.5:
        return f"{value:,.0f}" if value >= 100 else _three(value)
    return next(f"{_three(value / unit)}{prefix}" for unit, prefix in _PREFIXES if value >= unit * 0.9995)


def duration(microseconds: float) -> str:
    """In the unit that reads best: ``510 ns``, ``3.09 µs``, ``1.11 ms``."""
    for unit, name in ((1e6, "s"), (1e3, "ms"), (1.0, "µs")):
        if microseconds >= unit:
            return f"{_three(microseconds / unit)} {name}"
    return f"{_three(microseconds * 1e3)} ns"


def percent(share: float) -> str:
    return f"{share:.1%}"


def grid(text: str) -> str:
    """A format's name with a power of two as one: ``uint8 × 2⁻⁵``."""
    text = re.sub(r"2\^(-?\d+)", lambda found: "2" + found[1].translate(_SUPERSCRIPT), text)
    return re.sub(r" × (?:1|2⁰)(?=$|[, ])", "", text.replace(" x ", " × "))


def bars(counts: Sequence[int], height: float) -> str:
    """The SVG path of a histogram, one unit wide per bin; heights are square roots, so that rare codes show."""
    most = max(counts, default=0)
    if not most:
        return ""
    parts = []
    for k, count in enumerate(counts):
        if count:
            tall = max(0.6, height * (count / most) ** 0.5)
            parts.append(f"M{k} {height:g}v-{tall:.3g}h1v{tall:.3g}")
    return "".join(parts)


def _three(value: float) -> str:
    """Three significant digits, never with an exponent."""
    if value >= 99.95 or value == int(value):
        return f"{value:.0f}"
    return f"{value:.1f}" if value >= 9.995 else f"{value:.2f}"
