"""Accuracy that post-training quantization keeps on a real network and 5,000 real images."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from qcompile.errors import Collector
from qcompile.frontend import read
from qcompile.ir.graph import Graph
from qcompile.ir.model import Input, evaluate
from qcompile.numerics.formats import Fixed
from qcompile.quantize import QuantizeOptions, as_samples, quantize

ROOT = Path(__file__).parents[2]
SHARED = Path(os.environ.get("QCOMPILE_SHARED", ROOT.parent / "shared"))
MODEL, DATA = SHARED / "models" / "mnist_conv_fp32.onnx", SHARED / "data" / "mnist.npz"

needs_shared = pytest.mark.skipif(
    not (MODEL.exists() and DATA.exists()), reason=f"{MODEL} or {DATA} is absent; set QCOMPILE_SHARED"
)


def accuracy(graph: Graph, images: np.ndarray, labels: np.ndarray) -> float:
    (name, shape) = next((node.name, node.op.shape) for node in graph.nodes if isinstance(node.op, Input))
    samples = as_samples(images, shape, name)
    right = 0
    for start in range(0, len(samples), 500):
        logits = evaluate(graph, {name: samples[start : start + 500]})[graph.outputs[0]]
        right += int((logits.reshape(len(logits), -1).argmax(axis=1) == labels[start : start + 500]).sum())
    return right / len(samples)


@needs_shared
@pytest.mark.parametrize(
    ("weights", "activations", "scales", "least"),
    [(8, 8, "pow2", 0.982), (4, 6, "pow2", 0.98), (8, 8, "free", 0.982)],
)
def test_mnist_keeps_its_accuracy(weights: int, activations: int, scales: str, least: float) -> None:
    with np.load(DATA) as data:
        images, labels, calibration = data["x_test"], data["y_test"], data["x_calib"]
    options = QuantizeOptions(weights=Fixed(weights), activations=Fixed(activations), scales=scales)
    collector = Collector()
    graph = quantize(read(MODEL).graph, calibration, options, collector)
    assert not collector.diagnostics
    assert accuracy(graph, images, labels) >= least


@pytest.mark.parametrize(("name", "shape"), [("digits_mlp", (64,)), ("digits_cnn", (1, 8, 8))])
def test_the_examples_keep_their_accuracy(name: str, shape: tuple[int, ...]) -> None:
    with np.load(ROOT / "examples" / "digits.npz") as data:
        images, labels, calibration = data["x_test"], data["y_test"], data["x_calib"]
    graph = read(ROOT / "examples" / f"{name}.onnx").graph
    exact = accuracy(graph, images, labels)
    for bits, lost in ((8, 0.0025), (6, 0.005)):
        options = QuantizeOptions(weights=Fixed(bits), activations=Fixed(bits))
        assert accuracy(quantize(graph, calibration, options, Collector()), images, labels) >= exact - lost
