"""The integer graph under construction, and what carries each real tensor."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np

from qcompile.errors import Collector
from qcompile.ir import integer, model
from qcompile.ir.array import Array
from qcompile.ir.graph import Graph, IRError, Node
from qcompile.numerics.function import Curve
from qcompile.numerics.products import Product
from qcompile.passes.integerize.carried import Carried, Known, Raw, Refused

Value = Carried | Known | Raw
Rule = Callable[["Builder", Node], Value]


class Builder:
    """Walks a model graph; ``rules`` give each operation's result, ``product`` says how layers multiply."""

    def __init__(self, graph: Graph, rules: Mapping[type, Rule], product: Product = Product.EXACT) -> None:
        self.graph = graph
        self.product = product
        self.rules = rules
        self.nodes: list[Node] = []
        self.types: dict[str, integer.IntType] = {}
        self.values: dict[str, Value] = {}
        self.inputs: dict[str, tuple[str, integer.Input]] = {}
        self.found = Collector()

    def build(self) -> Graph:
        for node in self.graph.nodes:
            if any(name not in self.values for name in node.inputs):
                continue  # an operand was refused; one cause, one diagnostic
            try:
                self.values[node.name] = self.rule(node)(self, node)
            except Refused as refusal:
                self.refuse(node, refusal)
        outputs = [self.output(name) for name in self.graph.outputs if name in self.values]
        self.found.check()
        return Graph(integer.INTEGER, self.graph.name, tuple(self.nodes), tuple(outputs)).without_dead_nodes()

    def rule(self, node: Node) -> Rule:
        leaf = isinstance(node.op, model.Quantize) or not node.inputs
        if not leaf and all(isinstance(self.values[name], Known) for name in node.inputs):
            return _folded
        if type(node.op) not in self.rules:
            raise Refused(
                "QC102",
                f"{node.op.mnemonic} has no integer meaning here",
                "export a simpler form of the network, or cut the graph before this node",
            )
        return self.rules[type(node.op)]

    def refuse(self, node: Node, refusal: Refused) -> None:
        code, found, way_out = refusal.args
        where = ", ".join(f'"{name}"' for name in node.origin) or f'"{node.name}"'
        self.found.error(code, where, found, way_out)

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
        """Operand ``position`` as integers."""
        value = self.values[node.inputs[position]]
        if isinstance(value, Raw) and value.source.op.integer is not None:  # type: ignore[attr-defined]
            from qcompile.passes.integerize.inputs import integer_input

            return integer_input(self, value)
        if isinstance(value, Raw):
            raise Refused(
                "QC108",
                f"{node.op.mnemonic} reads the network input, and no quantizer says on which grid it lies",
                "quantize the input in the file, or give its grid: --input-format fixed:8 means 8 bits over "
                "--input-range 0 1 (in qcompile.toml: [quantize] input_format and input_range)",
            )
        if isinstance(value, Known):
            raise Refused(
                "QC104",
                f"operand {position} is a constant where a computed tensor is needed",
                "fold the constant part of the graph at export (for example with onnxsim)",
            )
        if value.host is not None:
            instead = ", or train attention with Relu or Sigmoid in its place" if value.host == "softmax" else ""
            raise Refused(
                "QC104",
                f"{node.op.mnemonic} after {value.host} is not supported",
                f"a {value.host} may only stand at the output; cut the graph before it{instead}",
            )
        return value

    def known(self, node: Node, position: int = 1) -> Known:
        """Operand ``position``, which must be constant."""
        value = self.values[node.inputs[position]]
        if not isinstance(value, Known):
            raise Refused(
                "QC105",
                f"operand {position} of {node.op.mnemonic} must be a constant",
                "export the network so that it is an initializer, or cut the graph before this node",
            )
        return value

    def constant_side(self, node: Node) -> int | None:
        """Which of two operands is constant; None: neither."""
        sides = [k for k, name in enumerate(node.inputs) if isinstance(self.values[name], Known)]
        return sides[0] if sides else None

    # Results ------------------------------------------------------------------------------------------

    def output(self, name: str) -> str:
        from qcompile.passes.integerize.grids import straight

        node = self.graph.by_name[name]
        value = self.values[name]
        try:
            if isinstance(value, Raw) and value.source.op.integer is not None:  # type: ignore[attr-defined]
                value = self.carried(Node(name, node.op, (name,)))
            if not isinstance(value, Carried):
                raise Refused(
                    "QC108",
                    "the output does not depend on a quantized input",
                    "check that the exported graph is the trained network",
                )
            value = straight(self, _on_host(value))
        except Refused as refusal:
            self.refuse(node, refusal)
            return name
        affine = value.affine()
        assert affine is not None
        op = integer.Output(value.index.shape, Array(value.index), affine.scale, affine.offset, value.host, value.grid)
        return self.emit(f"{name}_output" if name in self.types else name, op, (value.node,), value.origin)


def _on_host(value: Carried) -> Carried:
    """A function without parameters at the very end needs no grid: the host computes it."""
    if value.host is None and value.steps and isinstance(value.steps[-1], Curve) and not value.steps[-1].parameters:
        return replace(value, steps=value.steps[:-1], host=value.steps[-1].name)
    return value


def _folded(build: Builder, node: Node) -> Known:
    """An operation on constants alone, in exact arithmetic."""
    operands = [build.values[name] for name in node.inputs]
    assert all(isinstance(o, Known) for o in operands)
    if isinstance(node.op, model.Reshape | model.Transpose | model.Take):
        (known,) = operands
        assert isinstance(known, Known)
        positions = np.arange(known.values.size).reshape(known.shape)
        return known.picked(node.op.evaluate(positions[None].astype(np.float64))[0].astype(np.int64))
    assert isinstance(node.op, model.ModelOp)
    try:
        values = node.op.evaluate(*(o.fractions()[None] for o in operands if isinstance(o, Known)))[0]
    except (TypeError, AttributeError, IRError):  # a function that fractions do not have
        raise Refused(
            "QC104",
            f"{node.op.mnemonic} of constants alone",
            "fold the constant part of the graph at export (for example with onnxsim)",
        ) from None
    return Known(np.asarray(values, object))
