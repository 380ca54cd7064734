"""Post-training quantization: a float model graph and samples become a model graph with quantizers."""

from __future__ import annotations

from dataclasses import replace
from difflib import get_close_matches
from fractions import Fraction

import numpy as np

from qcompile.errors import Collector
from qcompile.ir.array import Array
from qcompile.ir.graph import Graph, Node
from qcompile.ir.model import Add, Constant, Input, ModelOp, Quantize, Reals
from qcompile.numerics.formats import Grouped, Planes
from qcompile.numerics.quantizer import Quantizer
from qcompile.numerics.rounding import Rounding
from qcompile.passes.cancel_quantize import CancelQuantize
from qcompile.passes.fold_affine import FoldAffine
from qcompile.passes.hoist_activation import HoistActivation
from qcompile.passes.hoist_quantize import HoistQuantize
from qcompile.passes.manager import Pass, PassManager
from qcompile.passes.naming import fresh_name
from qcompile.quantize.calibration import (
    Calibration,
    Walk,
    apply,
    bias_points,
    calibrate,
    channel_axis,
    channel_means,
    mean_products,
    operand_count,
    operand_vectors,
)
from qcompile.quantize.grids import (
    accumulator_scale,
    activation_format,
    grid_of,
    keeps_grid,
    layer_formats,
    out_axis,
    weight_quantizer,
    weight_rows,
)
from qcompile.quantize.grouping import on_groups
from qcompile.quantize.options import QuantizeOptions
from qcompile.quantize.placement import Place, constants_of, find_places, weights_position
from qcompile.quantize.propagation import compensated
from qcompile.quantize.ranges import exponent_below, fake_quantize, power_of_two
from qcompile.quantize.rescaling import EqualizeWeights, migrate
from qcompile.quantize.samples import Samples, calibration_samples
from qcompile.quantize.structure import find_structure
from qcompile.quantize.weights import fit_weights

PREPARE: tuple[Pass, ...] = (FoldAffine(), HoistActivation())
"""Passes that a float graph needs before quantizers are placed; `quantize` runs them."""
TIDY: tuple[Pass, ...] = (CancelQuantize(), HoistQuantize())
"""Passes that make any graph with quantizers cheaper without changing a value."""

_CORRECTION_BITS = 6
"""Bias corrections are multiples of 2^-6 of the result's step: finer ones would only carry noise of the float sums."""


def quantize(
    graph: Graph,
    samples: Samples,
    options: QuantizeOptions,
    diagnostics: Collector,
    manager: PassManager | None = None,
) -> Graph:
    """``graph`` with weights and activations on grids.

    ``samples`` calibrate: an array for the one input, or arrays by input name, as `as_samples` takes them;
    None makes synthetic ones and warns (QC202). Of more than `SAMPLE_LIMIT`, evenly spread ones are used, since
    values of all samples are held at once. Quantizers that the graph already has stay. The result is a
    function of the arguments alone.
    """
    manager = manager or PassManager()
    graph = manager.run(graph, (*PREPARE, EqualizeWeights()) if options.equalize else PREPARE)
    places = find_places(graph)
    _check_overrides(places, options, diagnostics)
    diagnostics.check()
    if not places:
        return graph
    arrays = calibration_samples(graph, samples, options, diagnostics)
    options = options.settled(len(next(iter(arrays.values()))) if samples is not None else 0)
    if options.smooth:
        formats = {end: activation_format(place, options) for end, place in places.items()}
        graph = migrate(graph, arrays, options.smooth, formats, _on_grids(graph, places, options)).verify()
    calibration = calibrate(graph, arrays, places, options)
    return _Builder(graph, places, calibration, arrays, options).build().verify()


def _check_overrides(places: dict[str, Place], options: QuantizeOptions, diagnostics: Collector) -> None:
    known = list(dict.fromkeys(name for place in places.values() for name in place.layer_names))
    for name in options.overrides:
        if name in known:
            continue
        close = get_close_matches(name, known, 1)
        diagnostics.error(
            "QC204",
            f'[layers."{name}"]',
            "the network has no such layer",
            f'did you mean [layers."{close[0]}"]?' if close else f"the layers are {', '.join(known)}",
        )


def _on_grids(graph: Graph, places: dict[str, Place], options: QuantizeOptions) -> frozenset[str]:
    """Layers whose weights keep a small grid of their own."""
    constants = constants_of(graph)
    found = set()
    for place in places.values():
        position = weights_position(graph, place.owner, constants)
        held = None if position is None else graph.by_name[place.owner.inputs[position]].op
        if position is None or not isinstance(held, Constant) or not keeps_grid(options, place.layer_names):
            continue
        values = np.asarray(held.value.values, np.float64)
        if find_structure(values, out_axis(place.owner, position), values.ndim in (2, 4)) is not None:
            found.add(place.owner.name)
    return frozenset(found)


class _Builder:
    """The quantized graph under construction, and its values on the calibration samples."""

    def __init__(
        self,
        graph: Graph,
        places: dict[str, Place],
        calibration: Calibration,
        samples: dict[str, Reals],
        options: QuantizeOptions,
    ) -> None:
        self.graph = graph
        self.places = places
        self.calibration = calibration
        self.samples = samples
        self.options = options
        self.constants = constants_of(graph)
        self.points = bias_points(graph, places) if options.bias_correction else {}
        self.place_of = {node.name: place for place in places.values() for node in (place.owner, *place.steps)}
        self.nodes: dict[str, Node] = {}
        self.values: dict[str, Reals] = {}
        self.renamed: dict[str, str] = {}
        self.scales: dict[str, Fraction] = {}
        self.propagates = bool(options.propagate)
        self.tracks = options.bias_correction or self.propagates
        self.real = Walk(graph)
        self.left = {name: len(users) for name, users in graph.users.items()}

    def build(self) -> Graph:
        for node in self.graph.nodes:
            self.visit(node)
            if self.propagates:
                self.real.visit(node, self.samples)
            for name in set(node.inputs):
                self.left[name] -= 1
                if not self.left[name]:
                    self.values.pop(self.renamed.get(name, name), None)
        outputs = tuple(self.renamed.get(name, name) for name in self.graph.outputs)
        built = Graph(self.graph.level, self.graph.name, tuple(self.nodes.values()), outputs)
        return built.without_dead_nodes()

    def visit(self, node: Node) -> None:
        new = replace(node, inputs=tuple(self.renamed.get(name, name) for name in node.inputs))
        position = weights_position(self.graph, node, self.constants)
        if position is not None:
            new = self.with_weights(new, position)
        place = self.place_of.get(node.name)
        if place is not None and node is place.owner:
            self.note_accumulator(place, new)
        if place is not None and place.owner.name in self.scales and isinstance(new.op, Add) and node in place.steps:
            new = self.with_rounded_bias(new, self.scales[place.owner.name])
        name = self.emit(new)
        if node.name in self.points:
            name = self.corrected(new, self.points[node.name])
        if node.name in self.places:
            quantizer = self.calibration.quantizers[node.name]
            if place is not None and place.owner.name in self.scales:
                quantizer = Quantizer((self.scales[place.owner.name],), rounding=Rounding.HALF_EVEN)
            name = self.emit(Node(self.fresh(f"{node.name}_q"), Quantize(quantizer), (name,), node.origin))
        if name != node.name:
            self.renamed[node.name] = name

    def fresh(self, stem: str) -> str:
        return fresh_name(stem, self.graph.by_name.keys() | self.nodes.keys())

    def emit(self, node: Node) -> str:
        self.nodes[node.name] = node
        if not self.tracks:
            return node.name
        match node.op:
            case Input():
                self.values[node.name] = self.samples[node.name]
            case Quantize(quantizer=q) if (
                node.inputs[0] not in self.constants and q.every_integer and q.span is not None and q.channels == 1
            ):
                half_up = q.rounding is Rounding.HALF_UP
                x, zero, scale = self.values[node.inputs[0]], float(q.zero_point[0]), float(q.scale[0])
                low, high = (limit - zero for limit in (q.span.low, q.span.high))
                self.values[node.name] = fake_quantize(x, scale, low, high, half_up)
            case ModelOp():
                self.values[node.name] = apply(node, self.values)
        return node.name

    def constant(self, stem: str, value: Reals, origin: tuple[str, ...]) -> str:
        return self.emit(Node(self.fresh(stem), Constant(Array(value)), (), origin))

    def with_weights(self, node: Node, position: int) -> Node:
        """``node`` with its weights on their grid."""
        held = self.graph.by_name[node.inputs[position]]
        if not isinstance(held.op, Constant):
            return node  # quantized in the file
        place = self.place_of.get(node.name)
        values = np.asarray(held.op.value.values, np.float64)
        names = (node.name, *node.origin) if place is None else place.layer_names
        by_channel, accumulated = values.ndim in (2, 4), place is not None and self.accumulates(place)
        axis_out = out_axis(node, position)
        found = find_structure(values, axis_out, by_channel, accumulated) if keeps_grid(self.options, names) else None
        weights = held.name
        if found is not None:
            quantizer, axis = found.quantizer, found.axis
        else:
            format, _ = layer_formats(self.options, names)
            moments = self.calibration.moments.get(node.name) if by_channel else None
            if by_channel and self.propagates:
                values, moments = self.compensated(node, position, values)
            shared = accumulated or not by_channel
            values = format.prepared(values, axis_out)
            format = format.fitted(weight_rows(values, axis_out))
            if isinstance(format, Grouped | Planes):
                values, quantizer, axis = on_groups(values, axis_out, format, self.options, shared, moments)
            else:
                quantizer, axis = weight_quantizer(values, axis_out, format, self.options, shared, moments)
                if moments is not None and self.options.weight_rounding != "nearest":
                    scales = None if format.frac is not None else self.options.scales
                    method = self.options.weight_rounding
                    values, quantizer = fit_weights(
                        values, axis_out, quantizer, moments, method, scales, self.options.adder_slack
                    )
            if not np.array_equal(values, held.op.value.values):
                weights = self.constant(f"{held.name}_moved", values, held.origin)
        name = self.emit(Node(self.fresh(f"{held.name}_q"), Quantize(quantizer, axis), (weights,), held.origin))
        inputs = list(node.inputs)
        inputs[position] = name
        return replace(node, inputs=tuple(inputs))

    def compensated(self, node: Node, position: int, values: Reals) -> tuple[Reals, Reals | None]:
        """The layer's weights moved to make up for its rounded operands, and the second moments of those."""
        rounded = self.values[node.inputs[1 - position]]
        real = self.real.values[self.graph.by_name[node.name].inputs[1 - position]]
        centred = self.options.bias_correction
        u, v = (operand_vectors(node, position, x, centred) for x in (real, rounded))
        if u is None or v is None:
            return values, None
        moments, cross = mean_products(v, v), mean_products(u, v)
        axis = out_axis(node, position)
        strength = self.options.propagate or 0.0
        count = operand_count(node, position, rounded)
        rows = compensated(weight_rows(values, axis), moments, cross, strength, count)
        shape = np.moveaxis(values, axis, 0).shape
        return np.moveaxis(rows.reshape(shape), 0, axis), moments

    def accumulates(self, place: Place) -> bool:
        # An input that leaves again has no accumulator.
        return place.output and self.options.output == "accumulator" and not isinstance(place.owner.op, Input)

    def note_accumulator(self, place: Place, owner: Node) -> None:
        if not self.accumulates(place):
            return
        so_far = Graph(self.graph.level, self.graph.name, tuple(self.nodes.values()), ())
        operands = [grid_of(so_far, name) for name in owner.inputs]
        scale = accumulator_scale(owner, place.steps, operands, self.graph.types[place.owner.inputs[0]].shape)
        if scale is not None:
            self.scales[place.owner.name] = scale

    def with_rounded_bias(self, node: Node, scale: Fraction) -> Node:
        """The last layer's bias on the accumulator's grid, so that the result is exact there."""
        inputs = list(node.inputs)
        for position, name in enumerate(inputs):
            if isinstance(self.nodes[name].op, Constant):
                grid = Quantize(Quantizer((scale,)))
                inputs[position] = self.emit(Node(self.fresh(f"{name}_q"), grid, (name,), self.nodes[name].origin))
        return replace(node, inputs=tuple(inputs))

    def corrected(self, node: Node, layer: Node) -> str:
        """``node``, a layer's result with bias, moved per channel to the float network's mean on the samples.

        Markus Nagel et al., "Data-Free Quantization Through Weight Equalization and Bias Correction",
        ICCV 2019, section 4.2, here with measured means.
        """
        point = node.name
        means = channel_means(self.values[point], channel_axis(self.graph, layer))
        place = self.place_of[layer.name]
        scale = self.scales.get(layer.name) or self.calibration.quantizers[place.end].scale[0]
        finer = 0 if layer.name in self.scales else _CORRECTION_BITS
        unit = float(power_of_two(exponent_below(scale) - finer))
        delta = np.rint((self.calibration.means[point] - means) / unit) * unit
        if not delta.any():
            return point
        if layer.name == point:
            bias = self.constant(f"{point}_correction", delta, layer.origin)
            return self.emit(Node(self.fresh(f"{point}_corrected"), Add(), (point, bias), node.origin))
        return self.with_moved_bias(node, delta, self.scales.get(layer.name))

    def with_moved_bias(self, node: Node, delta: Reals, scale: Fraction | None) -> str:
        inputs = list(node.inputs)
        for position, name in enumerate(inputs):
            held = self.nodes[name]
            if scale is not None and isinstance(held.op, Quantize):
                held = self.nodes[held.inputs[0]]
            if not isinstance(held.op, Constant):
                continue
            moved = np.asarray(held.op.value.values, np.float64) + delta
            inputs[position] = self.constant(f"{held.name}_corrected", moved, held.origin)
        node = replace(node, inputs=tuple(inputs))
        if scale is not None:
            node = self.with_rounded_bias(node, scale)
        del self.nodes[node.name]
        return self.emit(node)
