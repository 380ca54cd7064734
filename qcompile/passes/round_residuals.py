"""Rounds what a quantized file computes in floats between its quantizers: batch norms, activations, residual sums."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from enum import Enum
from fractions import Fraction
from types import MappingProxyType
from typing import Any, ClassVar

from qcompile.errors import Collector, fail
from qcompile.ir.graph import Graph, Level, Node
from qcompile.ir.model import (
    MODEL,
    Add,
    AveragePool,
    Clip,
    Concat,
    Constant,
    Conv,
    Curve,
    Div,
    Equal,
    Greater,
    LeakyRelu,
    MatMul,
    Maximum,
    MaxPool,
    Minimum,
    Mul,
    Pad,
    Quantize,
    Reduce,
    Reshape,
    Take,
    Transpose,
    Where,
)
from qcompile.numerics.formats import Fixed
from qcompile.numerics.quantizer import Quantizer
from qcompile.numerics.rounding import Rounding
from qcompile.passes.naming import fresh_name

_WIDE = 32  # bits that exact sums of integers rarely reach
_WIDEST = 44  # bits of a factor that adder graphs are made for
_MOVES = (Reshape, Transpose, Take, Concat, Pad, MaxPool)
_COMPARISONS = (Greater, Equal)
_ROUNDED = (Add, Mul, Div, LeakyRelu, Clip, Curve, Maximum, Minimum, Where, AveragePool, Reduce)


@dataclass(frozen=True)
class ResidualFormat:
    """Saturating fixed point with a named rounding (ap_fixed<width, width - frac, RND, SAT> with HALF_UP)."""

    format: Fixed
    rounding: Rounding = Rounding.HALF_UP

    @property
    def quantizer(self) -> Quantizer:
        assert self.format.frac is not None
        span = self.format.span
        return Quantizer((Fraction(1, 2) ** self.format.frac,), low=span.low, high=span.high, rounding=self.rounding)


@dataclass(frozen=True)
class RoundResiduals:
    """Put ``residuals`` behind every operation whose result no quantizer holds, and ``constants`` on its constants.

    Exact without it, such tensors carry every bit of their float32 factors, more with every sum. Not rounded:
    what comes before the first linear layer (the input's encoding); results of linear layers, which are integers
    with a scale, unless they meet another tensor; a product that a constant is added to (a batch norm rounds once);
    and what reaches nothing but a quantizer or a comparison, which decide on exact values. ``overrides`` (by ONNX
    node) take precedence.
    """

    residuals: ResidualFormat | None
    constants: ResidualFormat | None = None
    overrides: Mapping[str, ResidualFormat] = field(default_factory=lambda: MappingProxyType({}))

    name: ClassVar[str] = "round_residuals"
    requires: ClassVar[Level] = MODEL
    ensures: ClassVar[Level] = MODEL

    def summary(self, graph: Graph, quantized: bool) -> dict[str, Any]:
        """What the report says of it. QC402 where ``graph`` has nothing to round; ``quantized``: the file is."""
        rounded = [name for name in residuals(graph) if self._format(graph.by_name[name]) is not None]
        constant = [] if self.constants is None else residual_constants(graph)
        if not quantized or not rounded + constant:
            what = "leaves no value real between its quantizers" if quantized else "is float: --activations rounds it"
            way_out = "leave --residuals and --constants out"
            raise fail("QC402", graph.name, f"a residual format has nothing to round: the file {what}", way_out)
        known = {name for node in graph.nodes for name in node.origin}
        for name in self.overrides:
            if name not in known:
                near = get_close_matches(name, known, 1)
                way_out = f'did you mean "{near[0]}"?' if near else "name an ONNX node"
                raise fail("QC204", "[residuals.layers]", f'there is no node "{name}"', way_out)
        formats = {"format": self.residuals, "constants": self.constants}
        held = {key: f"{made.format} {made.rounding}" for key, made in formats.items() if made is not None}
        return {**held, "tensors": len(rounded), "constant_tensors": len(constant)}

    def run(self, graph: Graph) -> Graph:
        rounded = {name: self._format(graph.by_name[name]) for name in residuals(graph)}
        constant = [] if self.constants is None else residual_constants(graph)
        taken = dict.fromkeys(graph.by_name)
        behind = {name: fresh_name(f"{name}_exact", taken) for name, held in rounded.items() if held is not None}
        grids = {name: fresh_name(f"{name}_grid", taken) for name in constant}

        def step(node: Node) -> list[Node]:
            # The rounded value keeps the name; constants are seen on their grid by those that compute with them.
            swap = isinstance(node.op, (*_ROUNDED, *_COMPARISONS, Conv, MatMul))
            inputs = tuple(grids.get(i, i) if swap else i for i in node.inputs)
            held = rounded.get(node.name)
            if held is not None:
                exact = Node(behind[node.name], node.op, inputs, node.origin)
                return [exact, Node(node.name, Quantize(held.quantizer), (exact.name,), node.origin)]
            kept = Node(node.name, node.op, inputs, node.origin)
            if node.name in grids:
                assert self.constants is not None
                grid = Quantize(self.constants.quantizer)
                return [kept, Node(grids[node.name], grid, (node.name,), node.origin)]
            return [kept]

        return graph.rewrite(step)

    def _format(self, node: Node) -> ResidualFormat | None:
        for name in reversed(node.origin):
            if name in self.overrides:
                return self.overrides[name]
        return self.residuals


def check_width(graph: Graph, golden: Graph, found: Collector) -> None:
    """QC301 where ``golden``, the integers of ``graph``, is too wide for adder graphs; QC403 where it is wide.

    Only networks with values that could be rounded are looked at; others are as wide as their own grids ask for.
    """
    count = len(residuals(graph))
    widest = max(golden.nodes, key=lambda node: golden.types[node.name].span.width)
    bits = golden.types[widest.name].span.width
    if not count or bits <= _WIDE:
        return
    where = ", ".join(f'"{name}"' for name in widest.origin) or widest.name
    what = f"an exact value of {bits} bits; the file computes {count} results in floats between its quantizers"
    way_out = "round them, as in --residuals fixed:16:7 --constants fixed:12:8"
    if bits > _WIDEST:
        found.error("QC301", where, what, way_out)
        found.check()
    found.warning("QC403", where, what, way_out)


class _Kind(Enum):
    CONSTANT = 0
    INPUT = 1  # before any linear layer
    GRID = 2  # the codes of a quantizer, moved at most
    LOOSE = 3


def residuals(graph: Graph) -> list[str]:
    """The results that `RoundResiduals` rounds, in order."""
    kinds = _kinds(graph)
    decided: dict[str, bool] = {}
    for node in reversed(graph.nodes):
        decided[node.name] = node.name not in graph.outputs and all(
            _decides(graph, user, kinds, decided) for user in graph.users[node.name]
        )

    def loose(node: Node) -> bool:
        if isinstance(node.op, Conv | MatMul):
            return any(_joins(user, kinds) for user in graph.users[node.name])
        return isinstance(node.op, _ROUNDED) and not decided[node.name] and not _first_half(graph, node, kinds)

    return [node.name for node in graph.nodes if kinds[node.name] is _Kind.LOOSE and loose(node)]


def residual_constants(graph: Graph) -> list[str]:
    """Constants without a quantizer that are computed with behind the first linear layer, in order."""
    kinds = _kinds(graph)
    held: dict[str, None] = {}
    for node in graph.nodes:
        loose = kinds[node.name] is _Kind.LOOSE and isinstance(node.op, (*_ROUNDED, Conv, MatMul))
        linear_on_input = isinstance(node.op, Conv | MatMul) and _Kind.INPUT in {kinds[i] for i in node.inputs}
        compared = isinstance(node.op, _COMPARISONS) and kinds[node.name] is _Kind.GRID
        if (loose and not linear_on_input) or compared:
            for name in node.inputs:
                if kinds[name] is _Kind.CONSTANT and not _on_grid(graph, name):
                    held[name] = None
    return list(held)


def _on_grid(graph: Graph, name: str) -> bool:
    """Whether a constant comes out of a quantizer, moved at most."""
    node = graph.by_name[name]
    while isinstance(node.op, _MOVES):
        node = graph.by_name[node.inputs[0]]
    return isinstance(node.op, Quantize)


def _kinds(graph: Graph) -> dict[str, _Kind]:
    kinds: dict[str, _Kind] = {}
    for node in graph.nodes:
        most = max((kinds[name] for name in node.inputs), key=lambda kind: kind.value, default=_Kind.INPUT)
        if isinstance(node.op, Constant) or (node.inputs and most is _Kind.CONSTANT):
            kinds[node.name] = _Kind.CONSTANT
        elif isinstance(node.op, Conv | MatMul):
            kinds[node.name] = _Kind.LOOSE
        elif most is _Kind.INPUT:
            kinds[node.name] = _Kind.INPUT
        elif isinstance(node.op, (Quantize, *_COMPARISONS)):
            kinds[node.name] = _Kind.GRID
        elif isinstance(node.op, _MOVES):
            kinds[node.name] = most
        else:
            kinds[node.name] = _Kind.LOOSE
    return kinds


def _decides(graph: Graph, user: Node, kinds: Mapping[str, _Kind], decided: Mapping[str, bool]) -> bool:
    """Whether ``user`` reads its operand as a quantizer does: exactly, through functions of that operand alone."""
    if isinstance(user.op, (Quantize, *_COMPARISONS)):
        return True
    computed = sum(kinds[name] is not _Kind.CONSTANT for name in user.inputs)
    one_to_one = isinstance(user.op, (Add, Mul, Div, LeakyRelu, Clip, Curve, Reshape, Transpose))
    return one_to_one and computed == 1 and decided[user.name]


def _joins(user: Node, kinds: Mapping[str, _Kind]) -> bool:
    """Whether ``user`` brings several computed tensors together."""
    computed = sum(kinds[name] is not _Kind.CONSTANT for name in user.inputs)
    return isinstance(user.op, Add | Where | Maximum | Minimum) and computed > 1


def _first_half(graph: Graph, node: Node, kinds: Mapping[str, _Kind]) -> bool:
    """Whether ``node`` is the product of a batch norm, whose sum alone is rounded."""
    users = graph.users[node.name]
    if not isinstance(node.op, Mul | Div) or node.name in graph.outputs or len(users) != 1:
        return False
    others = [kinds[name] for name in users[0].inputs if name != node.name]
    own = [kinds[name] for name in node.inputs]
    return isinstance(users[0].op, Add) and others == [_Kind.CONSTANT] and _Kind.CONSTANT in own
