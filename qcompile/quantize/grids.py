"""The quantizer of each tensor: formats and scales from options and observed values."""

from __future__ import annotations

from fractions import Fraction
from math import gcd, prod

import numpy as np

from qcompile.ir.graph import Graph, Node
from qcompile.ir.model import Add, AveragePool, Clip, Conv, Input, MatMul, Quantize, Reals
from qcompile.numerics.formats import Fixed, Format
from qcompile.numerics.quantizer import Quantizer
from qcompile.quantize.options import LayerFormats, QuantizeOptions
from qcompile.quantize.placement import LAYOUT, Place
from qcompile.quantize.ranges import (
    integer_grid,
    least_divergence_scale,
    least_error_scale,
    minmax_scale,
    percentile_scale,
    power_of_two,
    weight_scales,
)

_RULES = {"minmax": minmax_scale, "mse": least_error_scale, "kl": least_divergence_scale}


def layer_formats(options: QuantizeOptions, names: tuple[str, ...]) -> tuple[Format, Format]:
    """``(weights, activations)`` of the layer that goes by ``names``, overrides applied."""
    weights, activations = options.weights, options.activations
    for name in names:
        own = options.overrides.get(name, LayerFormats())
        weights, activations = own.weights or weights, own.activations or activations
    return weights.as_weights(), activations


def keeps_grid(options: QuantizeOptions, names: tuple[str, ...]) -> bool:
    """Whether weights of the layer that goes by ``names`` stay on a small grid of their own."""
    chosen = any(options.overrides.get(name, LayerFormats()).weights is not None for name in names)
    return options.formats == "auto" and not chosen


def activation_format(place: Place, options: QuantizeOptions) -> Format:
    """The format of what is rounded at ``place``, whatever its values on the samples."""
    _, chosen = layer_formats(options, place.layer_names)
    if place.output and isinstance(options.output, Format):
        chosen = options.output
    elif place.curved:  # a table with a code has as many entries as the argument has codes
        chosen = Fixed(max(8, chosen.bits + 2))
    return chosen.as_unsigned() if place.non_negative else chosen


def activation_quantizer(place: Place, values: Reals, options: QuantizeOptions) -> Quantizer:
    """The per-tensor grid of an activation of which ``values`` were seen; zero always is code 0."""
    chosen = activation_format(place, options)
    source = place.owner.op if isinstance(place.owner.op, Input) else None
    if source is not None and float(values.min()) >= 0:
        chosen = chosen.as_unsigned()
    # Dyadic scales are those of weights: their quotient by another one would not be dyadic.
    scales = "free" if options.scales == "free" else "pow2"
    if chosen.frac is not None:
        scale = power_of_two(-chosen.frac)
    elif (
        source is not None
        and isinstance(chosen, Fixed)
        and (exact := integer_grid(values, source.integer, chosen.width))
    ):
        scale, span = exact
        return Quantizer((scale,), low=span.low, high=span.high, rounding=options.rounding)
    elif options.percentile is not None:
        scale = percentile_scale(values, chosen, options.percentile, scales)
    else:
        scale = _RULES[options.activation_range](values, chosen, scales)
    return chosen.quantizer((scale,), options.rounding)


def out_axis(node: Node, position: int) -> int:
    """The axis of a layer's weights that counts output channels."""
    if isinstance(node.op, Conv):
        return 0
    return -1 if position == 1 else -2


def weight_rows(weights: Reals, axis: int) -> Reals:
    """Weights as [out, in]; ``axis`` counts output channels."""
    return np.moveaxis(weights, axis, 0).reshape(weights.shape[axis], -1)


def weight_quantizer(
    weights: Reals, axis: int, format: Format, options: QuantizeOptions, shared: bool, moments: Reals | None
) -> tuple[Quantizer, int | None]:
    """``(quantizer, axis)`` of weights: symmetric, one scale per output channel, or one ``shared`` by all.

    ``moments`` as for `weight_scales`.
    """
    if format.frac is not None:
        scales: tuple[Fraction, ...] = (power_of_two(-format.frac),)
    else:
        rows = weight_rows(weights, axis)
        scales = weight_scales(rows, format, options.weight_range, options.scales, shared, moments)
    scales = scales[:1] if len(set(scales)) == 1 else scales
    return format.quantizer(scales), axis % weights.ndim if len(scales) > 1 else None


def grid_of(graph: Graph, name: str) -> Quantizer | None:
    """The quantizer on whose grid ``name`` lies, seen through pooling and layout; None where there is none."""
    node = graph.by_name[name]
    while isinstance(node.op, LAYOUT):
        node = graph.by_name[node.inputs[0]]
    return node.op.quantizer if isinstance(node.op, Quantize) else None


def accumulator_scale(
    owner: Node, steps: tuple[Node, ...], operands: list[Quantizer | None], shape: tuple[int, ...]
) -> Fraction | None:
    """The scale on which a layer's exact result lies; None where no single one exists.

    ``operands``: the grids of the layer's operands; ``shape``: of the first one.
    """
    if not all(isinstance(step.op, Add | Clip) for step in steps):
        return None
    if any(q is None or q.channels > 1 or any(q.zero_point) for q in operands):
        return None
    scales = [q.scale[0] for q in operands if q is not None]
    match owner.op:
        case Conv() | MatMul():
            return prod(scales, start=Fraction(1))
        case Add() if len(scales) == 2:
            return _common_unit(*scales)
        case AveragePool(window=window, count_pads=count_pads):
            covered = window.positions_covered(*shape[2:])
            count = prod(window.kernel) if count_pads else int(covered.max())
            uniform = count_pads or int(covered.min()) == count
            return scales[0] / count if uniform else None
    return None


def _common_unit(a: Fraction, b: Fraction) -> Fraction:
    """The largest rational of which both are integer multiples."""
    return Fraction(gcd(a.numerator * b.denominator, b.numerator * a.denominator), a.denominator * b.denominator)


def observed(values: Reals, limit: int = 1 << 18) -> Reals:
    """At most about ``limit`` of ``values``, evenly spread, with the least and the largest among them."""
    flat = values.reshape(-1)
    if flat.size <= limit:
        return flat
    # An odd stride visits every column of the usual power-of-two shapes.
    picked = flat[:: (flat.size // limit) | 1]
    return np.concatenate([picked, [flat.min(), flat.max()]])
