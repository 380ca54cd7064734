"""What an ONNX tensor is during import: known at compile time, or computed by a node of the model graph."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from qcompile.numerics.quantizer import Quantizer


@dataclass(frozen=True)
class Grid:
    """A quantizer, its channels along ``axis`` (None when shared by all)."""

    quantizer: Quantizer
    axis: int | None = None

    def along(self, axis: int | None) -> Grid:
        return Grid(self.quantizer, axis)


@dataclass(frozen=True, eq=False)
class Known:
    """A tensor known at compile time.

    Without ``grid`` the ONNX tensor is ``array``. With it, ``array`` holds reals (float64) still to be
    quantized, and the ONNX tensor is the nearest grid values, or with ``coded`` their codes. ``limits``: all
    codes were clipped to this range (Brevitas clips integer weights to say how many bits they have).
    """

    array: npt.NDArray[Any]
    name: str
    dtype: np.dtype[Any]
    grid: Grid | None = None
    coded: bool = False
    limits: tuple[int, int] | None = None
    origin: tuple[str, ...] = ()

    @property
    def shape(self) -> tuple[int, ...]:
        return self.array.shape

    def plain(self) -> npt.NDArray[Any]:
        """The ONNX tensor's elements in its own type."""
        if self.grid is None:
            return self.array
        codes = self.grid.quantizer.codes(self.array, self.grid.axis)
        return (codes if self.coded else self.grid.quantizer.values(codes, self.grid.axis)).astype(self.dtype)


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
