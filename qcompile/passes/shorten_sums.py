"""Residual additions with short factors: the same codes from far fewer adders, proved on every pair of operands.

Scales read from float32 files align only on a very fine common grid, so an exact `WeightedSum` has factors of
some 30 bits. When a requantization follows, much shorter factors give the same codes for all operands; the
shortest that do are found by trying, and proved by evaluating the whole (small) domain.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import prod
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from qcompile.ir import integer
from qcompile.ir.graph import Graph, Level, Node
from qcompile.numerics.function import Affine, Clamp, ScalarFunction
from qcompile.numerics.rounding import Rounding
from qcompile.numerics.span import Span

_LARGEST_DOMAIN = 1 << 20
_SHORT = 12  # factors of so few bits are left as they are
_LARGEST_SHIFT = 30


@dataclass(frozen=True)
class ShortenSums:
    """Shorten the factors of sums that a requantization follows."""

    name: ClassVar[str] = "shorten_sums"
    requires: ClassVar[Level] = integer.INTEGER
    ensures: ClassVar[Level] = integer.INTEGER

    def run(self, graph: Graph) -> Graph:
        shortened: dict[str, Node] = {}
        for node in graph.nodes:
            if not isinstance(node.op, integer.Requantize):
                continue
            total = graph.by_name[node.inputs[0]]
            if not isinstance(total.op, integer.WeightedSum) or len(graph.users[total.name]) != 1:
                continue
            result = _shortened(graph, total, node)
            if result is not None:
                shortened[total.name], shortened[node.name] = result
        return graph.rewrite(lambda node: [shortened[node.name]] if node.name in shortened else None)


def _shortened(graph: Graph, total: Node, node: Node) -> tuple[Node, Node] | None:
    """The sum and its requantization with short factors; None where they are short, per channel, or none works."""
    op, function = total.op, node.op.function  # type: ignore[attr-defined]
    assert isinstance(op, integer.WeightedSum)
    factors = [f[0] for f in op.factors]
    uniform = all(len(f) == 1 for f in op.factors) and len(op.offsets) == 1 and function.channels == 1
    if not uniform or max(abs(f) for f in factors).bit_length() <= _SHORT or not _is_line(function):
        return None
    spans: list[Span] = [graph.types[name].span for name in total.inputs]
    if prod(s.size for s in spans) > _LARGEST_DOMAIN:
        return None
    grids = np.meshgrid(*(np.arange(s.low, s.high + 1) for s in spans), indexing="ij")
    wanted, low, high = _codes(function, op, factors, grids)
    scale = function.steps[0].scale[0] / function.quantizer.scale[0]
    for shift in range(_LARGEST_SHIFT):
        short = [round(f * scale * (1 << shift)) for f in factors]
        partial = sum(f * grid for f, grid in zip(short, grids, strict=True))
        offset = _common_offset(partial, wanted, shift, low, high)
        if offset is not None:
            rescale = integer.Rescale((1,), (offset,), (shift,), low, high, Rounding.FLOOR)
            return (
                replace(total, op=integer.WeightedSum(tuple((f,) for f in short), (0,))),
                replace(node, op=rescale),
            )
    return None


def _is_line(function: ScalarFunction) -> bool:
    """One positive affine step, then clamps only, to every integer of a range."""
    if not function.quantizer.every_integer:
        return False
    first, *rest = function.steps or (None,)
    return isinstance(first, Affine) and first.scale[0] > 0 and all(isinstance(s, Clamp) for s in rest)


def _codes(
    function: ScalarFunction, op: integer.WeightedSum, factors: list[int], grids: Any
) -> tuple[npt.NDArray[np.int64], int, int]:
    """The exact codes over the whole domain, and their limits."""
    exact = sum(f * grid.astype(object) for f, grid in zip(factors, grids, strict=True)) + op.offsets[0]
    domain = Span(int(exact.min()), int(exact.max()))
    steps = function.thresholds(domain, 0)
    assert steps is not None  # a line with clamps is monotone
    codes = steps.bottom + np.searchsorted(steps.at, exact.ravel(), side="right")
    return codes.reshape(exact.shape).astype(np.int64), steps.bottom, steps.top


def _common_offset(
    partial: npt.NDArray[np.int64], wanted: npt.NDArray[np.int64], shift: int, low: int, high: int
) -> int | None:
    """An offset with which ``clamp((partial + offset) >> shift)`` is ``wanted`` everywhere."""
    floor, ceiling = wanted << shift, ((wanted + 1) << shift) - 1
    least = int((floor - partial)[wanted > low].max(initial=-(1 << 60)))
    most = int((ceiling - partial)[wanted < high].min(initial=1 << 60))
    if least > most:
        return None
    for zeros in range(max(abs(least), abs(most)).bit_length(), -1, -1):
        candidate = -(-least >> zeros) << zeros
        if candidate <= most:
            return candidate
    return None
