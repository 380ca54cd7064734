"""How many of some bits are 1: popcounts whose adders take a bit each at their carry, and counts of steps in order."""

from __future__ import annotations

from collections.abc import Sequence

from qcompile.ir import datapath
from qcompile.lower.build import Builder
from qcompile.numerics.span import Span


def popcount(build: Builder, bits: Sequence[str], together: int = 3) -> str:
    """Any bits: small tables, and adders that count one more bit each.

    A table counts ``together`` bits: as many as have six inputs, with what forms them. 4/3 LUTs a product of signs.
    """
    if not bits:
        return build.add("constant_", datapath.Constant(0))
    if len(bits) <= together:
        return bits[0] if len(bits) == 1 else build.add("count_", datapath.CountOnes(), *bits)
    carry, *rest = bits
    whole = together
    while 2 * whole + 1 < len(rest):
        whole = 2 * whole + 1
    left = min(whole, len(rest) - 1)
    counts = popcount(build, rest[:left], together), popcount(build, rest[left:], together)
    return build.add("count_", datapath.AddCarry(), *counts, carry)


def count_steps(build: Builder, reached: Sequence[str]) -> str:
    """Bits in order, none of which is 1 where the one before is 0: the count's bits are choices between them."""
    if not reached:
        return build.add("constant_", datapath.Constant(0))
    total, steps = "", list(reached)
    while steps:
        half = 1 << (len(steps).bit_length() - 1)
        top, above, below = steps[half - 1], steps[half:], steps[: half - 1]
        steps = [build.add("step_", datapath.Select(), top, high, low) for high, low in zip(above, below, strict=False)]
        # Where none is above, those below are 1 already, and count no further.
        steps += [build.add("step_", datapath.Greater(), low, top) for low in below[len(above) :]]
        total = with_place(build, total, top, len(reached) >> len(steps).bit_length()) if total else top
    return total


def with_place(build: Builder, total: str, bit: str, most: int) -> str:
    """One more bit below ``total``, of a number that is ``most`` at most."""
    join = datapath.ShiftAdd(1, 0)
    reach = join.result_type(build.spans[total], build.spans[bit])
    return build.add("count_", datapath.ShiftAdd(1, 0, False, Span(reach.low, min(reach.high, most))), total, bit)
