"""Whether a design's resources fit a target.

LUTs and flip-flops are filled to 90 % at most. Vendors advise less for easy timing (UG1393, Timing Closure
Considerations: 70 % LUT, 50 % FF, 80 % block RAM), and routing fails long before the last LUT; what is left also
has to hold the DMA and interconnect around the block. Memory blocks have no such cliff and may all be used. DSP
blocks must stay unused: a design without multipliers has none.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil, floor

from qcompile.targets.target import BRAM18_BITS, Target

_TITLES = {"lut": "LUTs", "ff": "flip-flops", "bram18": "18-Kibit block RAMs", "dsp": "DSP blocks"}
_ROUNDING = 1e-6  # sums of ninths


@dataclass(frozen=True)
class Excess:
    """A resource that a design has too much of. ``limit`` is what the fit check allows of ``available``."""

    resource: str
    used: int
    limit: int
    available: int

    def __str__(self) -> str:
        share = f", of which {self.limit:,} may be filled" if self.limit < self.available else ""
        return f"{self.used:,} {_TITLES[self.resource]} needed, the part has {self.available:,}{share}"


def limits(target: Target) -> dict[str, float]:
    """How much of each resource a design may use, under the keys of report.json.

    Block memory need not be whole units of 18 Kibit: the family's own blocks count.
    """
    return {
        "lut": floor(target.luts * target.max_lut),
        "ff": floor(target.ffs * target.max_ff),
        "bram18": floor(target.brams * target.max_bram) * target.memory.bits / BRAM18_BITS,
        "dsp": 0,
    }


def fit(totals: Mapping[str, float], target: Target) -> list[Excess]:
    """Every resource of ``totals`` (``lut``, ``ff``, ``bram18``, ``dsp``; others are ignored) that is too much."""
    return [
        Excess(resource, ceil(totals[resource]), floor(limit), target.resources[resource])
        for resource, limit in limits(target).items()
        if totals.get(resource, 0) > limit + _ROUNDING
    ]
