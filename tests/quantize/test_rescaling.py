"""Factors that move between layers leave the float network as it is, and the ranges more alike."""

from __future__ import annotations

import numpy as np
import pytest
from float_networks import Network, convolutional, residual, sampled

from qcompile.ir.array import Array
from qcompile.ir.graph import Graph, Node
from qcompile.ir.model import AveragePool, Clip, Constant, Reals, Reshape, evaluate
from qcompile.ir.window import Window
from qcompile.numerics.formats import Format, parse_format
from qcompile.quantize.placement import find_places
from qcompile.quantize.ranges import least_error_scale
from qcompile.quantize.rescaling import EqualizeWeights, migrate, pairs, ranges

FORMAT = parse_format("ufixed:4", "")


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


def formats(graph: Graph) -> dict[str, Format]:
    """Four bits wherever the network is rounded."""
    return dict.fromkeys(find_places(graph), FORMAT)


def outputs(graph: Graph, x: Reals) -> Reals:
    return evaluate(graph, {graph.nodes[0].name: x})[graph.outputs[0]]


@pytest.mark.parametrize("network", [convolutional, residual, depthwise])
def test_equalization_keeps_the_float_network_bit_for_bit_and_migration_up_to_float64(network: object) -> None:
    graph = whole_numbers(network())  # type: ignore[operator]
    x = np.rint(8 * sampled(graph, 8))
    real = outputs(graph, x)
    assert np.array_equal(outputs(EqualizeWeights().run(graph).verify(), x), real)
    for strength in (0.0, 0.5, 1.0):
        moved = outputs(migrate(graph, {"x": x}, strength, formats(graph)).verify(), x)
        assert np.allclose(moved, real, rtol=1e-12, atol=1e-12 * np.abs(real).max())


@pytest.mark.parametrize("network", [convolutional, depthwise])
def test_after_equalization_both_sides_of_every_channel_are_within_a_power_of_two(network: object) -> None:
    graph = EqualizeWeights().run(network())  # type: ignore[operator]
    found = list(pairs(graph))
    assert found
    for pair in found:
        made, read = ranges(graph, pair)
        assert np.all((made / read <= 2) & (read / made <= 2))
    assert EqualizeWeights().run(graph) == graph


def test_after_migration_one_power_of_two_is_the_best_scale_of_every_channel() -> None:
    graph = depthwise()
    x = sampled(graph, 16)
    before, after = (_channels(g, x) for g in (graph, migrate(graph, {"x": x}, 1.0, formats(graph))))
    steps = [[float(least_error_scale(row, FORMAT, "free")) for row in rows] for rows in (before, after)]
    assert max(steps[0]) / min(steps[0]) > 100
    assert np.allclose(np.log2(steps[1]), np.rint(np.log2(steps[1][0])), atol=1e-6)


def test_weights_that_are_kept_are_not_scaled() -> None:
    graph = depthwise()
    x = sampled(graph, 16)
    moved = migrate(graph, {"x": x}, 1.0, formats(graph), frozenset({"deep"}))
    changed = {node.name for node in moved.nodes if node != graph.by_name[node.name]}
    assert changed == {"point.weight", "fc.weight"}


def _channels(graph: Graph, x: Reals) -> Reals:
    """Values [channels, all] behind the first ReLU."""
    part = Graph(graph.level, graph.name, graph.nodes, ("relu1",)).without_dead_nodes()
    return np.moveaxis(outputs(part, x), 2, 0).reshape(6, -1)


def test_a_depthwise_network_s_pairs_are_found_through_activations_and_pools() -> None:
    assert [(p.first, p.second) for p in pairs(depthwise())] == [("conv1", "deep"), ("deep", "point"), ("point", "fc")]


def test_nothing_moves_across_a_branch_or_a_bounded_activation() -> None:
    assert list(pairs(residual())) == []
    net = Network((1, 1, 4, 4))
    net.node("relu6", Clip(0.0, 6.0), net.conv("conv1", "x", 1, 2))
    net.conv("conv2", "relu6", 2, 2)
    assert list(pairs(net.graph("conv2"))) == []
