"""What ends a folded engine: tables that are staircases, and results that are requantized one after the other."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from stream_model import joined, run_frame

from qcompile import targets
from qcompile.emulator import Emulator
from qcompile.ir import datapath, integer
from qcompile.ir.array import Array
from qcompile.ir.graph import Graph, Node
from qcompile.ir.window import Window
from qcompile.lower.build import Effort
from qcompile.lower.finish import staircase
from qcompile.numerics.function import Affine
from qcompile.numerics.quantizer import Quantizer
from qcompile.schedule import Design, schedule
from qcompile.schedule.choice import Choice
from qcompile.schedule.naming import Names

ONE, NONE = (Fraction(1),), (Fraction(0),)


def vectors(weights: np.ndarray, finish: integer.IntegerOp) -> Graph:
    """Codes -2 to 1, a matrix and what follows it."""
    ins, outs = weights.shape
    codes = Quantizer(ONE, NONE, -2, 1)
    nodes = (
        Node("x", integer.Input((1, ins), Array(np.arange(ins)), Affine(ONE, NONE), codes)),
        Node("sum", integer.MatMul(Array(weights)), ("x",)),
        Node("code", finish, ("sum",)),
        Node("y", integer.Output((1, outs), Array(np.arange(outs)[None]), ONE, NONE), ("code",)),
    )
    return Graph(integer.INTEGER, "vectors", nodes, ("y",)).verify()


def folded(graph: Graph, cycles: int) -> Design:
    return schedule(graph, targets.get("ultra96"), 200.0, Effort(), cycles=cycles)


def assert_equal_to_the_emulator(graph: Graph, design: Design) -> None:
    source = graph.nodes[0].op
    assert isinstance(source, integer.Input)
    codes = np.random.default_rng(3).integers(-2, 2, (5, *source.order.shape))
    wanted = Emulator(graph).run(codes.astype(np.float64))[graph.outputs[0]]
    kind = design.graph.types[design.graph.nodes[0].name]
    for frame, expected in zip(codes, wanted, strict=True):
        beats = [list(map(int, beat)) for beat in frame.reshape(kind.beats, len(kind.lanes))]
        assert joined(run_frame(design, beats)) == expected.ravel().tolist()


def stairs(seed: int, step: int) -> integer.Lookup:
    """Rows that rise, fall, stand still, and jump over codes."""
    rng = np.random.default_rng(seed)
    rows = np.sort(rng.integers(-2, 2, (6, 33)), axis=1) * step
    rows[1] = rows[1][::-1]
    rows[2] = rows[2][0]
    rows[4] = np.where(np.arange(33) < 20, 1, -2) * step
    return integer.Lookup(Array(rows), -16)


@pytest.mark.parametrize("step", [1, 2, 3])
@pytest.mark.parametrize("seed", range(3))
def test_a_table_whose_rows_only_rise_or_fall_is_the_same_as_its_comparators(seed: int, step: int) -> None:
    table = stairs(seed, step)
    steps = staircase(table)
    assert steps is not None
    for channel, row in enumerate(table.table.values):
        assert [steps.code(value, channel) for value in range(-16, 17)] == row.tolist()


def test_a_table_with_a_bump_is_no_staircase() -> None:
    rows = stairs(0, 1).table.values.copy()
    rows[3, 5:8] = (0, 1, 0)
    assert staircase(integer.Lookup(Array(rows), -16)) is None


def test_a_layer_with_a_staircase_per_channel_is_folded_onto_comparators() -> None:
    rng = np.random.default_rng(0)
    graph = vectors(rng.choice([-1, 1], (8, 6)), stairs(0, 1))
    design = folded(graph, 24)
    (layer,) = design.layers
    assert layer.engine == "folded matrix"
    assert not any(isinstance(n.op, datapath.Lookup) for path in design.datapaths.values() for n in path.graph.nodes)
    assert_equal_to_the_emulator(graph, design)


def scaled(outs: int) -> integer.Rescale:
    """Factors of many digits and shifts of their own."""
    factors = tuple(1001 + 37 * k for k in range(outs))
    return integer.Rescale(factors, tuple(range(-40, outs - 40)), tuple(8 + k % 3 for k in range(outs)), -8, 7)


def depthwise() -> Graph:
    """Eight channels on their own, each with a wide requantization."""
    rng = np.random.default_rng(1)
    codes = Quantizer(ONE, NONE, -2, 1)
    order = Array(np.arange(4 * 3 * 8).reshape(4, 3, 8))
    nodes = (
        Node("x", integer.Input((1, 4, 3, 8), order, Affine(ONE, NONE), codes)),
        Node("sum", integer.Conv(Array(rng.integers(-90, 91, (3, 3, 1, 8))), Window((3, 3)), 8), ("x",)),
        Node("code", scaled(8), ("sum",)),
        Node("y", integer.Output((1, 2, 1, 8), Array(np.arange(16).reshape(1, 2, 1, 8)), ONE, NONE), ("code",)),
    )
    return Graph(integer.INTEGER, "depthwise", nodes, ("y",)).verify()


def test_wide_requantizations_are_shared_by_the_results_of_a_layer() -> None:
    graph = depthwise()
    design = folded(graph, 40)
    assert [(layer.name, layer.lanes) for layer in design.layers] == [("code", (4, 4)), ("code_requantize", (1, 1))]
    sums, requantize = design.layers
    assert (sums.integer_nodes, requantize.integer_nodes) == (("sum",), ("code",))
    assert_equal_to_the_emulator(graph, design)


def test_a_requantization_is_not_shared_where_results_come_too_fast() -> None:
    rng = np.random.default_rng(1)
    graph = vectors(rng.integers(-7, 8, (16, 8)), scaled(8))
    design = folded(graph, 2)
    assert [layer.lanes for layer in design.layers] == [(16, 4)]
    assert_equal_to_the_emulator(graph, design)


def test_a_schedule_says_how_many_lanes_requantize() -> None:
    rng = np.random.default_rng(1)
    graph = vectors(rng.integers(-7, 8, (16, 8)), scaled(8))
    for given in ({"code": Choice(2, 4), "code_requantize": Choice(2, 2)}, {"code": Choice(2, 4)}):
        design = schedule(graph, targets.get("ultra96"), 200.0, Effort(), choices=given)
        lanes = {layer.name: layer.lanes for layer in design.layers}
        assert lanes == {name: (choice.simd, choice.pe) for name, choice in given.items()}
        assert_equal_to_the_emulator(graph, design)


def test_a_layer_of_the_same_name_keeps_it() -> None:
    names = Names()
    assert [names.free("fc_requantize"), names.free("fc_requantize")] == ["fc_requantize", "fc_requantize_2"]
