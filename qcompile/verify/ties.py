"""Why a float runtime differs from the exact meaning: the codes that its rounding errors may have flipped.

A runtime that computes in float32 rounds each partial sum. Where the exact value of a requantization lies within
that error of the boundary between two codes, either code is a fair result (a float tie). `explain` looks for ties
that, decided the other way in the exact network, give the runtime's output.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import combinations
from typing import Any

import numpy as np
import numpy.typing as npt

from qcompile.emulator import Emulator
from qcompile.ir import integer, model
from qcompile.ir.array import Array
from qcompile.ir.graph import Graph, Node
from qcompile.numerics.channels import channel_index
from qcompile.numerics.function import ScalarFunction, Step, evaluate_steps
from qcompile.passes.realize_requantize import RealizeRequantize
from qcompile.verify.magnitudes import magnitudes, step_values

RESOLUTION = 2.0**-23
"""Of float32: the distance of neighbouring numbers, relative to their size."""
FLOAT32_BITS = 24
LARGEST_ERROR = 8.0
"""A sum of some hundred rounded terms is off by a few resolutions of the sum of their magnitudes."""
_MOST_CANDIDATES = 400
_PAIRED = 24  # candidates of which pairs are tried


@dataclass(frozen=True)
class Tie:
    """One code at integer node ``node``: ``exact`` by the exact value, ``other`` beyond the boundary.

    ``distance`` is that of the exact value to the boundary, a rational; ``error`` the same in units of the float32
    resolution of the sums behind it.
    """

    node: str
    origin: tuple[str, ...]
    position: int
    exact: int
    other: int
    distance: Fraction
    error: float


@dataclass(frozen=True)
class Explanation:
    """``ties`` decided the other way give the reference; ``candidates`` were near enough to try."""

    ties: tuple[Tie, ...]
    candidates: int


@dataclass(frozen=True)
class WeightTie:
    """A weight that float32 division takes to code ``other``; fields as in `Tie`, ``node`` is the model's."""

    node: str
    position: int
    exact: int
    other: int
    error: float


def weight_ties(graph: Graph) -> list[WeightTie]:
    """Weights that are quantized from floats, within two float32 roundings of the boundary between two codes."""
    found = []
    for node in graph.nodes:
        if not isinstance(node.op, model.Quantize):
            continue
        source = graph.by_name[node.inputs[0]]
        if not isinstance(source.op, model.Constant):
            continue
        values = source.op.value.values.astype(np.float64)
        axis, quantizer = node.op.axis, node.op.quantizer
        codes = quantizer.codes(values, axis)
        channels = channel_index(values.shape, quantizer.channels, axis).ravel()
        for sign in (-1, 1):
            others = quantizer.codes(values * (1 + sign * RESOLUTION), axis)
            for position in np.flatnonzero((others != codes).ravel()).tolist():
                code, other = int(codes.flat[position]), int(others.flat[position])
                boundary, _ = quantizer.least_value(max(code, other), int(channels[position]))
                value = Fraction(float(values.flat[position]))
                error = abs(float((value - boundary) / (abs(value) or 1))) / RESOLUTION
                found.append(WeightTie(node.name, position, code, other, error))
    return sorted(found, key=lambda tie: (tie.error, tie.node, tie.position))


def with_weights(graph: Graph, ties: Sequence[WeightTie]) -> Graph:
    """The model graph with these weights on their other code."""

    def step(node: Node) -> list[Node] | None:
        own = [tie for tie in ties if tie.node == node.name]
        if not own or not isinstance(node.op, model.Quantize):
            return None
        source = graph.by_name[node.inputs[0]]
        assert isinstance(source.op, model.Constant)
        values = source.op.value.values.astype(np.float64).copy()
        channels = channel_index(values.shape, node.op.quantizer.channels, node.op.axis).ravel()
        for tie in own:
            values.flat[tie.position] = float(node.op.quantizer.value(tie.other, int(channels[tie.position])))
        changed = Node(f"{node.name} changed", model.Constant(Array(values)))
        return [changed, replace(node, inputs=(changed.name,))]

    return graph.rewrite(step)


class TieSearch:
    """``meaning`` is the integer graph before its requantizations were realised."""

    def __init__(self, meaning: Graph) -> None:
        self.meaning = meaning
        self.golden = RealizeRequantize().run(meaning)
        self.emulator = Emulator(self.golden)

    def outputs(self, codes: npt.NDArray[Any], ties: Sequence[Tie] = ()) -> npt.NDArray[np.float64]:
        """Real output of one sample's input codes, with these ties decided the other way."""
        source = self.emulator.inputs[0].name
        codes = codes.copy()
        for tie in ties:
            if tie.node == source:
                codes.reshape(-1)[tie.position] = tie.other
        inner = [tie for tie in ties if tie.node != source]
        emulator = Emulator(_flipped(self.golden, inner)) if inner else self.emulator
        (node,) = emulator.outputs
        return emulator.decode(node, emulator.run(codes)[node.name])[0]

    def candidates(self, sample: npt.NDArray[Any]) -> list[Tie]:
        """Ties of one sample ``[1, *ONNX shape]``, nearest first."""
        codes = self.emulator.encode(sample)
        trace = self.emulator.trace(codes)
        sizes = magnitudes(self.meaning, trace)
        found: list[Tie] = []
        for node in self.meaning.nodes:
            match node.op:
                case integer.Requantize(function=function):
                    found += _near(node, function, trace[node.inputs[0]], trace[node.name], sizes[node.inputs[0]])
                case integer.Input():
                    values = np.asarray(sample, np.float64).reshape(-1)[node.op.order.values]
                    function = ScalarFunction((node.op.affine,), node.op.quantizer)
                    found += _near(node, function, values[None], codes, np.abs(values)[None])
        return sorted(found, key=lambda tie: (tie.error, tie.node, tie.position))[:_MOST_CANDIDATES]

    def explain(self, sample: npt.NDArray[Any], reference: npt.NDArray[Any], tolerance: float) -> Explanation | None:
        """Ties with which one sample's output is within ``tolerance`` of ``reference``; None where none are found.

        Ties are taken one after the other as long as each brings more output values in agreement, then in pairs.
        """
        codes = self.emulator.encode(sample)
        wanted = np.asarray(reference, np.float64).reshape(-1)

        def wrong(ties: Sequence[Tie]) -> int:
            return int((np.abs(self.outputs(codes, ties).reshape(-1) - wanted) > tolerance).sum())

        everything = self.candidates(sample)
        chosen = self._last(codes, everything, wanted, tolerance)
        left = wrong(chosen)
        for tie in everything:
            if left == 0:
                break
            trial = wrong([*chosen, tie])
            if trial < left:
                chosen, left = [*chosen, tie], trial
        for pair in combinations(everything[:_PAIRED], 2):
            if left == 0:
                break
            trial = wrong([*chosen, *pair])
            if trial < left:
                chosen, left = [*chosen, *pair], trial
        return Explanation(tuple(chosen), len(everything)) if left == 0 else None

    def _last(
        self, codes: npt.NDArray[Any], everything: list[Tie], wanted: npt.NDArray[np.float64], tolerance: float
    ) -> list[Tie]:
        """Ties at the output itself: each concerns one value of it, so all are judged at once."""
        (node,) = self.emulator.outputs
        if node.op.host is not None:  # type: ignore[attr-defined]
            return []
        ties = [tie for tie in everything if tie.node == node.inputs[0]]
        before, after = (np.abs(self.outputs(codes, some).reshape(-1) - wanted) <= tolerance for some in ([], ties))
        mended = set(node.op.order.values.ravel()[after & ~before].tolist())  # type: ignore[attr-defined]
        return [tie for tie in ties if tie.position in mended]


def _near(
    node: Node, function: ScalarFunction, accumulator: npt.NDArray[Any], codes: npt.NDArray[Any], size: npt.NDArray[Any]
) -> list[Tie]:
    """The elements whose code another float32 result could have, by exact distances."""
    channels = codes.shape[-1]
    values, sizes = step_values(function.steps, accumulator, size)
    reach = LARGEST_ERROR * RESOLUTION * sizes
    quantizer = function.quantizer
    axis = values.ndim - 1 if quantizer.channels > 1 else None
    below, above = (quantizer.codes(values + sign * reach, axis) for sign in (-1, 1))
    found = []
    for position in np.flatnonzero((below != codes).ravel() | (above != codes).ravel()).tolist():
        code, channel = int(codes.flat[position]), position % channels
        value = accumulator.flat[position]
        start = Fraction(value) if isinstance(value, float) else Fraction(int(value))
        if _computed_exactly(function.steps, start, channel):
            continue
        exact = evaluate_steps(function.steps, start, channel)
        for other in {int(below.flat[position]), int(above.flat[position])} - {code}:
            boundary, _ = quantizer.least_value(max(code, other), channel % quantizer.channels)
            distance = exact - boundary
            error = abs(float(distance)) / (RESOLUTION * float(sizes.flat[position]) or 1.0)
            if error <= LARGEST_ERROR:
                found.append(Tie(node.name, node.origin, position, code, other, distance, error))
    return found


def _computed_exactly(steps: tuple[Step, ...], value: Fraction, channel: int) -> bool:
    """Whether float32 holds every value on the way, so that no rounding happens."""
    for step in ((), *((s,) for s in steps)):
        value = evaluate_steps(step, value, channel)
        odd = abs(value.numerator) >> max((value.numerator & -value.numerator).bit_length() - 1, 0)
        if value.denominator.bit_count() != 1 or odd.bit_length() > FLOAT32_BITS:
            return False
    return True


def _flipped(graph: Graph, ties: Sequence[Tie]) -> Graph:
    """The graph with the codes of ``ties`` replaced: what the runtime would have computed."""
    by_node: dict[str, list[Tie]] = {}
    for tie in ties:
        by_node.setdefault(tie.node, []).append(tie)

    def step(node: Node) -> list[Node] | None:
        if node.name not in by_node:
            return None
        kind = graph.types[node.name]
        size = int(np.prod(kind.shape))
        change = [0] * size
        for tie in by_node[node.name]:
            change[tie.position] = tie.other - tie.exact
        own, flat, moved = (f"{node.name} {part}" for part in ("exact", "flat", "changed"))
        span = kind.span
        return [
            replace(node, name=own),
            Node(flat, integer.Reshape((size,)), (own,)),
            Node(moved, integer.Rescale((1,), tuple(change), (0,), span.low, span.high), (flat,)),
            Node(node.name, integer.Reshape(kind.shape), (moved,)),
        ]

    return graph.rewrite(step)
