"""Adder graphs: the result type of the optimizer, its exact meaning and its figures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from qcompile.arith.solving import propagate

IntArray = npt.NDArray[Any]

_INT64_SAFE = 1 << 62


def width_of(low: int, high: int) -> int:
    """Bits of the narrowest integer format holding ``low..high``; unsigned if low >= 0."""
    if low >= 0:
        return high.bit_length()
    return max(high.bit_length(), (-low - 1).bit_length()) + 1


@dataclass(frozen=True, slots=True)
class AdderNode:
    """``(left << left_shift) ± (right << right_shift)``; operands index inputs first, then earlier nodes."""

    left: int
    right: int
    left_shift: int
    right_shift: int
    subtract: bool

    @property
    def passed_bits(self) -> int:
        """Low result bits that are wires: one operand is zero there and the other is not negated."""
        if self.subtract and self.left_shift > self.right_shift:
            return self.right_shift
        return max(self.left_shift, self.right_shift)


@dataclass(frozen=True, slots=True)
class AdderOutput:
    """``±(source << shift)``; ``source is None`` is the constant zero."""

    source: int | None
    shift: int
    negate: bool


@dataclass(frozen=True)
class AdderGraph:
    """A multiplier-free ``x @ W``: two-operand adders over integer inputs with known ranges.

    ``ranges`` holds one (low, high) for every input and node, in operand-index order. They are the exact
    extremes of each value's linear form when the inputs vary independently over ``input_ranges``.
    """

    inputs: int
    input_ranges: tuple[tuple[int, int], ...]
    nodes: tuple[AdderNode, ...]
    outputs: tuple[AdderOutput, ...]
    ranges: tuple[tuple[int, int], ...]

    @classmethod
    def build(
        cls,
        input_ranges: Sequence[tuple[int, int]],
        nodes: Sequence[AdderNode],
        outputs: Sequence[AdderOutput],
    ) -> AdderGraph:
        """Graph with its ranges computed, ``ValueError`` for an operand used before it exists."""
        inputs = len(input_ranges)
        for position, node in enumerate(nodes):
            if not (0 <= node.left < inputs + position and 0 <= node.right < inputs + position):
                raise ValueError(f"adder {position} reads {node.left} and {node.right}, not both defined")
            if node.left_shift < 0 or node.right_shift < 0:
                raise ValueError(f"adder {position} has a negative shift")
        for column, output in enumerate(outputs):
            if output.source is not None and not 0 <= output.source < inputs + len(nodes):
                raise ValueError(f"output {column} reads {output.source}, which does not exist")
        bounds = tuple((int(low), int(high)) for low, high in input_ranges)
        ranges = _linear_ranges(bounds, nodes)
        return cls(inputs, bounds, tuple(nodes), tuple(outputs), ranges)

    @property
    def adders(self) -> int:
        """Two-operand adders, counting one for every distinct value that is delivered negated."""
        return len(self.nodes) + len(self._negated_sources)

    @cached_property
    def full_adder_bits(self) -> int:
        """Summed over adders: result width minus the low bits that are wires; a negation counts in full."""
        total = 0
        for node, (low, high) in zip(self.nodes, self.ranges[self.inputs :], strict=True):
            total += max(width_of(low, high) - node.passed_bits, 0)
        for source in self._negated_sources:
            low, high = self.ranges[source]
            total += width_of(-high, -low)
        return total

    def delivery(self, arrival: Sequence[int]) -> tuple[int, ...]:
        """Adder depth at which each output is delivered if inputs come at the depths ``arrival``; a constant at 0."""
        times = [int(time) for time in arrival]
        for node in self.nodes:
            times.append(max(times[node.left], times[node.right]) + 1)
        return tuple(0 if out.source is None else times[out.source] + out.negate for out in self.outputs)

    @property
    def depth(self) -> int:
        """Adders on the longest path from an input to an output; a negated output adds one."""
        return max(self.delivery([0] * self.inputs), default=0)

    @property
    def _negated_sources(self) -> list[int]:
        return sorted({out.source for out in self.outputs if out.negate and out.source is not None})

    def evaluate(self, x: npt.ArrayLike) -> IntArray:
        """Exact outputs ``[samples, outputs]`` for integers ``x`` ``[samples, inputs]``.

        int64 when no value can leave it for these samples, else Python integers in an object array.
        """
        samples = np.asarray(x)
        if samples.ndim != 2 or samples.shape[1] != self.inputs:
            raise ValueError(f"x has shape {samples.shape}, need [samples, {self.inputs}]")
        if samples.dtype != object and not np.issubdtype(samples.dtype, np.integer) and samples.size:
            raise ValueError(f"x has type {samples.dtype}, need integers")
        peak = max((abs(int(v)) for v in (samples.min(), samples.max())), default=0) if samples.size else 0
        narrow = self._magnitude_bound(peak) < _INT64_SAFE
        rows = np.ascontiguousarray(samples.T.astype(np.int64 if narrow else object))
        return self._propagate(rows).T.copy()

    def coefficients(self) -> IntArray:
        """The matrix ``[inputs, outputs]`` this graph multiplies by, exact."""
        narrow = self._magnitude_bound(1) < _INT64_SAFE
        identity = np.zeros((self.inputs, self.inputs), dtype=np.int64 if narrow else object)
        identity[np.arange(self.inputs), np.arange(self.inputs)] = 1
        return self._propagate(identity).T.copy()

    def verify(self, matrix: npt.ArrayLike) -> None:
        """Raises ``AssertionError`` unless the graph computes ``x @ matrix`` and its ranges are right."""
        wanted = np.asarray(matrix, dtype=object)
        if not np.array_equal(self.coefficients().astype(object), wanted):
            raise AssertionError("the adder graph does not compute its matrix")
        if self.ranges != _linear_ranges(self.input_ranges, self.nodes):
            raise AssertionError("the adder graph has wrong ranges")

    def _propagate(self, rows: IntArray) -> IntArray:
        """Outputs [outputs, k] for input values ``rows`` [inputs, k]."""
        values = _propagated(rows, self.nodes)
        result = np.zeros((len(self.outputs), rows.shape[1]), dtype=rows.dtype)
        for column, output in enumerate(self.outputs):
            if output.source is None:
                continue
            value = values[output.source] << output.shift
            result[column] = -value if output.negate else value
        return result

    def _magnitude_bound(self, peak: int) -> int:
        """Bound on the magnitude of every value and shifted operand, for inputs of magnitude <= peak."""
        bounds = [peak] * self.inputs
        worst = peak
        for node in self.nodes:
            bound = (bounds[node.left] << node.left_shift) + (bounds[node.right] << node.right_shift)
            bounds.append(bound)
            worst = max(worst, bound)
        for output in self.outputs:
            if output.source is not None:
                worst = max(worst, bounds[output.source] << output.shift)
        return worst


def _linear_ranges(
    input_ranges: tuple[tuple[int, int], ...], nodes: Sequence[AdderNode]
) -> tuple[tuple[int, int], ...]:
    """Extremes of every value's linear form over independent inputs."""
    inputs = len(input_ranges)
    if not nodes:
        return input_ranges
    magnitude = [1] * inputs
    for node in nodes:
        magnitude.append((magnitude[node.left] << node.left_shift) + (magnitude[node.right] << node.right_shift))
    peak = max(max(abs(low), abs(high)) for low, high in input_ranges)
    narrow = max(magnitude) * max(peak, 1) * inputs < _INT64_SAFE
    kind = np.int64 if narrow else object
    lows = np.array([low for low, _ in input_ranges], dtype=kind)
    highs = np.array([high for _, high in input_ranges], dtype=kind)
    forms = _propagated(np.eye(inputs, dtype=kind), nodes)
    ranges: list[tuple[int, int]] = []
    for start in range(0, len(forms), 1024):
        block = forms[start : start + 1024]
        positive = np.where(block > 0, block, 0)
        negative = block - positive
        low = positive @ lows + negative @ highs
        high = positive @ highs + negative @ lows
        ranges.extend(zip(low.tolist(), high.tolist(), strict=True))
    return tuple(ranges)


def _propagated(rows: IntArray, nodes: Sequence[AdderNode]) -> IntArray:
    """Values [inputs + nodes, k] of all inputs and nodes; int64 must be known to suffice where ``rows`` is int64."""
    values = np.zeros((len(rows) + len(nodes), rows.shape[1]), dtype=rows.dtype)
    values[: len(rows)] = rows
    if rows.dtype == object:
        for index, node in enumerate(nodes, start=len(rows)):
            left, right = values[node.left] << node.left_shift, values[node.right] << node.right_shift
            values[index] = left - right if node.subtract else left + right
        return values
    flat = [(node.left, node.right, node.left_shift, node.right_shift, node.subtract) for node in nodes]
    propagate(values, np.array(flat, dtype=np.int64).reshape(len(flat), 5))
    return values
