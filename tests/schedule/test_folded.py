"""Folded engines: the hardware graph, executed beat by beat, gives the emulator's codes at any folding."""

from __future__ import annotations

from fractions import Fraction
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from stream_model import joined, run_frame

from qcompile import frontend, targets
from qcompile.emulator import Emulator
from qcompile.ir import hardware, integer
from qcompile.ir.array import Array
from qcompile.ir.graph import Graph, Node
from qcompile.ir.window import Window
from qcompile.lower.build import Effort
from qcompile.numerics.function import Affine
from qcompile.numerics.quantizer import Quantizer
from qcompile.passes.carry_signs_as_bits import CarrySignsAsBits
from qcompile.passes.integerize import Integerize
from qcompile.passes.manager import PassManager
from qcompile.passes.realize_requantize import RealizeRequantize
from qcompile.passes.shorten_sums import ShortenSums
from qcompile.schedule import Design, schedule
from qcompile.schedule.fold import Shape, fold

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
ULTRA96 = targets.get("ultra96")
ONE = (Fraction(1),)
NONE = (Fraction(0),)


@cache
def golden(name: str) -> Graph:
    graph = frontend.read(EXAMPLES / name).graph
    passes = (Integerize(), ShortenSums(), RealizeRequantize(), CarrySignsAsBits())
    return PassManager().run(graph, passes)


def assert_equal_to_the_emulator(graph: Graph, design: Design, codes: np.ndarray) -> None:
    wanted = Emulator(graph).run(codes.astype(np.float64))[graph.outputs[0]]
    kind = design.graph.types[design.graph.nodes[0].name]
    for frame, expected in zip(codes, wanted, strict=True):
        beats = [list(map(int, beat)) for beat in frame.reshape(kind.beats, len(kind.lanes))]
        assert joined(run_frame(design, beats)) == expected.ravel().tolist()


@pytest.mark.parametrize("cycles", [1, 300, 2_000, 100_000])
@pytest.mark.parametrize("name", ["digits_cnn_qdq.onnx", "digits_mlp_qdq.onnx"])
def test_a_folded_network_computes_what_the_emulator_does(name: str, cycles: int) -> None:
    graph = golden(name)
    design = schedule(graph, ULTRA96, 200.0, Effort(), cycles=cycles)
    assert any(isinstance(node.op, hardware.FoldedEngine) for node in design.graph.nodes)
    source = Emulator(graph).inputs[0].op
    assert isinstance(source, integer.Input)
    codes = np.random.default_rng(0).integers(0, 256, (1, *source.order.shape))
    assert_equal_to_the_emulator(graph, design, codes)


def small_network(seed: int, *, pads: tuple[int, int, int, int]) -> Graph:
    """Depthwise, binary and strided layers, a residual sum, pooling of both kinds, negative thresholds."""
    rng = np.random.default_rng(seed)
    order = Array(np.arange(6 * 5 * 4).reshape(6, 5, 4))
    codes = Quantizer(ONE, NONE, -8, 7)

    def weights(*shape: int) -> Array:
        return Array(rng.integers(-7, 8, shape))

    def signs(*shape: int) -> Array:
        return Array(rng.choice([-1, 1], shape))

    window = Window((3, 3), pads=pads)
    rescale = integer.Rescale((1,), (3, -5, 0, 40), (2, 3, 2, 1), -8, 7)
    at = Array(rng.integers(-20, 20, (6, 1)))
    nodes = (
        Node("x", integer.Input((1, 6, 5, 4), order, Affine(ONE, NONE), codes)),
        Node("depth", integer.Conv(weights(3, 3, 1, 4), Window((3, 3), pads=(1, 1, 1, 1)), 4, 2), ("x",)),
        Node("depth_q", rescale, ("depth",)),
        Node("join", integer.WeightedSum(((3,), (-1,)), (5,)), ("x", "depth_q")),
        Node("join_q", integer.Rescale((5, 3, 9, 1), (0,), (4,), -8, 7), ("join",)),
        Node("first", integer.Conv(weights(3, 3, 4, 6), window, 1, -1), ("join_q",)),
        Node("sign", integer.Thresholds(at, (1, -1, 1, 1, -1, 1), (-1,), 2), ("first",)),
        Node("pool", integer.MaxPool(Window((2, 2), (2, 1))), ("sign",)),
        Node("second", integer.Conv(signs(1, 2, 6, 8), Window((1, 2))), ("pool",)),
        Node("sign2", integer.Thresholds(Array(rng.integers(-3, 4, (8, 1))), (1,), (-1,), 2), ("second",)),
        Node("total", integer.SumPool(Window(_size(pads))), ("sign2",)),
        Node("flat", integer.Reshape((8,)), ("total",)),
        Node("last", integer.MatMul(weights(8, 3)), ("flat",)),
        Node("y", integer.Output((1, 3), Array(np.arange(3)[None]), ONE, NONE), ("last",)),
    )
    return Graph(integer.INTEGER, "small", nodes, ("y",)).verify()


def _size(pads: tuple[int, int, int, int]) -> tuple[int, int]:
    """Rows and columns of the last image."""
    rows, columns = Window((3, 3), pads=pads).output_size(6, 5)
    return (rows - 2) // 2 + 1, columns - 2


@pytest.mark.parametrize("cycles", [1, 60, 400, 10_000])
@pytest.mark.parametrize("pads", [(1, 1, 1, 1), (0, 0, 0, 0), (2, 0, 1, 2)])
def test_every_kind_of_folded_layer_is_exact(cycles: int, pads: tuple[int, int, int, int]) -> None:
    graph = small_network(cycles, pads=pads)
    codes = np.random.default_rng(1).integers(-8, 8, (2, 6, 5, 4))
    design = schedule(graph, ULTRA96, 200.0, Effort(), cycles=cycles)
    assert_equal_to_the_emulator(graph, design, codes)


@pytest.mark.parametrize("seed", range(4))
def test_signs_as_bits_leave_every_output_as_it_was(seed: int) -> None:
    graph = small_network(seed, pads=(0, 0, 0, 0))
    bits = CarrySignsAsBits().run(graph).verify()
    assert bits.types["sign"].span.low == 0 and bits.types["pool"].span.low == 0
    codes = np.random.default_rng(seed).integers(-8, 8, (20, 6, 5, 4)).astype(np.float64)
    assert (Emulator(bits).run(codes)["y"] == Emulator(graph).run(codes)["y"]).all()
    design = schedule(bits, ULTRA96, 200.0, Effort(), cycles=100)
    xnors = [n for path in design.datapaths.values() for n in path.graph.nodes if n.op.mnemonic == "xnor"]
    assert xnors
    assert_equal_to_the_emulator(bits, design, codes[:1].astype(np.int64))


def test_a_folding_keeps_up_with_the_cycles_it_is_given_where_any_can() -> None:
    shape = Shape(positions=36, taps=9, ins=16, outs=24, arriving=64, separate=False)
    for cycles in (36 * 9, 500, 4_000, 10**6):
        assert fold(shape, cycles).cycles <= cycles
    assert fold(shape, 1).cycles == shape.cycles(16, 24)


@pytest.mark.parametrize("levels", [(0,), (1,), (-1,), (-1, 0), (0, 1), (-1, 1), (-1, 0, 1), (-2, 1)])
@pytest.mark.parametrize("high", [1, 3])
def test_few_weight_levels_are_what_they_are_and_not_signs(levels: tuple[int, ...], high: int) -> None:
    rng = np.random.default_rng(len(levels) + high)
    nodes = (
        Node("x", integer.Input((1, 12), Array(np.arange(12)), Affine(ONE, NONE), Quantizer(ONE, NONE, 0, high))),
        Node("sums", integer.MatMul(Array(rng.choice(levels, (12, 6)))), ("x",)),
        Node("y", integer.Output((1, 6), Array(np.arange(6)[None]), ONE, NONE), ("sums",)),
    )
    graph = Graph(integer.INTEGER, "few", nodes, ("y",)).verify()
    design = schedule(graph, ULTRA96, 200.0, Effort(), cycles=36)
    assert any(isinstance(node.op, hardware.FoldedEngine) for node in design.graph.nodes)
    assert_equal_to_the_emulator(graph, design, rng.integers(0, high + 1, (4, 12)))
