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
from qcompile.lower.build import Effort
from qcompile.lower.finish import staircase
from qcompile.numerics.function import Affine
from qcompile.numerics.quantizer import Quantizer
from qcompile.schedule import Design, schedule

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
