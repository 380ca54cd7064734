"""Removing quantizers that change nothing."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np
from float_networks import Network, run, sampled

from qcompile.ir.graph import Graph
from qcompile.ir.model import MaxPool, Quantize, Reshape, Transpose
from qcompile.ir.window import Window
from qcompile.numerics.quantizer import Quantizer
from qcompile.numerics.rounding import Rounding
from qcompile.passes.cancel_quantize import CancelQuantize

GRID = Quantizer((Fraction(3, 16),), (Fraction(2),), -8, 7)  # exact in float64, as the pass is in the rationals
CHANNELS = Quantizer((Fraction(3, 17), Fraction(1, 5), Fraction(1, 3)), low=-8, high=7)
POOL = MaxPool(Window((2, 2), (2, 2)))


def quantizers_left(graph: Graph) -> int:
    """How many quantizers the pass leaves, the result being proved equal."""
    result = CancelQuantize().run(graph).verify()
    x = sampled(graph, low=-3, high=3)
    assert np.array_equal(run(result, x), run(graph, x))
    return sum(isinstance(node.op, Quantize) for node in result.nodes)


def chain(first: Quantize, second: Quantize, *between: MaxPool | Reshape | Transpose) -> Graph:
    net = Network((1, 3, 4, 4))
    x = net.node("first", first, "x")
    for step, op in enumerate(between):
        x = net.node(f"between{step}", op, x)
    return net.graph(net.node("second", second, x))


def test_quantizing_twice_on_one_grid_is_quantizing_once() -> None:
    assert quantizers_left(chain(Quantize(GRID), Quantize(GRID))) == 1


def test_pooling_and_layout_between_equal_quantizers_do_not_matter() -> None:
    between = (POOL, Transpose((0, 2, 3, 1)), Reshape((1, 12)))
    assert quantizers_left(chain(Quantize(GRID), Quantize(GRID), *between)) == 1


def test_a_wider_range_or_another_rounding_behind_the_same_grid_goes_too() -> None:
    wider = (replace(GRID, low=-100), replace(GRID, low=None, high=None), replace(GRID, rounding=Rounding.FLOOR))
    for second in wider:
        assert quantizers_left(chain(Quantize(GRID), Quantize(second))) == 1


def test_a_narrower_range_or_another_grid_stays() -> None:
    for second in (
        replace(GRID, low=-7),
        replace(GRID, scale=(Fraction(1, 2),)),
        replace(GRID, zero_point=(Fraction(1),)),
    ):
        assert quantizers_left(chain(Quantize(GRID), Quantize(second))) == 2


def test_per_channel_grids_are_equal_only_along_the_same_axis() -> None:
    assert quantizers_left(chain(Quantize(CHANNELS, 1), Quantize(CHANNELS, 1), POOL)) == 1
    assert quantizers_left(chain(Quantize(CHANNELS, 1), Quantize(CHANNELS, 3), Transpose((0, 2, 3, 1)))) == 2


def test_an_output_that_is_cancelled_is_returned_from_before() -> None:
    result = CancelQuantize().run(chain(Quantize(GRID), Quantize(GRID)))
    assert result.outputs == ("first",)
