"""Samples from batch normalization: the gradient is the derivative, and the statistics are met."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from float_networks import Network, residual

from qcompile.errors import Collector, CompileError
from qcompile.frontend import read
from qcompile.frontend.imported import Statistics
from qcompile.ir.graph import Graph
from qcompile.ir.model import Add, AveragePool, Curve, LeakyRelu, MaxPool, Mul, Reals, Reshape, Transpose, evaluate
from qcompile.ir.window import Window
from qcompile.quantize.distillation import distill, mismatch

ROOT = Path(__file__).resolve().parents[2]


def network() -> Graph:
    """Every operation that has a gradient; bias2 and fc_bias have statistics."""
    net = Network((1, 2, 7, 6), 1)
    net.add("bias1", net.conv("conv1", "x", 2, 4), net.random.normal(0, 0.2, (4, 1, 1)))
    net.node("pool1", MaxPool(Window((3, 2), (2, 2), (1, 0, 1, 0))), net.relu("relu1", "bias1"))
    net.add("bias2", net.conv("deep", "pool1", 4, 4, groups=4), net.random.normal(0, 0.2, (4, 1, 1)))
    net.node("leaky", LeakyRelu(), "bias2", net.constant("slope", 0.1))
    net.node("scaled", Mul(), "leaky", net.constant("factor", net.random.uniform(0.5, 2, (4, 1, 1))))
    net.node("joined", Add(), "scaled", "pool1")
    net.node("mean", AveragePool(Window((2, 2), (1, 1), (1, 1, 0, 0))), "joined")
    net.node("turned", Transpose((0, 2, 1, 3)), "mean")
    shape = net.graph("turned").types["turned"].shape
    net.node("flat", Reshape((1, int(np.prod(shape)))), "turned")
    net.add("fc_bias", net.dense("fc", "flat", int(np.prod(shape)), 5), net.random.normal(0, 0.2, 5))
    return net.graph("bias2", "fc_bias")


def wanted(channels: int, seed: int) -> Statistics:
    random = np.random.default_rng(seed)
    return Statistics(random.normal(0, 0.5, channels), random.uniform(0.5, 1.5, channels))


def test_the_gradient_is_the_derivative() -> None:
    graph = network()
    statistics = {"bias2": wanted(4, 0), "fc_bias": wanted(5, 1)}
    random = np.random.default_rng(2)
    x = random.normal(size=(3, 1, 2, 7, 6))
    _, gradient = mismatch(graph, "x", x, statistics)
    for seed in range(4):
        direction = np.random.default_rng(seed).normal(size=x.shape)
        ahead, behind = (mismatch(graph, "x", x + step * direction, statistics)[0] for step in (1e-6, -1e-6))
        assert (gradient * direction).sum() == pytest.approx((ahead - behind) / 2e-6, rel=1e-4)


def test_distilled_samples_lie_in_the_range_and_give_the_statistics_of_training() -> None:
    graph = network()
    random = np.random.default_rng(3)
    training = np.clip(random.normal(0.3, 0.4, (200, 1, 2, 7, 6)), -1, 2)

    def statistics(name: str, x: Reals) -> Statistics:
        part = Graph(graph.level, graph.name, graph.nodes, (name,)).without_dead_nodes()
        value = evaluate(part, {"x": x})[name]
        axes = tuple(a for a in range(value.ndim) if a != 2)
        return Statistics(value.mean(axis=axes), value.std(axis=axes))

    seen = {"bias2": statistics("bias2", training)}
    made = distill(graph, seen, -1.0, 2.0)
    assert made.min() >= -1 and made.max() <= 2
    assert np.array_equal(made, distill(graph, seen, -1.0, 2.0))
    uniform = random.uniform(-1, 2, made.shape)
    part = Graph(graph.level, graph.name, graph.nodes, ("bias2",)).without_dead_nodes()
    assert mismatch(part, "x", made, seen)[0] < 0.1 * mismatch(part, "x", uniform, seen)[0]


def test_the_file_s_batch_normalizations_bring_their_statistics() -> None:
    imported = read(ROOT / "examples" / "fashion_depthwise.onnx", Collector())
    assert len(imported.statistics) == 7
    assert sorted(len(held.mean) for held in imported.statistics.values()) == [32, 32, 64, 64, 128, 128, 128]
    assert all((held.deviation >= 0).all() for held in imported.statistics.values())


def test_a_network_without_statistics_or_with_an_operator_without_gradient_is_refused() -> None:
    with pytest.raises(CompileError, match=r"QC210.*no batch normalization"):
        distill(residual(), {}, 0.0, 1.0)
    net = Network((1, 1, 4, 4))
    net.add("bias", net.conv("conv2", net.node("curve", Curve("sigmoid"), net.conv("conv1", "x", 1, 2)), 2, 2), 0.5)
    with pytest.raises(CompileError, match=r"QC210.*has no gradient here"):
        distill(net.graph("bias"), {"bias": wanted(2, 0)}, 0.0, 1.0)
