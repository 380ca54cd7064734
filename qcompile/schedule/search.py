"""The fastest schedule that fits a target."""

from __future__ import annotations

from collections.abc import Callable

from qcompile.schedule.design import Design

_STEPS = 14  # halvings of the (logarithmic) range of rates
_ENOUGH = 1.03  # stop when the bounds are so close


def fastest(
    build: Callable[[int], Design], fits: Callable[[int], Design | None], least: int, slowest: int
) -> tuple[Design, int]:
    """The design with the fewest cycles per frame, about, that fits, the smallest where none does; and the cycles.

    ``build`` makes a design for a number of cycles, from ``least`` to ``slowest`` (one lane everywhere); ``fits``
    makes it too, and is None where it does not fit. Cost falls as cycles rise, though not strictly, so the bisection
    is a good guess whose result fits.
    """
    best, cycles = fits(slowest), slowest
    if best is None:
        return build(slowest), slowest
    fastest = fits(least)
    if fastest is not None:
        return fastest, least
    fast, slow = float(least), float(slowest)
    for _ in range(_STEPS):
        if slow / fast < _ENOUGH:
            break
        middle = (fast * slow) ** 0.5
        design = fits(int(middle))
        if design is not None:
            best, cycles, slow = design, int(middle), middle
        else:
            fast = middle
    return best, cycles
