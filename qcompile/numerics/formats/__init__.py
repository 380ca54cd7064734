"""Number formats: `fixed:8`, `minifloat:e3m2`, `pow2:4`, `mx:e2m1:32`. `FORMATS` lists them all."""

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
from qcompile.numerics.formats.grouped import Codebook, Grouped, Planes
from qcompile.numerics.formats.spelling import FORMATS, Spelling, parse_format

__all__ = [
    "FORMATS",
    "Codebook",
    "Fixed",
    "Format",
    "Grouped",
    "Levels",
    "MiniFloat",
    "Planes",
    "Spelling",
    "dense_power_of_two",
    "evenly_spaced",
    "k_hot",
    "parse_format",
    "power_of_two",
    "signed_digits",
]
