"""Moving quantizers in front of pooling and layout."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from float_networks import Network, run, sampled

from qcompile.ir.graph import Graph
from qcompile.ir.model import Constant, MaxPool, Quantize, Reshape, Transpose
from qcompile.ir.window import Window
from qcompile.numerics.quantizer import Quantizer
from qcompile.numerics.rounding import Rounding
from qcompile.passes.hoist_quantize import HoistQuantize

POOL = MaxPool(Window((2, 2), (2, 2), (0, 1, 0, 1)))
COARSE = Quantizer((Fraction(1, 4),), low=-8, high=7)
FINE = Quantizer((Fraction(1, 64),), low=-128, high=127)


def order(graph: Graph) -> list[str]:
    """What the pass makes of ``graph``, proved to compute the same values."""
    result = HoistQuantize().run(graph).verify()
    x = sampled(graph, low=-3, high=3)
    assert np.array_equal(run(result, x), run(graph, x))
    return [node.op.mnemonic for node in result.nodes if not isinstance(node.op, Constant)]


@pytest.mark.parametrize("rounding", Rounding)
def test_a_quantizer_behind_max_pooling_moves_before_it(rounding: Rounding) -> None:
    net = Network((1, 3, 4, 4))
    quantizer = Quantizer((Fraction(3, 17),), (Fraction(2),), -8, 7, rounding)
    net.node("q", Quantize(quantizer), net.node("pool", POOL, "x"))
    assert order(net.graph("q")) == ["input", "quantize", "max_pool"]


def test_channels_keep_their_parameters_through_pooling_and_transposition() -> None:
    quantizer = Quantizer(tuple(Fraction(1, n) for n in (3, 7, 11)), low=-8, high=7)
    net = Network((1, 3, 4, 4))
    net.node("turned", Transpose((0, 2, 3, 1)), net.node("pool", POOL, "x"))
    net.node("q", Quantize(quantizer, axis=-1), "turned")
    graph = net.graph("q")
    assert order(graph) == ["input", "quantize", "max_pool", "transpose"]
    moved = next(node.op for node in HoistQuantize().run(graph).nodes if isinstance(node.op, Quantize))
    assert moved == Quantize(quantizer, axis=1)


def test_channels_do_not_move_through_a_reshape() -> None:
    net = Network((1, 3, 4, 4))
    quantizer = Quantizer((Fraction(1, 3), Fraction(1, 5)), low=-8, high=7)
    net.node("q", Quantize(quantizer, axis=0), net.node("rows", Reshape((2, 24)), "x"))
    assert order(net.graph("q")) == ["input", "reshape", "quantize"]


def test_a_value_that_others_read_unquantized_keeps_its_place() -> None:
    net = Network((1, 3, 4, 4))
    net.node("q", Quantize(COARSE), net.node("pool", POOL, "x"))
    assert order(net.graph("q", "pool")) == ["input", "max_pool", "quantize"]


def test_a_finer_grid_behind_a_pool_of_coarse_codes_stays_there() -> None:
    net = Network((1, 3, 4, 4))
    net.node("fine", Quantize(FINE), net.node("pool", POOL, net.node("coarse", Quantize(COARSE), "x")))
    assert order(net.graph("fine")) == ["input", "quantize", "max_pool", "quantize"]


def test_a_coarser_grid_behind_a_pool_of_fine_codes_moves() -> None:
    net = Network((1, 3, 4, 4))
    net.node("coarse", Quantize(COARSE), net.node("pool", POOL, net.node("fine", Quantize(FINE), "x")))
    assert order(net.graph("coarse")) == ["input", "quantize", "quantize", "max_pool"]
