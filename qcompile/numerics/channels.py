"""Per-channel parameters laid along an axis of an array."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


def channel_index(shape: tuple[int, ...], channels: int, axis: int | None) -> npt.NDArray[np.int64]:
    """For every element of an array of ``shape``, which of ``channels`` parameters is its own."""
    if channels == 1:
        return np.zeros(shape, np.int64)
    if axis is None:
        raise ValueError("per-channel parameters need an axis")
    along = [1] * len(shape)
    along[axis] = shape[axis]
    return np.broadcast_to(np.arange(shape[axis]).reshape(along) % channels, shape)
