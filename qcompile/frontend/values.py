"""What an ONNX tensor is during import: known at compile time, or computed by a node of the model graph."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt

from qcompile.numerics.quantizer import Quantizer


@dataclass(frozen=True)
class Grid:
    """A quantizer, its channels along ``axis`` (None when shared by all).

    The ONNX tensor of codes holds ``code * unit``: an integer as it is, a float8 as the number that it spells.
    """

    quantizer: Quantizer
    axis: int | None = None
    unit: Fraction = Fraction(1)

    def numbers(self, codes: npt.NDArray[np.integer]) -> npt.NDArray[np.float64]:
        """What the ONNX tensor of ``codes`` holds, as float64."""
        return np.asarray(codes * float(self.unit), np.float64)

    def real_scale(self, rank: int) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """``(s, z)`` with real = s * (number - z), shaped to broadcast; the file's scale and zero point."""
        scale, zero = self.quantizer.scale_array(rank, self.axis)
        return scale / float(self.unit), zero

    def same_line(self, other: Grid) -> bool:
        """Whether both give every number the same real value (limits and rounding may differ)."""
        return (self.axis, self.unit, self.quantizer.scale, self.quantizer.zero_point) == (
            other.axis,
            other.unit,
            other.quantizer.scale,
            other.quantizer.zero_point,
        )


@dataclass(frozen=True, eq=False)
class Known:
    """A tensor known at compile time.

    Without ``grid`` the ONNX tensor is ``array``. With it, ``array`` holds reals (float64) still to be
    quantized, and the ONNX tensor is the nearest grid values, or with ``coded`` their codes. ``limits``: all
    codes were clipped to this range (Brevitas clips integer weights to say how many bits they have).
    ``parts``: the same tensor in pieces along ``parts_axis``, where each piece has a grid and the whole has
    none (blocked scales).
    """

    array: npt.NDArray[Any]
    name: str
    dtype: np.dtype[Any]
    grid: Grid | None = None
    coded: bool = False
    limits: tuple[int, int] | None = None
    origin: tuple[str, ...] = ()
    parts: tuple[Known, ...] = ()
    parts_axis: int = 0

    @property
    def shape(self) -> tuple[int, ...]:
        return self.array.shape

    def plain(self) -> npt.NDArray[Any]:
        """The ONNX tensor's elements in its own type."""
        if self.grid is None:
            return self.array
        codes = self.grid.quantizer.codes(self.array, self.grid.axis)
        if self.coded:
            return self.grid.numbers(codes).astype(self.dtype)
        return self.grid.quantizer.values(codes, self.grid.axis).astype(self.dtype)


@dataclass(frozen=True)
class Live:
    """A tensor that the model graph computes at node ``name``.

    The ONNX tensor is the node's real value; or, with ``codes``, the codes of that value on a grid on which it
    lies already. ``source`` is then the node before the quantizer, for a Clip that narrows the grid.
    """

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    codes: Grid | None = None
    source: Live | None = None


@dataclass(frozen=True)
class Absent:
    """The result of a node that was refused: nodes after it are checked, but not imported."""


Value = Known | Live | Absent
