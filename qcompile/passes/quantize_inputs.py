"""Puts the user's grid on network inputs that a quantized file leaves real."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from typing import ClassVar

from qcompile.ir.graph import Graph, Level, Node
from qcompile.ir.model import MODEL, Add, Constant, Div, Input, Mul, Quantize, Reshape, Take, Transpose
from qcompile.numerics.formats import Fixed, Format
from qcompile.numerics.quantizer import Quantizer
from qcompile.numerics.rounding import Rounding
from qcompile.passes.naming import fresh_name


@dataclass(frozen=True)
class QuantizeInputs:
    """Put ``format`` over the range ``limits`` on every float input that reaches more than a bounded quantizer.

    A format without fractional bits spreads its codes over the limits: `fixed:8` over 0..1 are the multiples of
    1/255, over 0..255 the integers. Zero is code 0. A range without negative numbers has unsigned codes.
    """

    format: Format = field(default=Fixed(8))
    limits: tuple[Fraction, Fraction] = (Fraction(0), Fraction(1))
    rounding: Rounding = Rounding.HALF_EVEN

    name: ClassVar[str] = "quantize_inputs"
    requires: ClassVar[Level] = MODEL
    ensures: ClassVar[Level] = MODEL

    def run(self, graph: Graph) -> Graph:
        bare = {node.name for node in graph.nodes if isinstance(node.op, Input) and _is_bare(graph, node)}
        behind = {name: fresh_name(f"{name}_grid", graph.by_name) for name in sorted(bare)}

        def step(node: Node) -> list[Node] | None:
            if node.name in bare:
                quantize = Quantize(self.quantizer())
                return [node, Node(behind[node.name], quantize, (node.name,), node.origin)]
            return [Node(node.name, node.op, tuple(behind.get(i, i) for i in node.inputs), node.origin)]

        return graph.rewrite(step)

    def quantizer(self) -> Quantizer:
        low, high = self.limits
        signed = low < 0
        chosen = self.format.as_signed() if signed else self.format.as_unsigned()
        if chosen.frac is not None:
            scale = Fraction(1, 2) ** chosen.frac
        else:
            scale = max([high / chosen.span.high] + ([low / chosen.span.low] if signed else []))
        return chosen.quantizer((scale,), self.rounding)


def _is_bare(graph: Graph, source: Node) -> bool:
    """Whether the input's real values, shifted and scaled at most, meet anything but bounded quantizers."""
    if source.op.integer is not None:  # type: ignore[attr-defined]
        return False
    waiting = [source]
    while waiting:
        node = waiting.pop()
        if node.name in graph.outputs:
            return True
        for user in graph.users[node.name]:
            constants = sum(isinstance(graph.by_name[name].op, Constant) for name in user.inputs)
            match user.op:
                case Quantize(quantizer=quantizer):
                    if quantizer.span is None:
                        return True
                case Reshape() | Transpose() | Take():
                    waiting.append(user)
                case Add() | Mul() | Div() if constants == 1:
                    waiting.append(user)
                case _:
                    return True
    return False
