"""Weights onto their grid: rounded so that the layer's results move least, with the scale that suits the rounding."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from fractions import Fraction

import numpy as np

from qcompile.ir.model import Reals
from qcompile.numerics.quantizer import Quantizer
from qcompile.quantize.grids import weight_rows
from qcompile.quantize.ranges import dyadic_scale, free_scale
from qcompile.quantize.rounding import Problem, fewer_digits, round_weights

_STEPS = {"pow2": (1, 2, 0.5), "free": (1, 0.84, 0.92, 1.09, 1.19, 1.3), "dyadic": (1, 0.84, 0.92, 1.09, 1.19, 1.3)}
"""Multiples of the first scale that are tried with the rounding itself."""


def fit_weights(
    weights: Reals, axis: int, quantizer: Quantizer, moments: Reals, method: str, scales: str | None, slack: float = 0.0
) -> tuple[Reals, Quantizer]:
    """``(weights, quantizer)``: every weight on the grid already, so that quantizing does not change it.

    ``axis`` counts output channels, as do the scales of ``quantizer`` where it has many. ``moments`` and ``method``
    as for `Problem` and `round_weights`. ``scales``: the kind of scale, of which the rounding may choose another
    than the quantizer's; None keeps that. ``slack``: the share by which the error may grow if that saves adders.
    """
    rows = weight_rows(weights, axis)
    levels = np.array(quantizer.codes_between(*_ends(quantizer)), np.float64)
    per = len(rows) // len(moments)
    grouped = rows.reshape(len(moments), per, -1)

    def problem_with(scale: tuple[Fraction, ...]) -> Problem:
        units = np.broadcast_to(np.array([float(s) for s in scale]).reshape(-1, 1), rows.shape)
        return Problem(grouped, units.reshape(grouped.shape), levels, moments)

    def rounded(scale: tuple[Fraction, ...]) -> tuple[Reals, Reals]:
        """``(rows, errors)`` with these scales."""
        problem = problem_with(scale)
        found = round_weights(problem, method)
        return found.reshape(rows.shape), problem.errors(found).reshape(-1)

    best = tuple(quantizer.scale_of(row) for row in range(len(rows)))
    chosen, errors = rounded(best)
    for scale in _tried(best, scales):
        other, other_errors = rounded(scale)
        better = (
            other_errors < errors if quantizer.channels > 1 else np.full(len(rows), other_errors.sum() < errors.sum())
        )
        chosen = np.where(better[:, None], other, chosen)
        errors = np.where(better, other_errors, errors)
        best = tuple(new if take else old for old, new, take in zip(best, scale, better, strict=True))
    if slack > 0:
        chosen = fewer_digits(problem_with(best), chosen.reshape(grouped.shape), slack).reshape(rows.shape)
    held = best if quantizer.channels > 1 else best[:1]
    moved = np.moveaxis(weights, axis, 0)
    return np.moveaxis(chosen.reshape(moved.shape), 0, axis), replace(quantizer, scale=held)


def _tried(first: tuple[Fraction, ...], scales: str | None) -> Iterable[tuple[Fraction, ...]]:
    if scales is None:
        return
    made = {"free": free_scale, "dyadic": dyadic_scale}
    for step in _STEPS[scales][1:]:
        if scales == "pow2":
            yield tuple(scale * Fraction(step) for scale in first)
        else:
            yield tuple(made[scales](float(scale) * step) for scale in first)


def _ends(quantizer: Quantizer) -> tuple[int, int]:
    assert quantizer.span is not None
    return quantizer.span.low, quantizer.span.high
