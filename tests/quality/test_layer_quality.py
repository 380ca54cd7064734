"""Histograms on their grids and signal-to-noise ratios, held to the emulator's own integers and to plain sums."""

from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import qcompile
from qcompile import frontend
from qcompile.ir.array import Array
from qcompile.ir.graph import Graph, Node
from qcompile.ir.model import MODEL, Clip, Constant, Input, MatMul, Quantize
from qcompile.numerics.bipolar import BipolarQuantizer
from qcompile.numerics.quantizer import Quantizer
from qcompile.quality import weight_histogram
from qcompile.quality.assess import Networks, assess
from qcompile.quality.histogram import activation_histogram
from qcompile.quality.layers import layer_quality
from qcompile.quality.reference import without_rounding

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
EIGHTHS = Quantizer((Fraction(1, 8),), low=-4, high=3)


def test_narrow_grids_count_every_code_and_wide_ones_at_most_64_bins() -> None:
    codes = np.array([-4, -4, 0, 3])
    assert activation_histogram(codes, -4, 3)["counts"] == [2, 0, 0, 0, 1, 0, 0, 1]
    wide = activation_histogram(np.array([0, 3, 4, 255]), 0, 255)
    assert (wide["step"], wide["counts"][:2], wide["counts"][-1], len(wide["counts"])) == (4, [2, 1], 1, 64)


@pytest.mark.parametrize(
    ("weights", "low", "high"), [([-1, 1], -1, 1), ([-1, 0, 1], -1, 1), ([-5, 2], -8, 7), ([0, 5], 0, 7), ([-8], -8, 7)]
)
def test_weights_lie_on_the_grid_of_their_width(weights: list[int], low: int, high: int) -> None:
    found = weight_histogram(np.array(weights))
    assert (found["low"], found["high"], sum(found["counts"])) == (low, high, len(weights))


def _network(*behind: Node) -> Graph:
    weights = np.array([[1.0, -0.5], [0.25, 2.0]])
    nodes = (
        Node("x", Input((1, 2))),
        Node("w", Constant(Array(weights))),
        Node("y", MatMul(), ("x", "w")),
        *behind,
    )
    return Graph(MODEL, "small", nodes, (nodes[-1].name,))


def test_the_ratio_is_that_of_the_sums_of_squares_and_what_lies_beyond_the_grid_is_counted() -> None:
    x = np.random.default_rng(0).normal(0, 0.4, (10, 1, 2))
    quantized = _network(Node("y_q", Quantize(EIGHTHS), ("y",)))
    found = layer_quality(_network(), quantized, {"fc": "y_q", "lost": "nowhere"}, x)
    assert list(found) == ["fc"]
    exact = x @ np.array([[1.0, -0.5], [0.25, 2.0]])
    coded = np.clip(np.rint(exact * 8), -4, 3)
    noise = ((coded / 8 - exact) ** 2).sum()
    assert found["fc"].sqnr_db == round(10 * np.log10((exact**2).sum() / noise), 2)
    counts = found["fc"].activations
    assert counts is not None
    assert counts["counts"] == [int((coded == code).sum()) for code in range(-4, 4)]
    assert (counts["real_low"], counts["real_high"]) == (-0.5, 0.375)
    assert counts["clipped"] == np.mean((exact < -0.5625) | (exact > 0.4375)) > 0.1


def test_a_quantized_network_without_rounding_saturates_and_keeps_weights_and_signs() -> None:
    sign = BipolarQuantizer((Fraction(1),))
    nodes = [Node("w_q", Quantize(EIGHTHS), ("w",)), Node("z", MatMul(), ("x", "w_q"))]
    nodes += [Node("z_q", Quantize(EIGHTHS), ("z",)), Node("s", Quantize(sign), ("z_q",))]
    ops = {node.name: node.op for node in without_rounding(_network(*nodes)).nodes}
    assert (ops["w_q"], ops["z_q"], ops["s"]) == (Quantize(EIGHTHS), Clip(-0.5, 0.375), Quantize(sign))


def test_the_codes_counted_are_the_emulators() -> None:
    with np.load(EXAMPLES / "digits.npz") as held:
        samples, calibration = held["x_test"][:6], held["x_calib"]
    graphs: dict[str, Graph] = {}
    compiled = qcompile.compile(
        EXAMPLES / "digits_cnn.onnx",
        calibration=calibration,
        after_pass=lambda name, graph: graphs.update({name: graph}),
    )
    results = {"conv": "relu1_q", "pool": "pool2"}
    report: dict[str, Any] = {"layers": [{"name": name, "macs": 9} for name in results]}
    original = frontend.read(EXAMPLES / "digits_cnn.onnx").graph
    images = samples.astype(np.float64).reshape(-1, 1, 1, 8, 8)
    assess(report, Networks(original, graphs["hoist_quantize"]), results, images, "verification")
    values = compiled.emulator.trace(compiled.emulator.encode(images))
    for layer in report["layers"]:
        codes = values[results[layer["name"]]]
        assert layer["activations"]["counts"] == activation_histogram(codes, 0, 255)["counts"]
        assert 30 < layer["sqnr_db"] < 60
    assert report["quality"] == {"samples": 6, "source": "verification", "reference": "the float network"}
