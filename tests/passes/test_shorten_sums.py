"""Sums with short factors give the codes of the exact ones, on every pair of operands."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from qcompile.emulator import Emulator
from qcompile.ir import integer
from qcompile.ir.array import Array
from qcompile.ir.graph import Graph, Node
from qcompile.numerics.function import Affine, Clamp, Leaky, ScalarFunction, Step
from qcompile.numerics.quantizer import Quantizer
from qcompile.passes.realize_requantize import RealizeRequantize
from qcompile.passes.shorten_sums import ShortenSums

ONE = Fraction(1)
UNITY = Affine((ONE,), (Fraction(0),))
GRID = Quantizer((Fraction(float(np.float32(0.051))),), (Fraction(-3),), -64, 63)


def residual(factors: tuple[int, int], offset: int, steps: tuple[Step, ...], quantizer: Quantizer = GRID) -> Graph:
    """Both operands are 6 bits wide; the sum has one user."""
    order = Array(np.arange(2))
    one = integer.Output((1,), Array([0]), (ONE,), (Fraction(0),))
    nodes = (
        Node("x", integer.Input((2,), order, UNITY, Quantizer((ONE,), low=-32, high=31))),
        Node("a", integer.Gather(Array([0])), ("x",)),
        Node("b", integer.Gather(Array([1])), ("x",)),
        Node("sum", integer.WeightedSum(tuple((f,) for f in factors), (offset,)), ("a", "b")),
        Node("z", integer.Requantize(ScalarFunction(steps, quantizer)), ("sum",)),
        Node("y", one, ("z",)),
    )
    return Graph(integer.INTEGER, "g", nodes, ("y",)).verify()


def every_pair() -> np.ndarray:
    return np.array([(a, b) for a in range(-32, 32) for b in range(-32, 32)])


def common_unit(*scales: float) -> tuple[tuple[int, int], Fraction]:
    """Integer factors of two float32 scales, and their unit."""
    exact = [Fraction(float(np.float32(s))) for s in scales]
    unit = Fraction(1, max(e.denominator for e in exact))
    return (int(exact[0] / unit), int(exact[1] / unit)), unit


@pytest.mark.parametrize(("first", "second"), [(0.0137, 0.0421), (0.03, 0.0300001), (0.5, 0.0017), (-0.021, 0.033)])
@pytest.mark.parametrize("relu", [False, True])
def test_the_codes_are_the_same_on_every_pair_and_the_factors_short(first: float, second: float, relu: bool) -> None:
    factors, unit = common_unit(first, second)
    steps: tuple[Step, ...] = (Affine((unit,), (Fraction(1, 7),)), *([Clamp(Fraction(0), None)] if relu else []))
    graph = residual(factors, 5, steps)
    short = ShortenSums().run(graph).verify()
    total, code = short.by_name["sum"].op, short.by_name["z"].op
    assert isinstance(total, integer.WeightedSum) and isinstance(code, integer.Rescale)
    before = max(abs(f) for f in factors).bit_length()
    assert before > 20 > max(abs(f[0]) for f in total.factors).bit_length()
    assert (Emulator(short).run(every_pair())["y"] == Emulator(graph).run(every_pair())["y"]).all()
    # Nothing is left for the pass that realises requantizations.
    assert RealizeRequantize().run(short) == short


LINE: tuple[Step, ...] = (Affine((Fraction(1, 1 << 24),), (Fraction(0),)),)


def unchanged(graph: Graph) -> bool:
    return ShortenSums().run(graph) == graph


def test_short_factors_stay_as_they_are() -> None:
    assert unchanged(residual((4095, 17), 0, LINE))
    assert not unchanged(residual((1 << 23, (1 << 22) + 1), 0, LINE))


def test_a_function_that_is_no_rising_line_keeps_its_exact_sum() -> None:
    factors = (1 << 23, (1 << 22) + 1)
    assert unchanged(residual(factors, 0, (*LINE, Leaky((Fraction(1, 10),)))))
    assert unchanged(residual(factors, 0, (Affine((Fraction(-1, 1 << 24),), (Fraction(0),)),)))


def test_a_sum_that_others_read_stays_exact() -> None:
    graph = residual((1 << 23, (1 << 22) + 1), 0, LINE)
    other = Node("y2", integer.Output((1,), Array([0]), (ONE,), (Fraction(0),)), ("sum",))
    assert unchanged(Graph(integer.INTEGER, "g", (*graph.nodes, other), ("y", "y2")).verify())
