"""Data that moves across positions, and chains element by element: the hardware graph gives the emulator's codes."""

from __future__ import annotations

import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto
from stream_model import joined, run_frame

sys.path.insert(0, str(Path(__file__).parents[1] / "frontend"))

from graphs import make, node

import qcompile
from qcompile import targets
from qcompile.emulator import Emulator
from qcompile.ir import hardware, integer
from qcompile.ir.array import Array
from qcompile.ir.graph import Graph, Node
from qcompile.ir.integer import INTEGER
from qcompile.ir.window import Window
from qcompile.lower.build import Effort
from qcompile.numerics.function import Affine
from qcompile.numerics.quantizer import Quantizer
from qcompile.schedule import schedule

HEIGHT, WIDTH, CHANNELS = 4, 6, 4
POSITIONS = np.arange(HEIGHT * WIDTH * CHANNELS).reshape(HEIGHT, WIDTH, CHANNELS)
ONE, NONE = (Fraction(1),), (Fraction(0),)


def source(name="x"):
    codes = Quantizer(ONE, NONE, -8, 7)
    return Node(name, integer.Input((1, HEIGHT, WIDTH, CHANNELS), Array(POSITIONS), Affine(ONE, NONE), codes))


def weights(*shape):
    return Array(np.random.default_rng(len(shape)).integers(-3, 4, shape))


def conv(name, x, ins, outs=3):
    return Node(name, integer.Conv(weights(3, 3, ins, outs), Window((3, 3), pads=(1, 1, 1, 1))), (x,))


def network(*nodes):
    result = nodes[-1].name
    shape = Graph(INTEGER, "n", nodes, (result,)).types[result].shape
    order = Array(np.arange(int(np.prod(shape))).reshape(shape))
    output = Node("y", integer.Output(shape, order, ONE, NONE), (result,))
    return Graph(INTEGER, "n", (*nodes, output), ("y",)).verify()


MOVES = {
    "upsampled": POSITIONS.repeat(2, axis=0).repeat(2, axis=1),
    "depth to space": POSITIONS.reshape(HEIGHT, WIDTH, 2, 2, 1).transpose(0, 2, 1, 3, 4).reshape(8, 12, 1),
    "space to depth": POSITIONS.reshape(2, 2, 3, 2, CHANNELS).transpose(0, 2, 1, 3, 4).reshape(2, 3, 16),
    "transposed": POSITIONS.transpose(1, 0, 2),
    "upside down": POSITIONS[::-1],
    "a slice": POSITIONS[1:3, 2:5],
    "channels and columns": POSITIONS.transpose(0, 2, 1),
}


def assert_equal_to_the_emulator(graph, cycles, frames=2):
    design = schedule(graph, targets.get("ultra96"), 200.0, Effort(0), cycles=cycles)
    codes = np.random.default_rng(0).integers(-8, 8, (frames, HEIGHT, WIDTH, CHANNELS))
    wanted = Emulator(graph).run(codes.astype(np.float64))["y"]
    lanes = len(design.graph.types[design.graph.nodes[0].name].lanes)
    for frame, expected in zip(codes, wanted, strict=True):
        beats = [list(map(int, beat)) for beat in frame.reshape(-1, lanes)]
        assert joined(run_frame(design, beats)) == expected.ravel().tolist()
    return design


@pytest.mark.parametrize("name", MOVES)
@pytest.mark.parametrize("cycles", [None, 60, 2000])
def test_a_layer_reads_what_moved_across_positions(name, cycles):
    moved = np.ascontiguousarray(MOVES[name])
    shape = Graph(INTEGER, "n", (source(), Node("m", integer.Gather(Array(moved)), ("x",))), ("m",)).types["m"].shape
    graph = network(
        source(), conv("c", "x", CHANNELS, CHANNELS), Node("m", integer.Gather(Array(moved)), ("c",)),
        conv("d", "m", shape[-1]),
    )  # fmt: skip
    design = assert_equal_to_the_emulator(graph, cycles)
    assert any(isinstance(node.op, hardware.Reorder) for node in design.graph.nodes)


@pytest.mark.parametrize("cycles", [60, 300, 5000])
def test_channels_of_branches_are_joined_position_by_position(cycles):
    graph = network(
        source(), conv("c", "x", CHANNELS, 6), conv("d", "x", CHANNELS, 3),
        Node("both", integer.Concat(), ("c", "d", "x")), conv("e", "both", 13),
    )  # fmt: skip
    design = assert_equal_to_the_emulator(graph, cycles)
    (turns,) = [node.op for node in design.graph.nodes if isinstance(node.op, hardware.Alternate)]
    assert turns.counts == (6, 3, 4)


@pytest.mark.parametrize("cycles", [60, 2000])
def test_what_is_element_by_element_between_layers_is_one_engine(cycles):
    """A gate, a leaky ReLU with a slope per channel, a scale per channel, the sum with a shortcut."""
    slopes = integer.Rescale((3, -2, 5, 0), (1, 2, 3, 4), (2, 1, 3, 0), -100, 100)
    graph = network(
        source(), conv("a", "x", CHANNELS, CHANNELS), conv("b", "x", CHANNELS, CHANNELS),
        Node("gate", integer.Thresholds(Array([[3], [-2], [0], [9]]), (1, -1, 1, 1), (0,)), ("a",)),
        Node("none", integer.WeightedSum(((0,),), (0,)), ("b",)),
        Node("kept", integer.Select(), ("gate", "b", "none")),
        Node("line", slopes, ("kept",)),
        Node("bent", integer.Maximum(), ("kept", "line")),
        Node("sum", integer.WeightedSum(((3, -1, 7, 2), (1,)), (5, 0, -1, 2)), ("bent", "a")),
        Node("code", integer.Rescale((1,), (4,), (3,), -8, 7), ("sum",)),
        Node("low", integer.Thresholds(Array([[0]]), (1,), (0,)), ("code",)),
        Node("all", integer.WeightedSum(((1,), (1,)), (0,)), ("low", "code")),
    )  # fmt: skip
    design = assert_equal_to_the_emulator(graph, cycles)
    (layer,) = [layer for layer in design.layers if "sum" in layer.integer_nodes]
    assert layer.integer_nodes == ("gate", "none", "kept", "line", "bent", "sum", "code", "low", "all")


def upsampling_file():
    constants = {
        "s": np.float32(0.25), "z": np.uint8(3), "t": np.float32(1.5),
        "sizes": np.array([1, 2, 8, 8], np.int64),
        "w": np.random.default_rng(0).integers(-3, 4, (2, 3, 2, 2)).astype(np.float32),
        "v": np.random.default_rng(1).integers(-3, 4, (2, 3, 3, 3)).astype(np.float32),
    }  # fmt: skip
    nodes = [
        node("DequantizeLinear", "x s z", "r"),
        node("ConvTranspose", "r w", "c", strides=[2, 2], name="up"),
        node("QuantizeLinear", "c t z", "q"),
        node("DequantizeLinear", "q t z", "d"),
        node("Conv", "d v", "e", pads=[1, 1, 1, 1], name="flat"),
        node("QuantizeLinear", "e t z", "y"),
    ]
    return make(nodes, {"x": ([1, 2, 4, 4], TensorProto.UINT8)}, ("y", TensorProto.UINT8), constants)


@pytest.mark.parametrize("options", [{}, {"fps": 200_000.0}], ids=["unrolled", "folded"])
def test_a_transposed_convolution_agrees_in_the_simulation_and_in_cpp(options):
    compiled = qcompile.compile(upsampling_file(), target="zcu104", effort=0, clock_mhz=200, backend="both", **options)
    x = np.random.default_rng(2).integers(0, 256, (3, 1, 2, 4, 4)).astype(np.float64)
    wanted = compiled.emulate(x)
    assert (compiled.simulate(x, seed=1) == wanted).all()
    assert (compiled.csim(x) == wanted).all()


def test_a_folded_concatenation_of_branches_of_unequal_depth_never_waits_for_itself():
    """A shortcut and two convolutions, 4 channels beside 6: the shortcut's beats need room until the others come."""
    constants = {
        "s": np.float32(0.25), "z": np.uint8(3), "t": np.float32(1.5),
        "w": np.random.default_rng(0).integers(-3, 4, (4, 4, 3, 3)).astype(np.float32),
        "v": np.random.default_rng(1).integers(-3, 4, (6, 4, 3, 3)).astype(np.float32),
        "u": np.random.default_rng(2).integers(-3, 4, (2, 10, 1, 1)).astype(np.float32),
    }  # fmt: skip
    nodes = [
        node("DequantizeLinear", "x s z", "r"),
        node("Conv", "r w", "a", pads=[1, 1, 1, 1], name="first"),
        node("QuantizeLinear", "a t z", "aq"),
        node("DequantizeLinear", "aq t z", "ad"),
        node("Conv", "ad v", "b", pads=[1, 1, 1, 1], name="second"),
        node("QuantizeLinear", "b t z", "bq"),
        node("DequantizeLinear", "bq t z", "bd"),
        node("Concat", "r bd", "both", axis=1, name="joined"),
        node("Conv", "both u", "c", name="last"),
        node("QuantizeLinear", "c t z", "y"),
    ]
    file = make(nodes, {"x": ([1, 4, 5, 6], TensorProto.UINT8)}, ("y", TensorProto.UINT8), constants)
    compiled = qcompile.compile(file, target="zcu104", effort=0, clock_mhz=200, fps=100_000.0)
    assert "streams in turn" in {layer["engine"] for layer in compiled.report["layers"]}
    x = np.random.default_rng(2).integers(0, 256, (4, 1, 4, 5, 6)).astype(np.float64)
    assert (compiled.simulate(x, seed=1) == compiled.emulate(x)).all()
