"""What the host does: real inputs to codes and codes to real outputs, in a form that a driver can copy.

Quantizing is a step function: code number k begins at the least floating-point number whose exact code is at least
that. A table of these numbers and one search give the emulator's codes for every input, whatever the grid, its
rounding and its clamping are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import prod
from typing import Any

import numpy as np

from qcompile.ir import integer

LARGEST_TABLE = 1 << 16
PYTHON_HOST = {
    "softmax": "powers / powers.sum(axis=-1, keepdims=True)",
    "tanh": "np.tanh(values)",
    "exp": "np.exp(values)",
}
"""What drivers run after dequantizing, by the name in `integer.Output.host`."""


@dataclass(frozen=True)
class Encoder:
    """``steps[c][k]``: where code ``codes[k + 1]`` of channel c begins, and whether that boundary belongs to it; for
    ``signs[c] * x``. One entry each where all channels are alike. ``order``: position in the ONNX tensor of each value
    on the bus, None where they are the same. ``grid`` describes the codes in words.
    """

    grid: str
    shape: tuple[int, ...]
    order: tuple[int, ...] | None
    codes: Sequence[int]
    steps: tuple[tuple[tuple[Fraction, bool], ...], ...]
    signs: tuple[int, ...]

    @property
    def size(self) -> int:
        return prod(self.shape)

    @property
    def channels(self) -> int:
        return len(self.steps)

    @property
    def uniform(self) -> bool:
        """The codes are consecutive integers."""
        return self.codes[-1] - self.codes[0] == len(self.codes) - 1

    def literals(self, language: str) -> list[list[str]]:
        """``steps`` as the least numbers of Python's float, or of C's."""
        kind, literal = (np.float32, _c_literal) if language == "c" else (np.float64, _python_literal)
        return [[literal(_least(kind, *step)) for step in channel] for channel in self.steps]


@dataclass(frozen=True)
class Decoder:
    """``scale[c] * code + offset[c]``, c the last axis of the codes; ``order``: position on the bus of each value of
    the ONNX tensor. ``host`` is what the network does after that, in software; ``grid`` whether it quantizes again.
    """

    name: str
    shape: tuple[int, ...]
    order: tuple[int, ...] | None
    scale: tuple[float, ...]
    offset: tuple[float, ...]
    host: str | None
    grid: bool

    @property
    def size(self) -> int:
        return prod(self.shape)

    @property
    def host_expression(self) -> str | None:
        """In Python, of ``values`` (and of ``powers``, their exponentials less the largest); None: left to the user."""
        return None if self.host is None or self.grid else PYTHON_HOST.get(self.host)


@dataclass(frozen=True)
class Codec:
    """``encoder`` is None where the input has too many codes for a table: a driver then takes codes."""

    encoder: Encoder | None
    decoder: Decoder


def codec(source: integer.Input, sink: integer.Output, name: str) -> Codec:
    """The host's side of a network with these ends; ``name`` is the ONNX output's."""
    order = tuple(int(k) for k in sink.order.values.ravel())
    decoder = Decoder(
        name=name,
        shape=sink.onnx_shape,
        order=_unless_identity(order),
        scale=tuple(float(s) for s in sink.scale),
        offset=tuple(float(o) for o in sink.offset),
        host=sink.host,
        grid=sink.grid is not None,
    )
    return Codec(_encoder(source), decoder)


def _encoder(op: integer.Input) -> Encoder | None:
    quantizer, affine = op.quantizer, op.affine
    assert quantizer.low is not None and quantizer.high is not None
    codes = quantizer.codes_between(quantizer.low, quantizer.high)
    if len(codes) > LARGEST_TABLE:
        return None
    channels = max(quantizer.channels, len(affine.scale), len(affine.offset))
    steps, signs = [], []
    for channel in range(channels):
        scale, offset = affine.scale[channel % len(affine.scale)], affine.offset[channel % len(affine.offset)]
        reached = (quantizer.least_value(code, channel) for code in codes[1:])
        steps.append(tuple(((boundary - offset) / abs(scale), included) for boundary, included in reached))
        signs.append(1 if scale > 0 else -1)
    order = tuple(int(k) for k in op.order.values.ravel())
    grid = str(quantizer) + (
        "" if (affine.scale, affine.offset) == ((Fraction(1),), (Fraction(0),)) else ", after the network's scaling"
    )
    return Encoder(grid, op.onnx_shape, _unless_identity(order), codes, tuple(steps), tuple(signs))


def _unless_identity(order: tuple[int, ...]) -> tuple[int, ...] | None:
    return None if order == tuple(range(len(order))) else order


def _least(kind: Any, boundary: Fraction, included: bool) -> Any:
    """The least number of the floating-point type ``kind`` above ``boundary``, or at it where that is ``included``."""

    def reaches(number: Any) -> bool:
        if np.isinf(number):
            return bool(number > 0)
        exact = Fraction(float(number))
        return exact >= boundary if included else exact > boundary

    with np.errstate(over="ignore"):
        number = kind(float(boundary))
        while not reaches(number):
            number = np.nextafter(number, kind(np.inf))
        while reaches(below := np.nextafter(number, kind(-np.inf))):
            number = below
    return number


def _python_literal(number: Any) -> str:
    return "np.inf" if np.isinf(number) else repr(float(number))


def _c_literal(number: Any) -> str:
    if np.isinf(number):
        return "INFINITY"
    text = repr(float(np.format_float_scientific(number, unique=True)))  # the shortest that is this float
    return f"{text}f"
