"""Float ties are found, proved by exact distances, and told from true differences."""

from __future__ import annotations

import sys
from fractions import Fraction
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "passes"))

from small_networks import COARSE, Network

from qcompile.ir import model
from qcompile.ir.array import Array
from qcompile.numerics.quantizer import Quantizer
from qcompile.passes.integerize import Integerize
from qcompile.verify.ties import RESOLUTION, TieSearch, weight_ties, with_weights

NEAR = 0.25 + 2.0**-26
"""Half a code of `COARSE`, missed by an eighth of the float32 resolution there."""


def network():
    """x + a constant, quantized: with x = 0 the value lies right above the tie between codes -2 and -1."""
    n = Network(1, 3)
    y = n.quantize(n.add(model.Add(), n.x, n.constant(NEAR)))
    return n.graph(n.add(model.MatMul(), y, n.constant(1.0, 2.0, 4.0, shape=(3, 1))))


def test_a_code_on_the_other_side_of_a_near_boundary_is_found():
    search = TieSearch(Integerize().run(network()))
    sample = np.zeros((1, 1, 3))
    exact = search.outputs(search.emulator.encode(sample))
    found = search.explain(sample, exact - 2 * 0.5, 1e-6)  # the second code one lower, times its weight
    assert found is not None
    (tie,) = found.ties
    assert (tie.position, tie.exact, tie.other, tie.distance) == (1, -1, -2, Fraction(1, 2**26))
    assert tie.error == 2.0**-26 / (RESOLUTION * tie_size(search, sample))


def tie_size(search, sample):
    """The magnitudes that were added: the code of x (in quarters, with its zero point) and the constant."""
    code = abs(int(search.emulator.encode(sample).reshape(-1)[1]))
    return code * 0.25 + abs(NEAR - 0.25)


def test_two_codes_are_found_together():
    search = TieSearch(Integerize().run(network()))
    sample = np.zeros((1, 1, 3))
    exact = search.outputs(search.emulator.encode(sample))
    found = search.explain(sample, exact - (1 + 4) * 0.5, 1e-6)
    assert found is not None
    assert sorted(tie.position for tie in found.ties) == [0, 2]


def test_a_difference_that_no_tie_makes_is_not_explained():
    search = TieSearch(Integerize().run(network()))
    sample = np.full((1, 1, 3), 0.5)
    exact = search.outputs(search.emulator.encode(np.zeros((1, 1, 3))))
    assert search.explain(sample, exact + 0.25, 1e-6) is None


def test_values_that_float32_holds_are_never_ties():
    n = Network(1, 3)
    y = n.quantize(n.add(model.Add(), n.x, n.constant(0.25)))
    search = TieSearch(Integerize().run(n.graph(y)))
    assert search.candidates(np.zeros((1, 1, 3))) == []


def test_a_weight_that_a_float32_division_takes_to_the_next_code_is_found_and_flipped():
    scale = Fraction(float(np.float32(0.1)))
    weight = np.float32(float(scale) * 2.5)  # the float nearest to the tie between 2 and 3
    n = Network(1, 1)
    stored = n.add(model.Constant(Array(np.array([[float(weight)]]))))
    quantized = n.quantize(stored, Quantizer((scale,), low=-7, high=7))
    graph = n.graph(n.add(model.MatMul(), n.x, quantized))
    (tie,) = weight_ties(graph)
    assert {tie.exact, tie.other} == {2, 3}
    assert weight_ties(with_weights(graph, [tie])) == []


def test_the_coarse_grid_has_the_boundary_that_the_tests_assume():
    assert COARSE.code(Fraction(1, 4)) == -2
    assert COARSE.code(Fraction(NEAR)) == -1
