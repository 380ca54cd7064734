"""Network inputs: the quantizer that meets one becomes part of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction

import numpy as np

from qcompile.ir import integer
from qcompile.ir.array import Array
from qcompile.ir.graph import Graph, Node, merge_origins
from qcompile.numerics.function import Affine, ScalarFunction
from qcompile.numerics.quantizer import Quantizer
from qcompile.numerics.thresholds import ThresholdQuantizer
from qcompile.passes.integerize.builder import Builder
from qcompile.passes.integerize.carried import Carried, Index, Known, Raw, Refused, Term, by_channel, shared
from qcompile.passes.integerize.placing import default_layout

_ONE, _ZERO = Fraction(1), Fraction(0)


def with_term(raw: Raw, node: Node, constant: Known, multiply: bool) -> Raw:
    """The input after a constant was added, or with ``multiply`` multiplied."""
    if np.broadcast_shapes(raw.index.shape, constant.shape) != raw.index.shape:
        raise Refused(
            "QC108",
            "the network input meets a larger constant before any quantizer",
            "quantize the input first, or give its grid with --input-format",
        )
    positions = np.arange(constant.values.size).reshape(constant.shape)
    at = np.zeros(int(np.prod(raw.source.op.shape)), np.int64)  # type: ignore[attr-defined]
    at[raw.index.ravel()] = np.broadcast_to(positions, raw.index.shape).ravel()
    term = Term(constant, at, multiply)
    return replace(raw, terms=(*raw.terms, term), origin=merge_origins(raw.origin, node.origin))


def viewed(raw: Raw, view: Callable[[Index], Index], origin: tuple[str, ...]) -> Raw:
    return replace(raw, index=view(raw.index), origin=merge_origins(raw.origin, origin))


def integer_input(build: Builder, raw: Raw) -> Carried:
    """An input of an integer type, which needs no quantizer."""
    limits = raw.source.op.integer  # type: ignore[attr-defined]
    if raw.terms:
        # The terms act on codes like everything else behind them.
        x = quantized_input(build, replace(raw, terms=()), Quantizer((_ONE,), low=limits[0], high=limits[1]), None, ())
        for term in raw.terms:
            values = by_channel(term.constant, x.index % x.channels, term.at[raw.index], x.channels)
            if values is None:
                raise Refused("QC104", "constants that vary within a channel of the input", "use one per channel")
            x = x.then(Affine(values, (_ZERO,)) if term.multiply else Affine((_ONE,), values), ())
        return x
    return quantized_input(build, raw, Quantizer((_ONE,), low=limits[0], high=limits[1]), None, ())


def quantized_input(
    build: Builder, raw: Raw, quantizer: Quantizer, axis_index: Index | None, origin: tuple[str, ...]
) -> Carried:
    """The input's codes; ``axis_index`` holds each element's channel of the quantizer."""
    shape = raw.source.op.shape  # type: ignore[attr-defined]
    limits = raw.source.op.integer  # type: ignore[attr-defined]
    if quantizer.span is None and limits is not None and not raw.terms:
        ends = [quantizer.code(end) for end in limits]
        quantizer = replace(quantizer, low=ends[0], high=ends[1])
    if quantizer.span is None:
        raise Refused(
            "QC108",
            "the quantizer of the network input has no limits",
            "say where the input lies: --input-format fixed:8 --input-range 0 255 means the integers from 0 to 255 "
            "(in qcompile.toml: [quantize] input_format and input_range)",
        )
    if len(np.unique(raw.index)) != int(np.prod(shape)) or raw.index.size != int(np.prod(shape)):
        raise Refused("QC104", "a part of the network input is quantized", "quantize the whole input first")
    layout = default_layout(raw.index.shape)
    found = _grid(raw, quantizer, axis_index, layout)
    if found is None:  # parameters vary within a channel: let every element be one
        layout = layout.ravel()
        found = _grid(raw, quantizer, axis_index, layout)
        assert found is not None
    grid, real = found
    op = integer.Input(shape, Array(raw.index.ravel()[layout]), *grid)
    name = _once(build, raw, op, origin)
    arrived = build.types[name].shape
    where = np.empty(layout.size, np.int64)
    where[build.inputs[raw.source.name][1].order.values.ravel()] = np.arange(layout.size)
    x = Carried(name, arrived, where[raw.index], (dequantize(grid[1]),))
    if real == dequantize(grid[1]):
        return x
    if len(set(quantizer.zero_point)) == 1 or quantizer.zero_first:
        return replace(x, steps=(real,))
    # Codes without their zero points arrived; the limits of each channel are still to be kept.
    picked = replace(quantizer.picked(_one_each(axis_index, layout) or []), scale=(_ONE,))
    requantize = integer.Requantize(ScalarFunction((), picked))
    return replace(x, node=build.emit(f"{name}_codes", requantize, (name,), origin), steps=(real,))


def _once(build: Builder, raw: Raw, op: integer.Input, origin: tuple[str, ...]) -> str:
    """The input node, which all readers share; they must agree on its grid."""
    source = raw.source.name
    if source in build.inputs:
        name, first = build.inputs[source]
        single = len(op.affine.scale) == len(op.affine.offset) == 1
        if (op.affine, op.quantizer) == (first.affine, first.quantizer) and (single or op.order == first.order):
            return name
        raise Refused(
            "QC104",
            "the network input is quantized twice, on different grids",
            "quantize it once, in front of the branches",
        )
    name = build.emit(source, op, (), merge_origins(raw.origin, origin))
    build.inputs[source] = name, op
    return name


def _grid(
    raw: Raw, quantizer: Quantizer, axis_index: Index | None, layout: Index
) -> tuple[tuple[Affine, Quantizer], Affine] | None:
    """What the host does to arriving values of this layout, and what the codes mean; None: not by channel."""
    order = raw.index.ravel()[layout]
    channels = np.broadcast_to(np.arange(layout.shape[-1]), layout.shape)
    affine = Affine((_ONE,), (_ZERO,))
    for term in raw.terms:
        values = by_channel(term.constant, channels, term.at[order], layout.shape[-1])
        if values is None:
            return None
        affine = (Affine(values, (_ZERO,)) if term.multiply else Affine((_ONE,), values)).after(affine)
    if quantizer.channels == 1:
        return (affine, quantizer), dequantize(quantizer)
    picks = _one_each(axis_index, layout)
    if picks is None:
        return None
    picked = quantizer.picked(picks)
    return _with_one_scale(affine, picked), dequantize(picked)


def _one_each(axis_index: Index | None, layout: Index) -> list[int] | None:
    """The quantizer's channel of every channel of ``layout``; None where one has several."""
    assert axis_index is not None
    rows = axis_index.ravel()[layout].reshape(-1, layout.shape[-1])
    return [int(c) for c in rows[0]] if (rows == rows[:1]).all() else None


def _with_one_scale(affine: Affine, quantizer: Quantizer) -> tuple[Affine, Quantizer]:
    """``x / scale[c]`` moved in front of the quantizer, which keeps the rest."""
    if isinstance(quantizer, ThresholdQuantizer):
        raise Refused("QC104", "thresholds per channel on the network input", "use the same thresholds for all")
    scales = tuple(1 / s for s in quantizer.scale)
    if quantizer.zero_first:
        return Affine(scales, quantizer.zero_point).after(affine), replace(
            quantizer, scale=(_ONE,), zero_point=(_ZERO,)
        )
    finer = Affine(scales, (_ZERO,)).after(affine)
    zeros = [int(z) for z in quantizer.zero_point]
    if len(set(zeros)) == 1:
        return finer, replace(quantizer, scale=(_ONE,), zero_point=quantizer.zero_point[:1])
    assert quantizer.low is not None and quantizer.high is not None
    low, high = quantizer.low - max(zeros), quantizer.high - min(zeros)
    return finer, replace(quantizer, scale=(_ONE,), zero_point=(_ZERO,), low=low, high=high)


def dequantize(quantizer: Quantizer) -> Affine:
    """From codes to real values."""
    offsets = [-quantizer.scale_of(c) * quantizer.zero_of(c) for c in range(quantizer.channels)]
    return Affine(quantizer.scale, shared(offsets))


def arrange_inputs(graph: Graph) -> Graph:
    """Inputs that are only re-ordered before their first use arrive in that order already."""
    moved: dict[str, Node] = {}
    for node in graph.nodes:
        users = graph.users[node.name]
        if isinstance(node.op, integer.Input) and len(users) == 1 and isinstance(users[0].op, integer.Gather):
            order = users[0].op.order
            if _one_parameter(node.op) and np.array_equal(
                np.sort(order.values, axis=None), np.arange(node.op.order.values.size)
            ):
                arranged = Array(node.op.order.values.ravel()[order.values])
                moved[users[0].name] = replace(node, op=replace(node.op, order=arranged))
    spared = {node.name for node in moved.values()}

    def step(node: Node) -> list[Node] | None:
        if node.name in spared:
            return []
        if node.name in moved:
            return [moved[node.name]]
        return [replace(node, inputs=tuple(moved[i].name if i in moved else i for i in node.inputs))]

    return graph.rewrite(step)


def _one_parameter(op: integer.Input) -> bool:
    return len(op.affine.scale) == len(op.affine.offset) == 1
