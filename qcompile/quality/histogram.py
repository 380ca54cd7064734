"""Codes on their grid, counted in at most `BINS` bins."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

BINS = 64


def weight_histogram(weights: npt.NDArray[np.integer[Any]]) -> dict[str, Any]:
    """Integer weights on the grid of their width, two's complement; -1 and 1 alone, or with 0, on just these."""
    low, high = int(weights.min()), int(weights.max())
    if (low, high) != (-1, 1):
        reach = 1 << (max(high, -low - 1)).bit_length()
        low, high = (-reach, reach - 1) if low < 0 else (0, reach - 1)
    return activation_histogram(weights, low, high)


def activation_histogram(codes: npt.NDArray[np.integer[Any]], low: int, high: int) -> dict[str, Any]:
    """``codes`` on the grid ``low..high``; `report.schema.Histogram`."""
    step = -(-(high - low + 1) // BINS)
    bins = -(-(high - low + 1) // step)
    counts = np.bincount((codes.ravel().astype(np.int64) - low) // step, minlength=bins)
    return {"low": low, "high": high, "step": step, "counts": counts.tolist()}
