"""Error propagation: a layer's weights are moved so that they make up for the rounding of what they read."""

from __future__ import annotations

import numpy as np

from qcompile.ir.model import Reals
from qcompile.quantize.rounding.problem import damped

_DAMPING = 0.01


def compensated(rows: Reals, moments: Reals, cross: Reals, strength: float, vectors: int) -> Reals:
    """Weights [out, in] that give on rounded operands what ``rows`` give on the real ones, least squares.

    ``moments`` [groups, in, in]: the mean of u·uᵀ over rounded operands u; ``cross``: that of v·uᵀ with the real v.
    Of the correction the part ``strength`` (0 to 1) is made. The fewer ``vectors`` the moments were taken from for
    each input, the more it is damped: it must not fit the samples alone. Yamato Arai and Yuma Ichikawa,
    "Quantization Error Propagation: Revisiting Layer-Wise Post-Training Quantization", 2025, section 4.
    """
    grouped = rows.reshape(len(moments), -1, rows.shape[1])
    missing = grouped @ (cross - moments)
    damping = _DAMPING + rows.shape[1] / vectors
    correction = np.linalg.solve(damped(moments, damping), missing.transpose(0, 2, 1)).transpose(0, 2, 1)
    return (grouped + strength * correction).reshape(rows.shape)
