"""Factors that move between layers leave the float network as it is, and the ranges more alike."""

from __future__ import annotations

import numpy as np
import pytest
from float_networks import Network, convolutional, residual, sampled

from qcompile.ir.array import Array
from qcompile.ir.graph import Graph, Node
from qcompile.ir.model import AveragePool, Clip, Constant, Reals, Reshape, evaluate
from qcompile.ir.window import Window
from qcompile.quantize.rescaling import EqualizeWeights, migrate, pairs, ranges


def depthwise() -> Graph:
    """conv - ReLU - depthwise - ReLU - pointwise - global pool - dense, channels of very different sizes."""
    net = Network((1, 2, 6, 6), 3)
    net.relu("relu1", net.add("bias1", net.conv("conv1", "x", 2, 6), net.random.normal(0, 0.2, (6, 1, 1))))
    net.relu("relu2", net.add("bias2", net.conv("deep", "relu1", 6, 6, groups=6), net.random.normal(0, 1, (6, 1, 1))))
    net.relu("relu3", net.conv("point", "relu2", 6, 8, kernel=1, pad=0))
    net.node("flat", Reshape((1, 8)), net.node("mean", AveragePool(Window((6, 6))), "relu3"))
    net.dense("fc", "flat", 8, 3)
    sizes = {"conv1.weight": np.geomspace(0.01, 10, 6), "deep.weight": np.geomspace(30, 0.1, 6)}
    graph = net.graph("fc")

    def step(node: Node) -> tuple[Node, ...] | None:
        if node.name not in sizes or not isinstance(node.op, Constant):
            return None
        return (Node(node.name, Constant(Array(node.op.value.values * sizes[node.name][:, None, None, None]))),)

    return graph.rewrite(step)


def whole_numbers(graph: Graph) -> Graph:
    """The same network with weights that are integers: every sum of floats is exact, in any order."""

    def step(node: Node) -> tuple[Node, ...] | None:
        if not isinstance(node.op, Constant):
            return None
        return (Node(node.name, Constant(Array(np.rint(16 * np.asarray(node.op.value.values))))),)

    return graph.rewrite(step)


def outputs(graph: Graph, x: Reals) -> Reals:
    return evaluate(graph, {graph.nodes[0].name: x})[graph.outputs[0]]


@pytest.mark.parametrize("network", [convolutional, residual, depthwise])
def test_the_float_network_stays_equal_bit_for_bit(network: object) -> None:
    graph = whole_numbers(network())  # type: ignore[operator]
    x = np.rint(8 * sampled(graph, 8))
    real = outputs(graph, x)
    assert np.array_equal(outputs(EqualizeWeights().run(graph).verify(), x), real)
    for strength in (0.0, 0.5, 1.0):
        assert np.array_equal(outputs(migrate(graph, {"x": x}, strength).verify(), x), real)


@pytest.mark.parametrize("network", [convolutional, depthwise])
def test_after_equalization_both_sides_of_every_channel_are_within_a_power_of_two(network: object) -> None:
    graph = EqualizeWeights().run(network())  # type: ignore[operator]
    found = list(pairs(graph))
    assert found
    for pair in found:
        made, read = ranges(graph, pair)
        assert np.all((made / read <= 2) & (read / made <= 2))
    assert EqualizeWeights().run(graph) == graph


def test_migration_makes_the_peaks_of_an_activation_alike() -> None:
    graph = depthwise()
    x = sampled(graph, 16)

    before, after = (_peaks(g, x) for g in (graph, migrate(graph, {"x": x}, 1.0)))
    assert before.max() / before.min() > 100
    assert after.max() / after.min() < 4


def _peaks(graph: Graph, x: Reals) -> Reals:
    """Largest value of each channel behind the first ReLU."""
    part = Graph(graph.level, graph.name, graph.nodes, ("relu1",)).without_dead_nodes()
    return outputs(part, x).max(axis=(0, 1, 3, 4))


def test_a_depthwise_network_s_pairs_are_found_through_activations_and_pools() -> None:
    assert [(p.first, p.second) for p in pairs(depthwise())] == [("conv1", "deep"), ("deep", "point"), ("point", "fc")]


def test_nothing_moves_across_a_branch_or_a_bounded_activation() -> None:
    assert list(pairs(residual())) == []
    net = Network((1, 1, 4, 4))
    net.node("relu6", Clip(0.0, 6.0), net.conv("conv1", "x", 1, 2))
    net.conv("conv2", "relu6", 2, 2)
    assert list(pairs(net.graph("conv2"))) == []
