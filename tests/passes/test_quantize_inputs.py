"""The user's grid on inputs that a file leaves real."""

from fractions import Fraction

import numpy as np

from qcompile.ir import model
from qcompile.ir.array import Array
from qcompile.ir.graph import Graph, Node
from qcompile.ir.model import MODEL
from qcompile.numerics.formats import Fixed
from qcompile.numerics.quantizer import Quantizer
from qcompile.passes.quantize_inputs import QuantizeInputs

HALF = Array(np.array(0.5))


def graph(*nodes, integer=None):
    source = Node("x", model.Input((1, 4), integer))
    half = Node("half", model.Constant(HALF))
    return Graph(MODEL, "g", (source, half, *nodes), (nodes[-1].name,)).verify()


def scaled_then(op):
    return Node("y", model.Mul(), ("x", "half")), Node("z", op, ("y",))


def grids(result):
    return [node.op.quantizer for node in result.nodes if node.name == "x_grid"]


def test_an_unsigned_range_is_spread_over_all_codes():
    (grid,) = grids(QuantizeInputs().run(graph(*scaled_then(model.Clip(0.0, None)))))
    assert (grid.scale, grid.low, grid.high) == ((Fraction(1, 255),), 0, 255)


def test_a_signed_range_keeps_zero_on_the_grid_and_both_ends_inside():
    pass_ = QuantizeInputs(Fixed(4), (Fraction(-8), Fraction(3)))
    (grid,) = grids(pass_.run(graph(*scaled_then(model.Clip(0.0, None)))))
    assert (grid.scale, grid.low, grid.high, grid.zero_point) == ((Fraction(1),), -8, 7, (Fraction(0),))


def test_fractional_bits_fix_the_scale():
    (grid,) = grids(QuantizeInputs(Fixed(8, frac=4)).run(graph(*scaled_then(model.Clip(0.0, None)))))
    assert grid.scale == (Fraction(1, 16),)


def test_a_quantizer_without_limits_needs_the_grid_too():
    assert grids(QuantizeInputs().run(graph(*scaled_then(model.Quantize(Quantizer((Fraction(1),)))))))


def test_inputs_that_the_file_quantizes_or_types_as_integers_stay():
    bounded = model.Quantize(Quantizer((Fraction(1),), low=0, high=3))
    assert not grids(QuantizeInputs().run(graph(*scaled_then(bounded))))
    assert not grids(QuantizeInputs().run(graph(*scaled_then(model.Clip(0.0, None)), integer=(0, 255))))
