"""What integerization knows of a real tensor: the integers that carry it, and how to read them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction
from functools import reduce
from math import gcd, lcm, prod
from typing import Any

import numpy as np
import numpy.typing as npt

from qcompile.ir.graph import merge_origins
from qcompile.numerics.function import Affine, Step, append_step, direction
from qcompile.numerics.quantizer import Quantizer


@dataclass(frozen=True, eq=False)
class Known:
    """A constant tensor: real values, or codes of a quantizer with channels along ``axis``."""

    values: npt.NDArray[np.float64]
    codes: npt.NDArray[np.int64] | None = None
    quantizer: Quantizer | None = None
    axis: int | None = None

    def exact(self, position: int) -> Fraction:
        """The exact value at a row-major position."""
        if self.codes is None or self.quantizer is None:
            return Fraction(float(self.values.flat[position]))
        channel = 0
        if self.axis is not None:
            channel = int(np.unravel_index(position, self.values.shape)[self.axis])
        return self.quantizer.value(int(self.codes.flat[position]), channel)


@dataclass(frozen=True, eq=False)
class Carried:
    """A real tensor as integers: value = steps(code of integer node ``node``).

    ``shape`` is the node's (channels last), ``index`` has the ONNX shape and holds for each element its
    row-major position in the node's value. ``steps`` have one parameter, or one per channel of ``shape``.
    ``host`` is set once the tensor exists on the host alone (after a softmax).
    """

    node: str
    shape: tuple[int, ...]
    index: npt.NDArray[np.int64]
    steps: tuple[Step, ...]
    origin: tuple[str, ...] = ()
    host: str | None = None

    @property
    def channels(self) -> int:
        return self.shape[-1]

    @property
    def positions(self) -> int:
        return prod(self.shape[:-1])

    @property
    def in_order(self) -> bool:
        """Whether ONNX's row-major order is the node's own."""
        return bool(np.array_equal(self.index.ravel(), np.arange(prod(self.shape))))

    def then(self, step: Step, origin: tuple[str, ...]) -> Carried:
        return replace(self, steps=append_step(self.steps, step), origin=merge_origins(self.origin, origin))

    def viewed(self, index: npt.NDArray[np.int64], origin: tuple[str, ...]) -> Carried:
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

    def monotone(self) -> bool:
        """Whether no channel's steps ever decrease."""
        return all(direction(self.steps, c) in (0, 1) for c in range(self.channels))

    def per_channel(self, known: Known) -> tuple[Fraction, ...] | None:
        """``known``, broadcast to this tensor, as one exact value or one per channel; None if it varies within."""
        positions = np.arange(known.values.size).reshape(known.values.shape)
        spread = np.broadcast_to(positions, self.index.shape).ravel()
        if known.values.size == 1:
            return (known.exact(0),)
        by_channel: dict[int, set[int]] = {}
        pairs = np.unique(np.stack([self.index.ravel() % self.channels, spread]), axis=1).T
        for channel, position in pairs.tolist():
            by_channel.setdefault(channel, set()).add(position)
        result = []
        for channel in range(self.channels):
            values = {known.exact(p) for p in by_channel.get(channel, ())} or {Fraction(0)}
            if len(values) > 1:
                return None
            result.append(values.pop())
        return tuple(result[:1]) if len(set(result)) == 1 else tuple(result)


def common_unit(values: list[Fraction]) -> Fraction:
    """The largest rational of which all ``values`` are integer multiples (1 if all are zero)."""
    held = [v for v in values if v]
    if not held:
        return Fraction(1)
    denominator = reduce(lcm, (v.denominator for v in held))
    return Fraction(reduce(gcd, (v.numerator * (denominator // v.denominator) for v in held)), denominator)


def integer_weights(known: Known, out_axis: int) -> tuple[npt.NDArray[Any], list[Fraction]]:
    """``(ints, scales)`` with value = ints * scales[out]; exact, one scale per output channel.

    Quantized constants use their own grid; others the coarsest grid that holds each channel exactly.
    """
    outs = known.values.shape[out_axis]
    quantizer = known.quantizer
    on_axis = known.axis is None or known.axis % known.values.ndim == out_axis % known.values.ndim
    if known.codes is not None and quantizer is not None and (on_axis or quantizer.channels == 1):
        zeros = [quantizer.zero_of(c) for c in range(outs)]
        if all(z.denominator == 1 for z in zeros):
            shape = [-1 if a == out_axis % known.values.ndim else 1 for a in range(known.values.ndim)]
            ints = known.codes - np.array([int(z) for z in zeros]).reshape(shape)
            return ints, [quantizer.scale_of(c) for c in range(outs)]
    moved = np.moveaxis(np.arange(known.values.size).reshape(known.values.shape), out_axis, 0)
    result = np.empty(moved.shape, object)
    scales = []
    for out in range(outs):
        exact = [known.exact(p) for p in moved[out].ravel().tolist()]
        unit = common_unit(exact)
        scales.append(unit)
        result[out] = np.array([int(v / unit) for v in exact], object).reshape(moved[out].shape)
    return np.moveaxis(result, 0, out_axis), scales
