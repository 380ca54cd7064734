"""Settings of a PLL that makes the design's clock from a board's crystal, in exact numbers.

Ranges are those of the data sheets: FPGA-TN-02200 (ECP5 sysCLOCK), FPGA-TN-02052 (iCE40 sysCLOCK), Gowin UG286
(GW2A at speed grade C8/I7).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

from qcompile.errors import fail
from qcompile.targets import Family

Range = tuple[Fraction, Fraction]

_ECP5_COMPARED = (Fraction(25, 8), Fraction(400))
_ECP5_OSCILLATES = (Fraction(400), Fraction(800))
_ECP5_MIDDLE = 600
_ICE40_COMPARED = (Fraction(10), Fraction(133))
_ICE40_OSCILLATES = (Fraction(533), Fraction(1066))
_ICE40_OUT = (Fraction(16), Fraction(275))
_ICE40_FILTERS = (17, 26, 44, 66, 101)  # MHz at the phase detector up to which FILTER_RANGE is 1, 2 …
_GOWIN_COMPARED = (Fraction(3), Fraction(500))
_GOWIN_OSCILLATES = (Fraction(500), Fraction(1250))
_GOWIN_DIVIDERS = (2, 4, 8, 16, 32, 48, 64, 80, 96, 112, 128)
_NEAR = Fraction(9, 10)  # of what is asked for


@dataclass(frozen=True)
class Pll:
    """``mhz`` comes out. ``settings`` are the primitive's parameters; none: the crystal itself is the clock."""

    mhz: Fraction
    settings: dict[str, int]


def find_pll(family: Family, crystal_mhz: int, clock_mhz: float) -> Pll:
    """The highest clock up to ``clock_mhz``; QC533 where the PLL makes none within 10 % of it."""
    asked = Fraction(clock_mhz).limit_denominator(1000)
    if asked == crystal_mhz:
        return Pll(asked, {})
    possible = list(_SETTINGS[family](crystal_mhz))
    near = [pll for pll in possible if asked * _NEAR <= pll.mhz <= asked]
    if not near:
        slower = max((pll.mhz for pll in possible if pll.mhz < asked), default=None)
        faster = min((pll.mhz for pll in possible if pll.mhz > asked), default=None)
        around = " and ".join(f"{float(mhz):g}" for mhz in (slower, faster) if mhz is not None)
        raise fail(
            "QC533",
            "--clock",
            f"no setting of the PLL makes {clock_mhz:g} MHz from the board's crystal of {crystal_mhz} MHz",
            f"give --clock {crystal_mhz}, which needs no PLL, or a clock that it makes: the nearest are {around} MHz",
        )
    return max(near, key=lambda pll: pll.mhz)  # of equals the first: the smallest dividers


def _ecp5(crystal: int) -> Iterator[Pll]:
    for divide in range(1, 129):
        compared = Fraction(crystal, divide)
        if not _within(compared, _ECP5_COMPARED):
            continue
        for multiply in range(1, 81):
            out = compared * multiply
            after = min(range(1, 129), key=lambda n, out=out: abs(out * n - _ECP5_MIDDLE))  # type: ignore[misc]
            if _within(out * after, _ECP5_OSCILLATES):
                yield Pll(out, {"divide": divide, "multiply": multiply, "after": after})


def _ice40(crystal: int) -> Iterator[Pll]:
    for divide in range(1, 17):
        compared = Fraction(crystal, divide)
        if not _within(compared, _ICE40_COMPARED):
            continue
        for multiply in range(1, 65):
            for after in range(1, 7):
                out = compared * multiply / (1 << after)
                if _within(compared * multiply, _ICE40_OSCILLATES) and _within(out, _ICE40_OUT):
                    filtered = 1 + sum(compared >= end for end in _ICE40_FILTERS)
                    yield Pll(out, {"divide": divide, "multiply": multiply, "after": after, "filter": filtered})


def _gowin(crystal: int) -> Iterator[Pll]:
    for divide in range(1, 65):
        compared = Fraction(crystal, divide)
        if not _within(compared, _GOWIN_COMPARED):
            continue
        for multiply in range(1, 65):
            out = compared * multiply
            after = next((n for n in _GOWIN_DIVIDERS if _within(out * n, _GOWIN_OSCILLATES)), None)
            if after is not None:
                yield Pll(out, {"divide": divide, "multiply": multiply, "after": after})


def _within(value: Fraction, limits: Range) -> bool:
    return limits[0] <= value <= limits[1]


_SETTINGS = {Family.ECP5: _ecp5, Family.ICE40: _ice40, Family.GOWIN: _gowin}
