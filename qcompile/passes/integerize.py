"""Model graph to integer graph: scales, zero points, biases, BN and activations fold away, exactly.

A real tensor is carried by the integers of one node and a chain of exact steps (`Carried`). Linear
operations need integers with one scale and act on the codes; everything element by element joins the chain;
a quantizer ends it in one `Requantize`. Nothing is rounded that the model does not round.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from qcompile.errors import Collector
from qcompile.ir import integer, model
from qcompile.ir.array import Array
from qcompile.ir.graph import Graph, Level, Node, merge_origins
from qcompile.numerics.function import Affine, Clamp, Curve, Leaky, ScalarFunction
from qcompile.numerics.quantizer import Quantizer
from qcompile.passes.carried import Carried, Known, common_unit, integer_weights

_IDENTITY = Affine((Fraction(1),), (Fraction(0),))
_MAX_WEIGHT_BITS = 18  # wider exact weights mean that nobody quantized them


@dataclass(frozen=True, eq=False)
class _Raw:
    """A network input that no quantizer has met yet: ``affine`` of the ONNX input, seen through ``index``."""

    source: Node
    index: npt.NDArray[np.int64]
    affine: Affine = _IDENTITY
    origin: tuple[str, ...] = ()


_Value = Carried | Known | _Raw


class _Refused(Exception):
    """This node has no integer meaning: code, what was found, a way out."""


@dataclass(frozen=True)
class Integerize:
    """Give every tensor its integers; refuse, all at once, what has none (QC104, QC108)."""

    name: ClassVar[str] = "integerize"
    requires: ClassVar[Level] = model.MODEL
    ensures: ClassVar[Level] = integer.INTEGER

    def run(self, graph: Graph) -> Graph:
        return _Builder(graph).build()


class _Builder:
    """The integer graph under construction, and what carries each real tensor."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.nodes: list[Node] = []
        self.types: dict[str, integer.IntType] = {}
        self.values: dict[str, _Value] = {}
        self.found = Collector()

    def build(self) -> Graph:
        for node in self.graph.nodes:
            if any(name not in self.values for name in node.inputs):
                continue  # an operand was refused; one cause, one diagnostic
            try:
                self.values[node.name] = _RULES[type(node.op)](self, node)
            except _Refused as refusal:
                code, found, way_out = refusal.args
                self.found.error(code, _where(node), found, way_out)
        outputs = [self.output(name) for name in self.graph.outputs if name in self.values]
        self.found.check()
        graph = Graph(integer.INTEGER, self.graph.name, tuple(self.nodes), tuple(outputs)).without_dead_nodes()
        return _arrange_inputs(graph)

    def emit(self, name: str, op: integer.IntegerOp, inputs: tuple[str, ...], origin: tuple[str, ...]) -> str:
        """A new node; ``name`` gets a number behind it where it is taken."""
        unique, count = name, 1
        while unique in self.types:
            count += 1
            unique = f"{name}_{count}"
        self.types[unique] = op.result_type(*(self.types[i] for i in inputs))
        self.nodes.append(Node(unique, op, inputs, origin))
        return unique

    # Operands -----------------------------------------------------------------------------------------

    def carried(self, node: Node, position: int = 0) -> Carried:
        value = self.values[node.inputs[position]]
        if isinstance(value, Carried):
            if value.host is not None:
                raise _Refused(
                    "QC104",
                    f"{node.op.mnemonic} after {value.host} is not supported",
                    f"a {value.host} may only stand at the output; cut the graph before it",
                )
            return value
        if isinstance(value, _Raw):
            raise _Refused(
                "QC108",
                f"{node.op.mnemonic} reads the network input, and no quantizer says on which grid it lies",
                "quantize the input in the file, or compile with --calibrate to let qcompile do it",
            )
        raise _Refused(
            "QC104",
            f"operand {position} is a constant where a computed tensor is needed",
            "fold the constant part of the graph at export (for example with onnxsim)",
        )

    def known(self, node: Node, position: int = 1) -> Known:
        value = self.values[node.inputs[position]]
        if not isinstance(value, Known):
            raise _Refused(
                "QC105",
                f"operand {position} of {node.op.mnemonic} must be a constant",
                "products of two computed tensors have no multiplier-free engine; restructure the model",
            )
        return value

    def split(self, node: Node) -> tuple[int, int] | None:
        """Positions of the (computed, constant) operands of a commutative operation; None: both computed."""
        constants = [isinstance(self.values[name], Known) for name in node.inputs]
        if not any(constants):
            return None
        return (1, 0) if constants[0] else (0, 1)

    def on_one_grid(self, x: Carried, *, zero: bool = False) -> tuple[Carried, Fraction, Fraction]:
        """``x`` with one positive scale for all channels: ``(x, scale, offset)``; exact.

        ``zero``: additionally real zero must have an integer code (padding inserts it).
        """
        uniform = x.uniform()
        if uniform is None or (zero and (uniform[1] / uniform[0]).denominator != 1):
            x = self.exactly(x)
            uniform = x.uniform()
            assert uniform is not None
        return x, *uniform

    def exactly(self, x: Carried) -> Carried:
        """``x`` carried by integers with one scale and zero offset, without rounding anything."""
        node, unit = x.node, Fraction(1)
        for step in x.steps or (_IDENTITY,):
            name = f"{x.node}_exact"
            match step:
                case Affine(scale=scale, offset=offset):
                    finer = common_unit([s * unit for s in scale] + list(offset))
                    factors = tuple(int(s * unit / finer) for s in scale)
                    op = integer.WeightedSum((factors,), tuple(int(o / finer) for o in offset))
                    if factors != (1,) or any(op.offsets):
                        node = self.emit(name, op, (node,), x.origin)
                    unit = finer
                case Clamp(low=low, high=high):
                    finer = common_unit([unit, *(b for b in (low, high) if b is not None)])
                    span = self.types[node].span.scaled(int(unit / finer))
                    codes = (
                        span.low if low is None else int(low / finer),
                        span.high if high is None else int(high / finer),
                    )
                    clamp = integer.Rescale((int(unit / finer),), (0,), (0,), *codes)
                    node, unit = self.emit(name, clamp, (node,), x.origin), finer
                case Leaky(slope=slope):
                    finer = common_unit([unit, *(s * unit for s in slope)])
                    steep = integer.WeightedSum(((int(unit / finer),),), (0,))
                    flat = integer.WeightedSum((tuple(int(s * unit / finer) for s in slope),), (0,))
                    if any(not 0 <= s <= 1 for s in slope):
                        raise _Refused(
                            "QC104",
                            "a slope outside 0..1 without a quantizer behind it is not supported",
                            "quantize the result of the activation",
                        )
                    parts = tuple(self.emit(name, op, (node,), x.origin) for op in (steep, flat))
                    node, unit = self.emit(name, integer.Maximum(), parts, x.origin), finer
                case Curve(name=curve):
                    raise _Refused(
                        "QC108",
                        f"the result of {curve} is not on any grid",
                        "quantize it in the file (a quantizer right after the function)",
                    )
        return replace(x, node=node, steps=(Affine((unit,), (Fraction(0),)),))

    def arranged(self, x: Carried, shape: tuple[int, ...], index: npt.NDArray[np.int64]) -> Carried:
        """``x`` as a node of ``shape`` whose element p is x's element ``index.flat[p]`` (positions in x's node)."""
        flat = index.reshape(shape)
        if x.shape == shape and np.array_equal(flat.ravel(), np.arange(flat.size)):
            return x
        steps = x.steps
        if shape[-1] != x.channels or not np.array_equal(
            flat % x.channels, np.broadcast_to(np.arange(shape[-1]), shape)
        ):
            steps = _moved_steps(steps, x.channels, flat.reshape(-1, shape[-1]) % x.channels)
        if np.array_equal(flat.ravel(), np.arange(flat.size)) and flat.size == np.prod(x.shape):
            node = self.emit(f"{x.node}_view", integer.Reshape(shape), (x.node,), x.origin)
        else:
            node = self.emit(f"{x.node}_moved", integer.Gather(Array(flat)), (x.node,), x.origin)
        where = np.empty(int(np.prod(x.shape)), np.int64)
        where[flat.ravel()] = np.arange(flat.size)
        return replace(x, node=node, shape=shape, index=where[x.index], steps=steps)

    def image(self, x: Carried, node: Node) -> Carried:
        """``x`` (ONNX [1, c, h, w]) as [h, w, c]."""
        if x.index.ndim != 4 or x.index.shape[0] != 1:
            raise _Refused("QC104", f"input shape {x.index.shape}", "the batch must be 1 and the image 1-D or 2-D")
        wanted = x.index[0].transpose(1, 2, 0)
        return self.arranged(x, wanted.shape, wanted)

    # Results ------------------------------------------------------------------------------------------

    def output(self, name: str) -> str:
        value = self.values[name]
        node = self.graph.by_name[name]
        if not isinstance(value, Carried):
            self.found.error(
                "QC108",
                _where(node),
                "the output does not depend on a quantized input",
                "check that the exported graph is the trained network",
            )
            return name
        affine = value.affine()
        try:
            if affine is None:
                value = self.exactly(value)
                affine = value.affine()
        except _Refused as refusal:
            code, found, way_out = refusal.args
            self.found.error(code, _where(node), found, way_out)
            return name
        assert affine is not None
        host, grid = (value.host, None) if not isinstance(value, _Hosted) else (value.host, value.grid)
        op = integer.Output(value.index.shape, Array(value.index), affine.scale, affine.offset, host, grid)
        return self.emit(f"{name}_output" if name in self.types else name, op, (value.node,), value.origin)


def _arrange_inputs(graph: Graph) -> Graph:
    """Inputs that are only re-ordered before their first use arrive in that order already."""
    moved: dict[str, Node] = {}
    for node in graph.nodes:
        users = graph.users[node.name]
        if isinstance(node.op, integer.Input) and len(users) == 1 and isinstance(users[0].op, integer.Gather):
            order = users[0].op.order
            if sorted(order.values.ravel().tolist()) == list(range(node.op.order.values.size)):
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


@dataclass(frozen=True, eq=False)
class _Hosted(Carried):
    """A tensor computed on the host and put on a grid there."""

    grid: Quantizer | None = None


def _where(node: Node) -> str:
    return ", ".join(f'"{name}"' for name in node.origin) or f'"{node.name}"'


def _moved_steps(steps: tuple[Any, ...], channels: int, picked: npt.NDArray[np.int64]) -> tuple[Any, ...]:
    """Per-channel parameters after a move: ``picked`` [positions, new channels] holds old channels."""

    def moved(values: tuple[Fraction, ...]) -> tuple[Fraction, ...]:
        if len(values) == 1:
            return values
        result = []
        for column in picked.T:
            held = {values[c] for c in column.tolist()}
            if len(held) > 1:
                raise _Refused(
                    "QC104",
                    "a channel's positions get different scales after the data move",
                    "use per-tensor scales before the transpose",
                )
            result.append(held.pop())
        return tuple(result)

    def step(one: Any) -> Any:
        match one:
            case Affine(scale=scale, offset=offset):
                return Affine(moved(scale), moved(offset))
            case Leaky(slope=slope):
                return Leaky(moved(slope))
        return one

    return tuple(step(s) for s in steps)


# One rule per operation -----------------------------------------------------------------------------------


def _input(build: _Builder, node: Node) -> _Value:
    shape = node.op.shape  # type: ignore[attr-defined]
    return _Raw(node, np.arange(int(np.prod(shape))).reshape(shape), origin=node.origin)


def _constant(build: _Builder, node: Node) -> _Value:
    return Known(np.asarray(node.op.value.values, np.float64))  # type: ignore[attr-defined]


def _quantize(build: _Builder, node: Node) -> _Value:
    op = node.op
    assert isinstance(op, model.Quantize)
    value = build.values[node.inputs[0]]
    quantizer = op.quantizer
    if isinstance(value, Known):
        codes = quantizer.codes(value.values, op.axis)
        return Known(value.values, codes, quantizer, op.axis)
    if isinstance(value, _Raw):
        return _quantize_input(build, node, value, quantizer)
    if value.host is not None:
        return _Hosted(
            value.node,
            value.shape,
            value.index,
            value.steps,
            merge_origins(value.origin, node.origin),
            value.host,
            quantizer,
        )
    if quantizer.channels > 1:
        assert op.axis is not None
        axis_index = np.broadcast_to(
            np.arange(value.index.shape[op.axis]).reshape(
                [-1 if a == op.axis % value.index.ndim else 1 for a in range(value.index.ndim)]
            ),
            value.index.shape,
        )
        quantizer = _per_physical_channel(quantizer, value, axis_index)
    origin = merge_origins(value.origin, node.origin)
    affine = value.affine()
    span = build.types[value.node].span
    same = (
        quantizer.every_integer
        and affine is not None
        and affine.scale == quantizer.scale
        and len(affine.offset) == len(quantizer.zero_point) == 1
        and affine.offset[0] == -quantizer.zero_point[0] * quantizer.scale[0]
        and (quantizer.span is None or quantizer.span.holds(span))
    )
    if same:  # the codes are on this grid already
        return replace(value, origin=origin)
    requantize = integer.Requantize(ScalarFunction(value.steps, quantizer))
    name = build.emit(node.name, requantize, (value.node,), origin)
    return Carried(name, value.shape, value.index, (_dequantize(quantizer),))


def _dequantize(quantizer: Quantizer) -> Affine:
    size = quantizer.channels
    offsets = tuple(-quantizer.scale_of(c) * quantizer.zero_of(c) for c in range(size))
    return Affine(quantizer.scale, offsets[:1] if len(set(offsets)) == 1 else offsets)


def _per_physical_channel(quantizer: Quantizer, value: Carried, axis_index: npt.NDArray[np.int64]) -> Quantizer:
    """The quantizer with its channels in the order of the integers' last axis."""
    found = np.full(value.channels, -1)
    found[value.index.ravel() % value.channels] = axis_index.ravel()
    if not np.array_equal(found[value.index % value.channels], axis_index):
        raise _Refused(
            "QC104",
            "per-channel activation scales along another axis than the channels",
            "use one scale per activation tensor",
        )
    return quantizer.picked(found.tolist())


def _quantize_input(build: _Builder, node: Node, raw: _Raw, quantizer: Quantizer) -> _Value:
    if quantizer.channels > 1:
        raise _Refused("QC104", "per-channel scales on the network input", "use one scale for the input")
    if quantizer.span is None:
        raise _Refused("QC104", "the input's quantizer has no limits", "give it a bit width")
    wanted = raw.index
    if wanted.ndim == 4 and wanted.shape[0] == 1:
        wanted = wanted[0].transpose(1, 2, 0)
    elif wanted.ndim > 1 and wanted.shape[0] == 1:
        wanted = wanted[0]
    shape = raw.source.op.shape  # type: ignore[attr-defined]
    op = integer.Input(shape, Array(wanted), raw.affine, quantizer)
    name = build.emit(raw.source.name, op, (), merge_origins(raw.origin, node.origin))
    where = np.empty(int(np.prod(shape)), np.int64)
    where[wanted.ravel()] = np.arange(wanted.size)
    return Carried(name, wanted.shape, where[raw.index], (_dequantize(quantizer),))


def _conv(build: _Builder, node: Node) -> _Value:
    op = node.op
    assert isinstance(op, model.Conv)
    x = build.image(build.carried(node), node)
    x, scale, offset = build.on_one_grid(x, zero=op.window.padded)
    weights, scales = _weights(build, node, 1, out_axis=0)
    kernel = Array(weights.transpose(2, 3, 1, 0))
    conv = integer.Conv(kernel, op.window, op.groups, int(-offset / scale) if op.window.padded else 0)
    name = build.emit(node.name, conv, (x.node,), merge_origins(x.origin, node.origin))
    sums = weights.reshape(weights.shape[0], -1).sum(axis=1)
    return _accumulator(build, node, name, scale, offset, scales, sums)


def _weights(build: _Builder, node: Node, position: int, out_axis: int) -> tuple[npt.NDArray[np.int64], list[Fraction]]:
    weights, scales = integer_weights(build.known(node, position), out_axis)
    bits = max(int(np.abs(weights).max()), 1).bit_length() if weights.size else 1
    if bits > _MAX_WEIGHT_BITS:
        raise _Refused(
            "QC108",
            f"the weights are not quantized (they need {bits} bits to be exact)",
            "quantize the weights in the file, or compile the float model with --weights fixed:8",
        )
    return weights.astype(np.int64), scales


def _accumulator(
    build: _Builder,
    node: Node,
    name: str,
    scale: Fraction,
    offset: Fraction,
    scales: list[Fraction],
    sums: Any,
) -> Carried:
    """A linear layer's result: real = scale * scales[c] * acc + offset * scales[c] * sums[c]."""
    shape = build.types[name].shape
    factors = [scale * s for s in scales]
    offsets = [offset * s * int(total) for s, total in zip(scales, sums, strict=True)]
    affine = Affine(_shared(factors), _shared(offsets))
    onnx_shape = build.graph.types[node.name].shape
    index = np.arange(int(np.prod(shape))).reshape(shape)
    if len(onnx_shape) == 4 and len(shape) == 3:
        index = index.transpose(2, 0, 1)
    return Carried(name, shape, index.reshape(onnx_shape), (affine,))


def _shared(values: list[Fraction]) -> tuple[Fraction, ...]:
    return tuple(values[:1]) if len(set(values)) == 1 else tuple(values)


def _matmul(build: _Builder, node: Node) -> _Value:
    if isinstance(build.values[node.inputs[0]], Known):
        return _left_matmul(build, node)
    x = build.carried(node)
    if x.index.ndim < 2 or build.known(node).values.ndim != 2:
        raise _Refused("QC104", f"input {x.index.shape}", "MatMul needs [..., in] and constant weights [in, out]")
    return _right_matmul(build, node, x, *_weights(build, node, 1, out_axis=1))


def _left_matmul(build: _Builder, node: Node) -> _Value:
    """``constant @ x`` as the transpose of ``x.T @ constant.T``."""
    x = build.carried(node, 1)
    weights, scales = _weights(build, node, 0, out_axis=0)
    if x.index.ndim != 2 or weights.ndim != 2:
        raise _Refused("QC104", f"constant on the left of {x.index.shape}", "use a matrix on the right")
    turned = x.viewed(x.index.T, ())
    result = _right_matmul(build, node, turned, weights.T, scales, turned_back=True)
    return result


def _right_matmul(
    build: _Builder,
    node: Node,
    x: Carried,
    weights: npt.NDArray[np.int64],
    scales: list[Fraction],
    turned_back: bool = False,
) -> Carried:
    rows = int(np.prod(x.index.shape[:-1]))
    if rows == 1:
        # Any order of the inputs will do: the weights' rows follow the integers.
        x = build.arranged(x, (int(np.prod(x.shape)),), np.arange(int(np.prod(x.shape))))
        by_position = np.zeros((x.shape[0], weights.shape[1]), np.int64)
        np.add.at(by_position, x.index.ravel(), weights)
        weights = by_position
    else:
        shape = (*x.index.shape[1:-1], x.index.shape[-1]) if x.index.shape[0] == 1 else x.index.shape
        x = build.arranged(x, shape, x.index)
    x, scale, offset = build.on_one_grid(x)
    origin = merge_origins(x.origin, node.origin)
    name = build.emit(node.name, integer.MatMul(Array(weights)), (x.node,), origin)
    shape = build.types[name].shape
    sums = weights.sum(axis=0)
    factors = [scale * s for s in scales]
    offsets = [offset * s * int(total) for s, total in zip(scales, sums, strict=True)]
    index = np.arange(int(np.prod(shape))).reshape(*x.index.shape[:-1], shape[-1])
    index = index.T if turned_back else index
    return Carried(name, shape, index, (Affine(_shared(factors), _shared(offsets)),))


def _add(build: _Builder, node: Node) -> _Value:
    operands = build.split(node)
    if operands is None:
        return _join(build, node)
    return _with_constant(build, node, operands, lambda c: Affine((Fraction(1),), c))


def _mul(build: _Builder, node: Node) -> _Value:
    operands = build.split(node)
    if operands is None:
        raise _Refused(
            "QC105",
            "the product of two computed tensors has no multiplier-free engine",
            "make one operand a constant, or restructure the model",
        )
    return _with_constant(build, node, operands, lambda c: Affine(c, (Fraction(0),)))


def _with_constant(
    build: _Builder, node: Node, operands: tuple[int, int], step: Callable[[tuple[Fraction, ...]], Affine]
) -> _Value:
    value = build.values[node.inputs[operands[0]]]
    known = build.known(node, operands[1])
    if isinstance(value, Known):
        return Known(node.op.evaluate(value.values[None], known.values[None])[0])  # type: ignore[attr-defined]
    if isinstance(value, _Raw):
        if known.values.size != 1:
            raise _Refused(
                "QC108",
                "the network input meets a constant tensor before any quantizer",
                "quantize the input first, or compile the float model with --calibrate",
            )
        affine = step((known.exact(0),)).after(value.affine)
        return replace(value, affine=affine, origin=merge_origins(value.origin, node.origin))
    x = build.carried(node, operands[0])
    shape = np.broadcast_shapes(x.index.shape, known.values.shape)
    if shape != x.index.shape:
        if np.prod(shape) != x.index.size:
            raise _Refused("QC104", f"a constant {known.values.shape} widens {x.index.shape}", "tile before export")
        x = x.viewed(x.index.reshape(shape), ())
    constants = x.per_channel(known)
    if constants is None:
        # One value per element: let every element be a channel.
        x = build.arranged(x, (int(np.prod(x.shape)),), np.arange(int(np.prod(x.shape))))
        constants = x.per_channel(known)
        assert constants is not None
    return x.then(step(constants), node.origin)


def _join(build: _Builder, node: Node) -> _Value:
    """The sum of two computed tensors: integers with a common unit, exactly."""
    a, b = build.carried(node, 0), build.carried(node, 1)
    if a.index.shape != b.index.shape:
        raise _Refused("QC104", f"shapes {a.index.shape} and {b.index.shape}", "both operands must have one shape")
    a, b = (x if x.affine() is not None else build.exactly(x) for x in (a, b))
    if a.shape != b.shape or not np.array_equal(a.index, b.index):
        order = np.empty(a.index.size, np.int64)
        order[a.index.ravel()] = b.index.ravel()
        b = build.arranged(b, a.shape, order)
    first, second = a.affine(), b.affine()
    assert first is not None and second is not None
    unit = common_unit([*first.scale, *second.scale])
    factors = tuple(tuple(int(s / unit) for s in affine.scale) for affine in (first, second))
    origin = merge_origins(a.origin, b.origin, node.origin)
    name = build.emit(node.name, integer.WeightedSum(factors, (0,)), (a.node, b.node), origin)
    size = max(len(first.offset), len(second.offset))
    offsets = [first.offset[c % len(first.offset)] + second.offset[c % len(second.offset)] for c in range(size)]
    return Carried(name, a.shape, a.index, (Affine((unit,), _shared(offsets)),))


def _clip(build: _Builder, node: Node) -> _Value:
    op = node.op
    assert isinstance(op, model.Clip)
    low, high = (None if bound is None else Fraction(bound) for bound in (op.low, op.high))
    return build.carried(node).then(Clamp(low, high), node.origin)


def _leaky_relu(build: _Builder, node: Node) -> _Value:
    x = build.carried(node)
    slopes = x.per_channel(build.known(node))
    if slopes is None:
        raise _Refused("QC104", "slopes that vary within a channel", "use one slope per channel")
    return x.then(Leaky(slopes), node.origin)


def _curve(build: _Builder, node: Node) -> _Value:
    assert isinstance(node.op, model.Curve)
    return build.carried(node).then(Curve(node.op.function, node.op.parameters), node.origin)


def _max_pool(build: _Builder, node: Node) -> _Value:
    assert isinstance(node.op, model.MaxPool)
    x = build.carried(node)
    if not x.monotone():
        x = build.exactly(x)
    x = build.image(x, node)
    name = build.emit(node.name, integer.MaxPool(node.op.window), (x.node,), node.origin)
    return _pooled(build, node, name, replace(x, origin=()))


def _pooled(build: _Builder, node: Node, name: str, x: Carried) -> Carried:
    shape = build.types[name].shape
    index = np.arange(int(np.prod(shape))).reshape(shape).transpose(2, 0, 1)[None]
    return replace(x, node=name, shape=shape, index=index)


def _average_pool(build: _Builder, node: Node) -> _Value:
    op = node.op
    assert isinstance(op, model.AveragePool)
    x = build.carried(node)
    x = build.image(x if x.affine() is not None else build.exactly(x), node)
    window = op.window
    covered = window.positions_covered(*x.shape[:2])
    if not op.count_pads and covered.min() != covered.max():
        raise _Refused(
            "QC104",
            f"average pooling with pads {window.pads} that do not count: windows have "
            f"{covered.min()} to {covered.max()} elements",
            "export with count_include_pad=1, or without padding",
        )
    x, scale, offset = build.on_one_grid(x, zero=True) if window.padded else (x, Fraction(0), Fraction(0))
    fill = int(-offset / scale) if window.padded else 0
    name = build.emit(node.name, integer.SumPool(window, fill), (x.node,), merge_origins(x.origin, node.origin))
    count = int(np.prod(window.kernel)) if op.count_pads else int(covered.max())
    affine = x.affine()
    assert affine is not None
    total = int(np.prod(window.kernel))  # padding's codes stand for zero, so every element's offset counts
    offsets = tuple(o * total / count for o in affine.offset)
    pooled = _pooled(build, node, name, replace(x, origin=()))
    return replace(pooled, steps=(Affine(tuple(s / count for s in affine.scale), offsets),))


def _reshape(build: _Builder, node: Node) -> _Value:
    assert isinstance(node.op, model.Reshape)
    return _viewed(build, node, lambda a: a.reshape(node.op.shape))  # type: ignore[attr-defined]


def _transpose(build: _Builder, node: Node) -> _Value:
    assert isinstance(node.op, model.Transpose)
    return _viewed(build, node, lambda a: a.transpose(node.op.axes))  # type: ignore[attr-defined]


def _viewed(build: _Builder, node: Node, view: Callable[[npt.NDArray[Any]], npt.NDArray[Any]]) -> _Value:
    value = build.values[node.inputs[0]]
    if isinstance(value, Known):
        if value.codes is not None and value.quantizer is not None and value.quantizer.channels > 1:
            raise _Refused("QC104", "a reshaped constant with per-channel scales", "fold the constant at export")
        return Known(view(value.values), None if value.codes is None else view(value.codes), value.quantizer)
    if isinstance(value, _Raw):
        return replace(value, index=view(value.index), origin=merge_origins(value.origin, node.origin))
    return value.viewed(view(value.index), node.origin)


def _softmax(build: _Builder, node: Node) -> _Value:
    x = build.carried(node)
    assert isinstance(node.op, model.Softmax)
    if node.op.axis % x.index.ndim != x.index.ndim - 1:
        raise _Refused("QC104", f"softmax over axis {node.op.axis}", "use the last axis")
    if x.affine() is None:
        x = build.exactly(x)
    return replace(x, host="softmax", origin=merge_origins(x.origin, node.origin))


def _argmax(build: _Builder, node: Node) -> _Value:
    assert isinstance(node.op, model.ArgMax)
    x = build.carried(node)
    axis = node.op.axis % x.index.ndim
    if x.index.size != x.index.shape[axis]:
        raise _Refused("QC104", f"argmax over axis {axis} of {x.index.shape}", "argmax needs one row of classes")
    x = build.arranged(x, (x.index.size,), x.index)
    x, _, _ = build.on_one_grid(x)
    name = build.emit(node.name, integer.ArgMax(), (x.node,), merge_origins(x.origin, node.origin))
    shape = build.graph.types[node.name].shape
    return Carried(name, (1,), np.zeros(shape, np.int64), ())


_RULES: dict[type, Callable[[_Builder, Node], _Value]] = {
    model.Input: _input,
    model.Constant: _constant,
    model.Quantize: _quantize,
    model.Conv: _conv,
    model.MatMul: _matmul,
    model.Add: _add,
    model.Mul: _mul,
    model.Clip: _clip,
    model.LeakyRelu: _leaky_relu,
    model.Curve: _curve,
    model.MaxPool: _max_pool,
    model.AveragePool: _average_pool,
    model.Reshape: _reshape,
    model.Transpose: _transpose,
    model.Softmax: _softmax,
    model.ArgMax: _argmax,
}
