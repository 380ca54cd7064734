"""Layers with approximate products: their exact sums are those of the definition, product by product."""

from __future__ import annotations

from fractions import Fraction as Q
from itertools import product as places

import numpy as np
import pytest

from qcompile.emulator import Emulator
from qcompile.errors import CompileError
from qcompile.ir.array import Array
from qcompile.ir.graph import Graph, Node
from qcompile.ir.model import MODEL, Constant, Conv, Input, MatMul, Quantize
from qcompile.ir.window import Window
from qcompile.numerics.formats import Fixed, Format, MiniFloat
from qcompile.numerics.products import Product, product
from qcompile.passes.integerize import Integerize

RULES = [rule for rule in Product if rule is not Product.EXACT]
FLOAT = MiniFloat(3, 2)


def scale_of(out: int) -> Q:
    return Q(out + 1, 16)


def scaled_product(a: float, b: float, rule: Product, scale: Q) -> Q:
    """The product of the floats of which ``b`` is one times the channel's ``scale``."""
    return scale * product(Q(float(a)), Q(float(b)) / scale, rule, 2)


def layer(op, shape, weights, activations: Format, format_: Format = FLOAT) -> Graph:
    quantizer = format_.quantizer(tuple(scale_of(k) for k in range(weights.shape[-1 if isinstance(op, MatMul) else 0])))
    axis = -1 % weights.ndim if isinstance(op, MatMul) else 0
    nodes = (
        Node("x", Input(shape)),
        Node("q", Quantize(activations.quantizer((Q(1, 8),))), ("x",)),
        Node("w", Constant(Array(weights))),
        Node("wq", Quantize(quantizer, axis), ("w",)),
        Node("y", op, ("q", "wq"), ("/layer",)),
    )
    return Graph(MODEL, "one", nodes, ("y",)).verify()


def quantized(graph: Graph, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    values = {"x": x, "w": graph.by_name["w"].op.value.values[None]}
    return graph.by_name["q"].op.evaluate(values["x"]), graph.by_name["wq"].op.evaluate(values["w"])[0]


def outputs(graph: Graph, rule: Product, x: np.ndarray) -> np.ndarray:
    emulator = Emulator(Integerize(rule).run(graph).verify())
    (node,) = emulator.outputs
    return emulator.decode(node, emulator.run(emulator.encode(x))[node.name])


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("signed", [False, True])
def test_a_matrix_product_sums_approximate_products(rule: Product, signed: bool) -> None:
    rng = np.random.default_rng(1)
    graph = layer(MatMul(), (1, 5), rng.normal(size=(5, 3)), FLOAT if signed else FLOAT.as_unsigned())
    samples = rng.normal(size=(12, 1, 5)) * 2 if signed else np.abs(rng.normal(size=(12, 1, 5)))
    samples[0] = 0
    found = outputs(graph, rule, samples)
    x, w = quantized(graph, samples)
    assert (np.abs(x) < 0.5).any() and (x != 0).any()  # subnormals too
    for sample, out in places(range(12), range(3)):
        terms = (scaled_product(x[sample, 0, i], w[i, out], rule, scale_of(out)) for i in range(5))
        assert Q(float(found[sample, 0, out])) == sum(terms)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("groups", [1, 2])
def test_a_convolution_sums_approximate_products(rule: Product, groups: int) -> None:
    rng = np.random.default_rng(2)
    window = Window((2, 2), pads=(1, 0, 0, 1))
    graph = layer(Conv(window, groups), (1, 4, 3, 3), rng.normal(size=(4, 4 // groups, 2, 2)), FLOAT)
    samples = rng.normal(size=(2, 1, 4, 3, 3)) * 2
    found = outputs(graph, rule, samples)
    x, w = quantized(graph, samples)
    padded = np.pad(x[:, 0], ((0, 0), (0, 0), (1, 0), (0, 1)))
    for sample, out, row, column in places(range(2), range(4), range(3), range(3)):
        first = out // (4 // groups) * (4 // groups)
        total = Q(0)
        for k, i, j in places(range(4 // groups), range(2), range(2)):
            value = padded[sample, first + k, row + i, column + j]
            total += scaled_product(value, w[out, k, i, j], rule, scale_of(out))
        assert Q(float(found[sample, 0, out, row, column])) == total


@pytest.mark.parametrize(
    ("activations", "weights", "which"), [(Fixed(8), FLOAT, "operands"), (FLOAT, Fixed(4), "weights")]
)
def test_only_floats_have_approximate_products(activations: Format, weights: Format, which: str) -> None:
    graph = layer(MatMul(), (1, 5), np.ones((5, 3)), activations, weights)
    with pytest.raises(CompileError) as error:
        Integerize(Product.L_MUL).run(graph)
    (diagnostic,) = error.value.diagnostics
    assert (diagnostic.code, diagnostic.where) == ("QC212", '"/layer"')
    assert diagnostic.found == f"its {which} are no floats, and only floats have an approximate product"
    assert "--multiply exact" in diagnostic.help
