"""Sliding windows: the geometry that convolutions and pooling share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from qcompile.ir.graph import IRError


@dataclass(frozen=True)
class Window:
    """A 2-D sliding window, all in (rows, columns). ``pads`` is (top, left, bottom, right). 1-D is one row."""

    kernel: tuple[int, int]
    strides: tuple[int, int] = (1, 1)
    pads: tuple[int, int, int, int] = (0, 0, 0, 0)
    dilations: tuple[int, int] = (1, 1)

    @property
    def extent(self) -> tuple[int, int]:
        """Rows and columns that one dilated window covers."""
        return tuple((k - 1) * d + 1 for k, d in zip(self.kernel, self.dilations, strict=True))  # type: ignore[return-value]

    @property
    def padded(self) -> bool:
        return any(self.pads)

    def output_size(self, height: int, width: int) -> tuple[int, int]:
        """Window positions on an image of ``height`` by ``width``; `IRError` where there is none."""
        top, left, bottom, right = self.pads
        rows = (height + top + bottom - self.extent[0]) // self.strides[0] + 1
        columns = (width + left + right - self.extent[1]) // self.strides[1] + 1
        if rows < 1 or columns < 1:
            raise IRError(f"a window of {self.extent} does not fit an image of {(height, width)} with pads {self.pads}")
        return rows, columns

    def patches(self, images: npt.NDArray[Any], fill: Any) -> npt.NDArray[Any]:
        """A view ``[n, rows, columns, kernel rows, kernel columns, channels]`` of ``images`` [n, h, w, channels].

        Padding takes the value ``fill``: a scalar, or one per channel.
        """
        _, height, width, channels = images.shape
        rows, columns = self.output_size(height, width)
        top, left, bottom, right = self.pads
        if self.padded:
            shape = (images.shape[0], height + top + bottom, width + left + right, channels)
            padded = np.empty(shape, images.dtype)
            padded[...] = fill
            padded[:, top : top + height, left : left + width] = images
            images = padded
        views = np.lib.stride_tricks.sliding_window_view(images, self.extent, axis=(1, 2))
        views = views[
            :,
            : (rows - 1) * self.strides[0] + 1 : self.strides[0],
            : (columns - 1) * self.strides[1] + 1 : self.strides[1],
            :,
            :: self.dilations[0],
            :: self.dilations[1],
        ]
        return views.transpose(0, 1, 2, 4, 5, 3)

    def positions_covered(self, height: int, width: int) -> npt.NDArray[np.int64]:
        """How many window elements lie inside the image, per output position [rows, columns]."""
        ones = np.ones((1, height, width, 1), np.int64)
        return self.patches(ones, 0).sum(axis=(3, 4, 5))[0]
