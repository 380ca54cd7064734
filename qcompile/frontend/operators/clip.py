"""Clip: an activation, or on codes a narrower grid (Brevitas QCDQ)."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from qcompile.frontend.call import Call
from qcompile.frontend.registry import operator
from qcompile.frontend.values import Grid, Known, Live, Value
from qcompile.ir import model


@operator("Clip", folds=False)
def clip(call: Call) -> Value:
    """Bounds are attributes before opset 11, inputs since. On codes it narrows the grid (Brevitas QCDQ)."""
    x = call.value(0)
    if call.version >= 11:
        low = call.number(1, "min") if call.has(1) else None
        high = call.number(2, "max") if call.has(2) else None
    else:
        low, high = call.attribute("min"), call.attribute("max")
    low = None if low is None or low <= _LOWEST else float(low)
    high = None if high is None or high >= -_LOWEST else float(high)
    if isinstance(x, Known):
        return _clip_known(x, low, high)
    if x.codes is not None and x.source is not None:
        return _narrowed(call, x, x.codes, x.source, low, high)
    return call.emit(model.Clip(low, high), call.as_real(x))


_LOWEST = float(np.finfo(np.float32).min)
"""Exporters write an open bound as infinity or as the largest float."""


def _clip_known(x: Known, low: float | None, high: float | None) -> Value:
    plain = x.plain()
    array = np.clip(plain.astype(np.float64), low, high).astype(plain.dtype)
    integer = plain.dtype.kind in "iu" and low is not None and high is not None
    limits = (int(low), int(high)) if integer and low is not None and high is not None else None
    return Known(array, x.name, x.dtype, limits=limits, origin=x.origin)


def _narrowed(call: Call, x: Live, grid: Grid, source: Live, low: float | None, high: float | None) -> Live:
    q = grid.quantizer
    lows = [v for v in (q.low, None if low is None else int(low)) if v is not None]
    highs = [v for v in (q.high, None if high is None else int(high)) if v is not None]
    narrow = replace(q, low=max(lows) if lows else None, high=min(highs) if highs else None)
    call.dialects.add("qcdq")
    clipped = replace(grid, quantizer=narrow)
    result = call.quantize(source, clipped)
    return Live(result.name, result.shape, x.dtype, clipped, source)
