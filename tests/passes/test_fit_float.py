"""Requantization to a minifloat by a line and one rounding of the significand, on every accumulator."""

from __future__ import annotations

from fractions import Fraction as Q

import numpy as np
import pytest

from qcompile.ir import integer
from qcompile.ir.array import Array
from qcompile.ir.graph import Graph, Node
from qcompile.ir.integer import IntType
from qcompile.numerics.formats import MiniFloat
from qcompile.numerics.function import Affine, Clamp, ScalarFunction
from qcompile.numerics.quantizer import Quantizer
from qcompile.numerics.rounding import Rounding
from qcompile.numerics.span import Span
from qcompile.passes.fit_float import fit_float
from qcompile.passes.realize_requantize import RealizeRequantize

UNITY = Affine((Q(1),), (Q(0),))
RELU = Clamp(Q(0), None)


def pair_of(function: ScalarFunction, spans: tuple[Span, ...]):
    operand = IntType((len(spans),), spans)
    steps = [function.thresholds(span, c) for c, span in enumerate(spans)]
    return fit_float(function, operand, steps)


def check(function: ScalarFunction, spans: tuple[Span, ...]) -> tuple[integer.Rescale, integer.RoundSignificand]:
    pair = pair_of(function, spans)
    assert pair is not None
    rescale, rounding = pair
    for channel, span in enumerate(spans):
        for value in range(span.low, span.high + 1):
            assert rounding.code(rescale.code(value, channel)) == function.code(value, channel)
    return pair


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("format_", [MiniFloat(3, 2), MiniFloat(2, 3), MiniFloat(4, 3, 1), MiniFloat(2, 0)], ids=str)
@pytest.mark.parametrize(
    ("slope", "offset"),
    [(Q(1, 4), Q(3, 4)), (Q(1, 4), Q(1, 3)), (Q(1, 16), Q(0)), (Q(37, 1000), Q(1, 7)), (Q(1), Q(2)), (Q(-3, 32), Q(5))],
    ids=lambda q: str(q),
)
def test_the_pair_gives_the_code_of_every_accumulator(format_, slope, offset, signed) -> None:
    chosen = format_.as_signed() if signed else format_.as_unsigned()
    steps = (Affine((slope,), (offset,)), *(() if signed else (RELU,)))
    check(ScalarFunction(steps, chosen.quantizer((Q(1),))), (Span(-1500, 2100),))


def test_ties_go_up_where_none_is_met_and_the_line_stays_short() -> None:
    function = ScalarFunction(
        (Affine((Q(1, 256),), (Q(1, 3),)), RELU), MiniFloat(3, 2, signed=False).quantizer((Q(1),))
    )
    rescale, rounding = check(function, (Span(0, 9000),))
    assert (rounding.shift, rounding.rounding) == (1, Rounding.HALF_UP)
    assert (rescale.factor, rescale.shift) == ((1,), (7,))


def test_ties_that_are_met_go_to_even_on_the_exact_line() -> None:
    function = ScalarFunction((Affine((Q(1, 8),), (Q(0),)), RELU), MiniFloat(3, 2, signed=False).quantizer((Q(1),)))
    rescale, rounding = check(function, (Span(0, 4000),))
    assert (rounding.shift, rounding.rounding) == (3, Rounding.HALF_EVEN)
    assert (rescale.factor, rescale.shift) == ((1,), (0,))


def test_channels_have_lines_of_their_own() -> None:
    affine = Affine((Q(3, 50), Q(-1, 9), Q(1, 64)), (Q(1, 7), Q(151, 5), Q(-13, 3)))
    function = ScalarFunction((affine, RELU), MiniFloat(3, 2, signed=False).quantizer((Q(1, 4),)))
    rescale, _ = check(function, (Span(-900, 900), Span(-10, 800), Span(0, 200)))
    assert len(rescale.factor) == 3


def test_other_grids_are_left_to_others() -> None:
    function = ScalarFunction((Affine((Q(1, 8),), (Q(0),)),), Quantizer((Q(1),), low=0, high=255))
    assert pair_of(function, (Span(0, 100),)) is None


@pytest.mark.parametrize(("format_", "kind"), [(MiniFloat(4, 3), "round_significand"), (MiniFloat(2, 0), "thresholds")])
def test_many_codes_take_one_rounding_and_few_take_comparators(format_: MiniFloat, kind: str) -> None:
    quantizer = format_.as_unsigned().quantizer((Q(1),))
    function = ScalarFunction((Affine((Q(1, 8),), (Q(1, 3),)), RELU), quantizer)
    order = Array(np.arange(1))
    source = integer.Input((1,), order, UNITY, Quantizer((Q(1),), low=-(1 << 18), high=1 << 18))
    nodes = (
        Node("x", source),
        Node("z", integer.Requantize(function), ("x",)),
        Node("y", integer.Output((1,), order, (Q(1),), (Q(0),)), ("z",)),
    )
    graph = RealizeRequantize().run(Graph(integer.INTEGER, "one", nodes, ("y",)))
    assert kind in {node.op.mnemonic for node in graph.nodes}
