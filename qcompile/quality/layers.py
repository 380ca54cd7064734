"""Layer by layer: the codes that occur, and the signal-to-noise ratio that quantization leaves.

The quantized model graph stands for the emulator, whose integers are its values; so both networks have ONNX's
layout, and a value of the one is compared with the value of the same name of the other.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import log10
from typing import Any

import numpy as np

from qcompile.ir.graph import Graph
from qcompile.ir.model import Input, MaxPool, Quantize, Reals, Reshape, Take, Transpose, evaluate
from qcompile.numerics.quantizer import Quantizer
from qcompile.quality.histogram import activation_histogram

_CHUNK = 4  # samples at a time: every layer's values are held for them
_WIDEST = 1 << 16  # codes of a grid that is worth a histogram
_MOVES = (Reshape, Transpose, Take, MaxPool)


@dataclass(frozen=True)
class Quality:
    """``sqnr_db``: 10 log10 of the reference's power over that of the difference; None where nothing differs."""

    sqnr_db: float | None
    activations: dict[str, Any] | None


@dataclass
class _Measured:
    """Sums over the samples so far."""

    signal: float = 0.0
    noise: float = 0.0
    count: int = 0
    clipped: int = 0
    codes: dict[str, Any] | None = None


def layer_quality(reference: Graph, quantized: Graph, results: Mapping[str, str], samples: Reals) -> dict[str, Quality]:
    """Quality of every layer by name; ``results`` names the values of ``quantized`` that leave the layers.

    A layer is left out whose result has no counterpart in ``reference``. ``samples``: ``[n, *input shape]``.
    """
    pairs = {
        layer: (value, counterpart)
        for layer, value in results.items()
        if value in quantized.by_name and (counterpart := _counterpart(reference, quantized, value))
    }
    grids = {layer: _grid(quantized, value) for layer, (value, _) in pairs.items()}
    measured = {layer: _Measured() for layer in pairs}
    for start in range(0, len(samples), _CHUNK):
        chunk = np.asarray(samples[start : start + _CHUNK], np.float64)
        exact = _values(reference, chunk, tuple({b for _, b in pairs.values()}))
        coded = _values(quantized, chunk, tuple({a for a, _ in pairs.values()}))
        for layer, (value, counterpart) in pairs.items():
            _add(measured[layer], exact[counterpart], coded[value], grids[layer])
    return {layer: _quality(found, grids[layer]) for layer, found in measured.items()}


def _values(graph: Graph, samples: Reals, wanted: tuple[str, ...]) -> dict[str, Reals]:
    (source,) = (node.name for node in graph.nodes if isinstance(node.op, Input))
    return evaluate(graph, {source: samples}, wanted)


def _counterpart(reference: Graph, quantized: Graph, value: str) -> str | None:
    """The reference's value that ``value`` approximates: what quantization put behind it does not count."""
    while value not in reference.by_name:
        inputs = quantized.by_name[value].inputs
        if not inputs:
            return None
        value = inputs[0]
    return value


def _grid(graph: Graph, value: str) -> Quantizer | None:
    """The grid of ``value``, which a quantizer made or which only moves such values; None where it has none."""
    node = graph.by_name[value]
    while isinstance(node.op, _MOVES):
        node = graph.by_name[node.inputs[0]]
    if not isinstance(node.op, Quantize):
        return None
    q, span = node.op.quantizer, node.op.quantizer.span
    shared = q.channels == 1 and q.idempotent
    return q if shared and span is not None and span.high - span.low < _WIDEST else None


def _add(found: _Measured, exact: Reals, coded: Reals, grid: Quantizer | None) -> None:
    found.signal += float(np.square(exact).sum())
    found.noise += float(np.square(coded - exact).sum())
    found.count += exact.size
    if grid is not None:
        assert grid.low is not None and grid.high is not None
        half = float(grid.scale[0]) / 2
        low, high = float(grid.value(grid.low)), float(grid.value(grid.high))
        found.clipped += int(((exact < low - half) | (exact > high + half)).sum())
        counted = activation_histogram(grid.codes(coded), grid.low, grid.high)
        if found.codes is not None:
            counted["counts"] = [a + b for a, b in zip(found.codes["counts"], counted["counts"], strict=True)]
        found.codes = counted


def _quality(found: _Measured, grid: Quantizer | None) -> Quality:
    ratio = None
    if found.noise > 0 and found.signal > 0:
        ratio = round(10 * log10(found.signal / found.noise), 2)
    if grid is None or found.codes is None:
        return Quality(ratio, None)
    assert grid.low is not None and grid.high is not None
    ends = {"real_low": float(grid.value(grid.low)), "real_high": float(grid.value(grid.high))}
    clipped = {"clipped": round(found.clipped / found.count, 6)} if found.clipped else {}
    return Quality(ratio, found.codes | ends | clipped)
