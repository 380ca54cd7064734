"""Every realisation of a requantization is the function it stands for, over the whole reachable range."""

from __future__ import annotations

import random
from fractions import Fraction

import numpy as np
import pytest

from qcompile.emulator import Emulator
from qcompile.errors import CompileError
from qcompile.ir import integer
from qcompile.ir.array import Array
from qcompile.ir.graph import Graph, Node
from qcompile.numerics.function import Affine, Clamp, Curve, Leaky, ScalarFunction, Step, append_step
from qcompile.numerics.quantizer import Quantizer
from qcompile.numerics.rounding import Rounding
from qcompile.passes.fit_line import signed_digits
from qcompile.passes.realize_requantize import RealizeRequantize

ONE = Fraction(1)
UNITY = Affine((ONE,), (Fraction(0),))


def requantized(function: ScalarFunction, low: int, high: int, channels: int = 2) -> Graph:
    order = Array(np.arange(channels))
    source = integer.Input((channels,), order, UNITY, Quantizer((ONE,), low=low, high=high))
    nodes = (
        Node("x", source),
        Node("z", integer.Requantize(function), ("x",), ("/act/Quantize",)),
        Node("y", integer.Output((channels,), order, (ONE,), (Fraction(0),)), ("z",)),
    )
    return Graph(integer.INTEGER, "g", nodes, ("y",))


def differing(graph: Graph, realized: Graph, accumulators: list[int]) -> list[tuple[int, int]]:
    """(accumulator, channel) for which the realisation is not the function."""
    function = graph.by_name["z"].op
    assert isinstance(function, integer.Requantize)
    channels = graph.types["x"].channels
    codes = np.array([[value] * channels for value in accumulators], object)
    found = Emulator(realized).run(codes)["y"]
    wanted = [[function.function.code(value, c) for c in range(channels)] for value in accumulators]
    return [(accumulators[r], c) for r, c in np.argwhere(found != np.array(wanted)).tolist()]


def random_function(seed: int) -> ScalarFunction:
    """What a layer ends with: a scale per channel of any sign, a bias, an activation, a grid with many ties."""
    chosen = random.Random(seed)

    def ratio(most: int) -> Fraction:
        return Fraction(chosen.randint(1, most), chosen.choice((1, 2, 8, 16, 7, 10)))

    sign = chosen.choice((1, 1, -1))
    scale = tuple(sign * ratio(12) / 16 for _ in range(chosen.choice((1, 2))))
    steps: tuple[Step, ...] = (Affine(scale, tuple(ratio(30) - 2 for _ in range(chosen.choice((1, 2))))),)
    match chosen.randrange(5):
        case 0:
            steps = append_step(steps, Clamp(Fraction(0), None))
        case 1:
            steps = append_step(steps, Clamp(Fraction(0), Fraction(6)))
        case 2:
            steps = append_step(steps, Leaky((ratio(4) / 16,)))
        case 3:
            steps = append_step(append_step(steps, Leaky((ratio(2), ratio(3) / 8))), Affine((ratio(3),), (ratio(2),)))
    bits = chosen.choice((1, 2, 4, 8))
    low = chosen.choice((0, -(1 << bits) // 2))
    first = chosen.random() < 0.3
    zero = Fraction(chosen.randint(-3, 3)) + (Fraction(1, 2) if first and chosen.random() < 0.5 else 0)
    mode = chosen.choice((Rounding.HALF_EVEN, Rounding.HALF_EVEN, *Rounding))
    return ScalarFunction(steps, Quantizer((ratio(8) / 4,), (zero,), low, low + (1 << bits) - 1, mode, first))


@pytest.mark.parametrize("seed", range(150))
def test_a_random_function_is_realised_exactly_everywhere(seed: int) -> None:
    graph = requantized(random_function(seed), -150, 150)
    realized = RealizeRequantize().run(graph).verify()
    assert not any(isinstance(node.op, integer.Requantize) for node in realized.nodes)
    assert differing(graph, realized, list(range(-150, 151))) == []


@pytest.mark.parametrize("seed", range(40))
def test_a_wide_accumulator_is_exact_at_every_step_and_at_both_ends(seed: int) -> None:
    function = random_function(seed)
    bound = 1 << 22
    steps = tuple(
        Affine(tuple(s / 40000 for s in step.scale), step.offset) if isinstance(step, Affine) else step
        for step in function.steps
    )
    graph = requantized(ScalarFunction(steps, function.quantizer), -bound, bound)
    realized = RealizeRequantize().run(graph).verify()
    places = {-bound, bound, 0}
    for channel in range(2):
        found = ScalarFunction(steps, function.quantizer).thresholds(graph.types["x"].span, channel)
        assert found is not None
        places |= {found.sign * int(at) + near for at in found.at for near in (-1, 0, 1)}
    places |= set(random.Random(seed).choices(range(-bound, bound + 1), k=100))
    assert differing(graph, realized, sorted(p for p in places if -bound <= p <= bound)) == []


def test_random_functions_are_realised_in_every_way() -> None:
    used = {
        type(node.op)
        for seed in range(150)
        for node in RealizeRequantize().run(requantized(random_function(seed), -150, 150)).nodes
    }
    assert used >= {integer.Rescale, integer.Thresholds, integer.Lookup}


def realisation(function: ScalarFunction, low: int, high: int) -> integer.IntegerOp:
    (node,) = [n for n in RealizeRequantize().run(requantized(function, low, high, 1)).nodes if n.name == "z"]
    assert isinstance(node.op, integer.IntegerOp)
    return node.op


def test_a_power_of_two_scale_is_a_bare_shift_that_rounds_its_ties_to_even() -> None:
    function = ScalarFunction((Affine((Fraction(1, 16),), (Fraction(0),)),), Quantizer((ONE,), low=-128, high=127))
    found = realisation(function, -2000, 2000)
    assert found == integer.Rescale((1,), (0,), (4,), -125, 125, Rounding.HALF_EVEN)


def test_a_bias_that_rules_out_ties_leaves_a_shift_that_drops_bits() -> None:
    function = ScalarFunction((Affine((Fraction(1, 16),), (Fraction(1, 3),)),), Quantizer((ONE,), low=-128, high=127))
    found = realisation(function, -2000, 2000)
    # (x + 16/3) / 16 rounded is floor((x + 16/3 + 8) / 16), which sees only the integer part 13.
    assert found == integer.Rescale((1,), (13,), (4,), -125, 125, Rounding.FLOOR)


def test_two_codes_are_one_comparator() -> None:
    function = ScalarFunction((Affine((Fraction(1, 9),), (Fraction(1, 7),)),), Quantizer((ONE,), low=0, high=1))
    found = realisation(function, -2000, 2000)
    assert isinstance(found, integer.Thresholds) and found.at.values.tolist() == [[4]]


def test_a_free_scale_gets_a_factor_of_few_digits() -> None:
    scale = Fraction(float(np.float32(0.030742)))
    function = ScalarFunction((Affine((scale,), (Fraction(2, 3),)),), Quantizer((ONE,), low=-128, high=127))
    found = realisation(function, -4000, 4000)
    assert isinstance(found, integer.Rescale) and len(found.factor) == 1
    assert abs(Fraction(found.factor[0], 1 << found.shift[0]) / scale - 1) < Fraction(1, 1000)
    assert signed_digits(found.factor[0]) < signed_digits(scale.numerator)


def test_a_leaky_line_of_a_wide_accumulator_is_the_larger_of_two_lines() -> None:
    steps = (Affine((Fraction(1, 301),), (Fraction(0),)), Leaky((Fraction(1, 10),)))
    graph = requantized(ScalarFunction(steps, Quantizer((ONE,), low=-128, high=127)), -30000, 30000, 1)
    realized = RealizeRequantize().run(graph)
    assert [node.op.mnemonic for node in realized.nodes][-2:] == ["maximum", "output"]
    assert differing(graph, realized, list(range(-30000, 30001, 7))) == []


def test_few_accumulators_become_a_table() -> None:
    function = ScalarFunction(
        (Affine((Fraction(1, 4),), (Fraction(0),)), Curve("gelu")), Quantizer((Fraction(1, 32),), low=-20, high=99)
    )
    assert isinstance(realisation(function, -16, 15), integer.Lookup)


def test_a_function_that_nothing_realises_is_refused_with_its_range() -> None:
    # It rises, falls, and has one accumulator more than a table may have entries.
    steps = (Leaky((Fraction(-1),)), Affine((Fraction(-1, 999),), (Fraction(0),)))
    function = ScalarFunction(steps, Quantizer((ONE,), low=-99, high=9))
    with pytest.raises(CompileError) as error:
        RealizeRequantize().run(requantized(function, -32768, 32768, 1))
    assert str(error.value) == (
        'error[QC301]: "/act/Quantize": the function of an accumulator in -32768..32768 is neither a line, nor of at '
        "most 1024 steps, nor small enough for a table (65536 entries)\n"
        "  = help: quantize the accumulator to at most 16 bits before the nonlinearity"
    )
