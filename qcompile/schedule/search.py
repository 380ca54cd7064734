"""The fastest folding that fits a target."""

from __future__ import annotations

from collections.abc import Callable

from qcompile.schedule.design import Design

_STEPS = 14  # halvings of the (logarithmic) range of rates
_ENOUGH = 1.03  # stop when the bounds are so close


def fastest(
    build: Callable[[int], Design], fits: Callable[[Design], bool], least: int, slowest: int
) -> tuple[Design, int]:
    """The design with the fewest cycles per frame, about, that ``fits``, the smallest where none does; and the cycles.

    ``build`` makes a design for a number of cycles, from ``least`` (every layer as wide as folding goes) to
    ``slowest`` (one lane everywhere). Cost falls as cycles rise, though not strictly, so the
    bisection is a good guess and its result is checked by ``fits``.
    """
    best = build(slowest)
    cycles = slowest
    if not fits(best):
        return best, cycles
    fast, slow = float(least), float(slowest)
    for _ in range(_STEPS):
        if slow / fast < _ENOUGH:
            break
        middle = (fast * slow) ** 0.5
        design = build(int(middle))
        if fits(design):
            best, cycles, slow = design, int(middle), middle
        else:
            fast = middle
    return best, cycles
