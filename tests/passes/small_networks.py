"""Small model graphs on power-of-two grids, where float64 evaluation is exact, and their integer graphs."""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from qcompile.emulator import Emulator
from qcompile.ir import integer, model
from qcompile.ir.array import Array
from qcompile.ir.graph import Graph, Node
from qcompile.ir.model import MODEL, evaluate
from qcompile.ir.text import parse_graph, print_graph
from qcompile.numerics.quantizer import Quantizer
from qcompile.passes.integerize import Integerize
from qcompile.passes.realize_requantize import RealizeRequantize
from qcompile.passes.shorten_sums import ShortenSums

INPUT = Quantizer((Fraction(1, 4),), (Fraction(1),), low=-8, high=7)
"""4 bits, multiples of 1/4 from -9/4 to 3/2: the zero point is not 0."""
COARSE = Quantizer((Fraction(1, 2),), (Fraction(-2),), low=-8, high=7)


class Network:
    """A model graph under construction; ``x`` is an input of this shape, quantized to `INPUT`."""

    def __init__(self, *shape: int, quantizer: Quantizer | None = INPUT) -> None:
        self.nodes = [Node("x", model.Input(shape))]
        self.x = "x"
        if quantizer is not None:
            self.x = self.add(model.Quantize(quantizer), "x", name="x_codes")

    def add(self, op: model.ModelOp, *inputs: str, name: str | None = None) -> str:
        made = name or f"{op.mnemonic}{len(self.nodes)}"
        self.nodes.append(Node(made, op, inputs, (f"/{made}",)))
        return made

    def constant(self, *values: float, shape: tuple[int, ...] | None = None) -> str:
        array = np.array(values, np.float64)
        return self.add(model.Constant(Array(array if shape is None else array.reshape(shape))))

    def random(self, *shape: int, seed: int = 0) -> str:
        """A constant of multiples of 1/8 between -1 and 1."""
        values = np.random.default_rng(seed).integers(-8, 9, shape) / 8
        return self.add(model.Constant(Array(values.astype(np.float64))))

    def quantize(self, x: str, quantizer: Quantizer = COARSE, axis: int | None = None) -> str:
        return self.add(model.Quantize(quantizer, axis), x)

    def graph(self, *outputs: str) -> Graph:
        return Graph(MODEL, "small", tuple(self.nodes), outputs or (self.nodes[-1].name,)).verify()


def integers(graph: Graph) -> Graph:
    """The realised integer graph, which is also its text form read back."""
    meaning = ShortenSums().run(Integerize().run(graph).verify())
    golden = RealizeRequantize().run(meaning).verify()
    assert parse_graph(print_graph(golden), integer.INTEGER, integer.PARAMETERS) == golden
    return golden


def samples(graph: Graph, count: int = 40, seed: int = 1) -> np.ndarray:
    """Random inputs, most of them off the grid, some beyond its ends."""
    shape = graph.nodes[0].op.shape  # type: ignore[attr-defined]
    return np.random.default_rng(seed).integers(-24, 18, (count, *shape)) / 8


def check_exact(graph: Graph, count: int = 40) -> Graph:
    """The emulator gives the model's own values, all of them, to the last bit; returns the integer graph."""
    x = samples(graph, count)
    golden = integers(graph)
    found = Emulator(golden)(x)
    wanted = evaluate(graph, {"x": x})
    for output, name in zip(golden.outputs, graph.outputs, strict=True):
        np.testing.assert_array_equal(found[output], np.broadcast_to(wanted[name], found[output].shape))
    return golden
