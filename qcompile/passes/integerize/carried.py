"""What integerization knows of a real tensor: its constant values, or the integers that carry it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cached_property, reduce
from math import gcd, lcm, prod
from typing import Any

import numpy as np
import numpy.typing as npt

from qcompile.ir.graph import Node, merge_origins
from qcompile.numerics.function import Affine, Step, append_step
from qcompile.numerics.quantizer import Quantizer

Index = npt.NDArray[np.int64]


class Refused(Exception):
    """This node has no integer meaning: diagnostic code, what was found, a way out."""


@dataclass(frozen=True, eq=False)
class Known:
    """A constant tensor: float64 or Fraction ``values``, or codes of a quantizer whose channels are ``channel``."""

    values: npt.NDArray[Any]
    codes: npt.NDArray[np.int64] | None = None
    quantizer: Quantizer | None = None
    channel: Index | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        return self.values.shape

    def exact(self, position: int) -> Fraction:
        """The exact value at a row-major position."""
        if self.codes is None or self.quantizer is None:
            return Fraction(self.values.flat[position])
        channel = 0 if self.channel is None else int(self.channel.flat[position])
        return self.quantizer.value(int(self.codes.flat[position]), channel)

    def fractions(self) -> npt.NDArray[Any]:
        """All values as an object array of Fractions."""
        result = np.empty(self.values.size, object)
        for position in range(self.values.size):
            result[position] = self.exact(position)
        return result.reshape(self.shape)

    def picked(self, positions: Index) -> Known:
        """The constant with these row-major positions as its elements."""
        return Known(
            self.values.ravel()[positions],
            None if self.codes is None else self.codes.ravel()[positions],
            self.quantizer,
            None if self.channel is None else self.channel.ravel()[positions],
        )


@dataclass(frozen=True, eq=False)
class Term:
    """``constant`` added to (or with ``multiply`` multiplied with) an input; ``at``: for each input element which."""

    constant: Known
    at: Index
    multiply: bool


@dataclass(frozen=True, eq=False)
class Raw:
    """A network input that no quantizer has met yet: ``terms`` of the ONNX input, seen through ``index``."""

    source: Node
    index: Index
    terms: tuple[Term, ...] = ()
    origin: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Carried:
    """A real tensor as integers: value = steps(code of integer node ``node``).

    ``shape`` is the node's (channels last), ``index`` has the ONNX shape and holds for each element its
    row-major position in the node's value. ``steps`` have one parameter, or one per channel of ``shape``.
    ``host`` is set once the tensor exists on the host alone (after a softmax), ``grid`` once it was quantized
    there.
    """

    node: str
    shape: tuple[int, ...]
    index: Index
    steps: tuple[Step, ...]
    origin: tuple[str, ...] = ()
    host: str | None = None
    grid: Quantizer | None = None

    @property
    def channels(self) -> int:
        return self.shape[-1]

    @property
    def size(self) -> int:
        return prod(self.shape)

    @cached_property
    def whole(self) -> bool:
        """Whether every element of the node is exactly one of the tensor."""
        if self.index.size != self.size:
            return False
        return bool((np.bincount(self.index.ravel(), minlength=self.size) == 1).all())

    @cached_property
    def layout(self) -> Index:
        """For each element of the node (shaped as it is) its row-major position in the ONNX tensor; needs `whole`."""
        where = np.empty(self.size, np.int64)
        where[self.index.ravel()] = np.arange(self.size)
        return where.reshape(self.shape)

    def then(self, step: Step, origin: tuple[str, ...]) -> Carried:
        return replace(self, steps=append_step(self.steps, step), origin=merge_origins(self.origin, origin))

    def viewed(self, index: Index, origin: tuple[str, ...] = ()) -> Carried:
        return replace(self, index=index, origin=merge_origins(self.origin, origin))

    def affine(self) -> Affine | None:
        """The steps as one affine function, if they are."""
        match self.steps:
            case ():
                return Affine((Fraction(1),), (Fraction(0),))
            case (Affine() as only,):
                return only
        return None

    def uniform(self) -> tuple[Fraction, Fraction] | None:
        """``(scale, offset)`` if one positive scale and one offset hold for all channels."""
        affine = self.affine()
        if affine is None or len(affine.scale) > 1 or len(affine.offset) > 1 or affine.scale[0] <= 0:
            return None
        return affine.scale[0], affine.offset[0]

    def per_channel(self, known: Known) -> tuple[Fraction, ...] | None:
        """``known``, broadcast to this tensor, as one exact value or one per channel; None if it varies within."""
        if known.values.size == 1:
            return (known.exact(0),)
        positions = np.arange(known.values.size).reshape(known.shape)
        spread = np.broadcast_to(positions, self.index.shape)
        return by_channel(known, self.index % self.channels, spread, self.channels)


def by_channel(known: Known, channels: Index, positions: Index, count: int) -> tuple[Fraction, ...] | None:
    """One value per channel, where ``positions`` of ``known`` meet ``channels``; None where one meets several."""
    pairs = np.unique(channels.ravel() * known.values.size + positions.ravel())
    found: list[set[Fraction]] = [set() for _ in range(count)]
    for pair in pairs.tolist():
        found[pair // known.values.size].add(known.exact(pair % known.values.size))
    if any(len(values) > 1 for values in found):
        return None
    return shared([values.pop() if values else Fraction(0) for values in found])


def shared(values: list[Any]) -> tuple[Any, ...]:
    """One entry where all are the same, else one per channel."""
    return tuple(values[:1]) if len(set(values)) == 1 else tuple(values)


def common_unit(values: list[Fraction]) -> Fraction:
    """The largest rational of which all ``values`` are integer multiples (1 if all are zero)."""
    held = [v for v in values if v]
    if not held:
        return Fraction(1)
    denominator = reduce(lcm, (v.denominator for v in held))
    return Fraction(reduce(gcd, (v.numerator * (denominator // v.denominator) for v in held), 0), denominator)


def integer_weights(known: Known, out_axis: int) -> tuple[npt.NDArray[Any], list[Fraction]]:
    """``(ints, scales)`` with value = ints * scales[out]; exact, one scale per output channel.

    Quantized constants use their own grid; others the coarsest grid that holds each channel exactly.
    """
    own = _on_own_grid(known, out_axis)
    if own is not None:
        return own
    moved = np.moveaxis(np.arange(known.values.size).reshape(known.shape), out_axis, 0)
    result = np.empty(moved.shape, object)
    scales = []
    for out, positions in enumerate(moved):
        exact = [known.exact(p) for p in positions.ravel().tolist()]
        unit = common_unit(exact)
        scales.append(unit)
        result[out] = np.array([int(v / unit) for v in exact], object).reshape(positions.shape)
    return np.moveaxis(result, 0, out_axis), scales


def _on_own_grid(known: Known, out_axis: int) -> tuple[npt.NDArray[Any], list[Fraction]] | None:
    """Codes without their zero points, if each output channel has one scale and integer zero point."""
    quantizer = known.quantizer
    if known.codes is None or quantizer is None:
        return None
    outs = known.shape[out_axis]
    channels = np.zeros((outs, 1), np.int64)
    if known.channel is not None and quantizer.channels > 1:
        channels = np.moveaxis(known.channel, out_axis, 0).reshape(outs, -1)
    first = channels[:, 0].tolist()
    zeros = [quantizer.zero_of(c) for c in first]
    if not (channels == channels[:, :1]).all() or any(z.denominator != 1 for z in zeros):
        return None
    shape = [-1 if a == out_axis % known.values.ndim else 1 for a in range(known.values.ndim)]
    return known.codes - np.array([int(z) for z in zeros]).reshape(shape), [quantizer.scale_of(c) for c in first]
