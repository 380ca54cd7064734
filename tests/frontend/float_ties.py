"""A model graph as a float32 runtime computes it, and where its codes differ from the exact ones.

Between two quantizers the same operands are taken, so that a difference at one quantizer is its own and not
one that came from above. A difference is a float tie if the exact value lies so near to a rounding boundary
that float32 arithmetic may have crossed it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from qcompile.ir import model


@dataclass(frozen=True)
class Ties:
    """``codes``: values compared, at all quantizers, of weights too; ``differ``: those with another code in
    float32; ``worst``: the greatest distance of such a value from the boundary between the two codes, in
    units of the float32 resolution of the sums behind it."""

    codes: int
    differ: int
    worst: float
    output: np.ndarray


def float_ties(imported, inputs):
    """The graph in float32 on ``inputs`` [samples, *shape], against exact arithmetic at every quantizer."""
    graph = imported.graph
    single: dict[str, np.ndarray] = {imported.inputs[0].node: inputs.astype(np.float32)}
    double: dict[str, np.ndarray] = {imported.inputs[0].node: inputs.astype(np.float64)}
    magnitude: dict[str, np.ndarray] = {imported.inputs[0].node: np.abs(inputs.astype(np.float64))}
    codes = differ = 0
    worst = 0.0
    for node in graph.nodes:
        op = node.op
        if isinstance(op, model.Input):
            continue
        double[node.name] = op.evaluate(*(double[n] for n in node.inputs))
        magnitude[node.name] = _magnitude(op, double[node.name], [magnitude[n] for n in node.inputs])
        if isinstance(op, model.Constant):
            single[node.name] = double[node.name].astype(np.float32)
            continue
        if not isinstance(op, model.Quantize):
            single[node.name] = _single(op, [single[n] for n in node.inputs])
            continue
        axis = None if op.axis is None else op.axis % (double[node.name].ndim - 1) + 1
        exact = op.quantizer.codes(double[node.inputs[0]], axis)
        found = _codes(op.quantizer, single[node.inputs[0]], axis)
        codes += exact.size
        differ += int((exact != found).sum())
        for place in zip(*np.nonzero(exact != found), strict=True):
            channel = 0 if axis is None else int(place[axis])
            upper = max(int(exact[place]), int(found[place]))
            boundary = float(op.quantizer.least_value(upper, channel)[0])
            resolution = np.finfo(np.float32).eps * float(magnitude[node.inputs[0]][place])
            worst = max(worst, abs(float(double[node.inputs[0]][place]) - boundary) / resolution)
        single[node.name] = op.quantizer.values(found, axis).astype(np.float32)
        double[node.name] = op.quantizer.values(found, axis)
    return Ties(codes, differ, worst, single[imported.outputs[0].node])


def _single(op, operands):
    return op.evaluate(*operands).astype(np.float32)


def _magnitude(op, value, operands):
    """The size of the terms that were added up to ``value``: float32 errors are relative to it."""
    match op:
        case model.Conv() | model.MatMul() | model.Add() | model.Mul() | model.AveragePool():
            return np.abs(op.evaluate(*operands))
        case model.Reshape() | model.Transpose() | model.MaxPool() | model.Take() | model.Concat():
            return op.evaluate(*operands)
        case model.Div():
            return operands[0] / operands[1]
        case model.Clip():
            return operands[0]
    return np.abs(value)


def _codes(quantizer, values, axis):
    """Codes by the arithmetic of the dialect's float32 runtime."""
    if type(quantizer).__name__ != "Quantizer":
        return quantizer.codes(values.astype(np.float64), axis)
    scale, zero = (p.astype(np.float32) for p in quantizer.scale_array(values.ndim, axis))
    ratio = values / scale
    if quantizer.zero_first:
        rounded = quantizer.__class__((1,), rounding=quantizer.rounding).codes((ratio + zero).astype(np.float64))
    else:
        rounded = quantizer.__class__((1,), rounding=quantizer.rounding).codes(ratio.astype(np.float64)) + zero
    low = -(2**62) if quantizer.low is None else quantizer.low
    high = 2**62 if quantizer.high is None else quantizer.high
    return np.clip(rounded, low, high).astype(np.int64)
