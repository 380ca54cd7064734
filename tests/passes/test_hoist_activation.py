"""Moving activation functions in front of pooling and layout."""

from __future__ import annotations

import numpy as np
from float_networks import Network, run, sampled

from qcompile.ir.graph import Graph
from qcompile.ir.model import Constant, Curve, LeakyRelu, MaxPool, Reshape, Transpose
from qcompile.ir.window import Window
from qcompile.passes.hoist_activation import HoistActivation


def order(graph: Graph) -> list[str]:
    """What the pass makes of ``graph``, proved to compute the same values."""
    result = HoistActivation().run(graph).verify()
    x = sampled(graph)
    assert np.array_equal(run(result, x), run(graph, x))
    assert result.outputs == graph.outputs
    return [node.op.mnemonic for node in result.nodes if not isinstance(node.op, Constant)]


def pooled() -> Network:
    net = Network((1, 2, 4, 4))
    net.node("pool", MaxPool(Window((2, 2), (2, 2), (1, 1, 1, 1))), net.conv("conv", "x", 2, 3))
    return net


def test_relu_behind_max_pooling_moves_before_it() -> None:
    net = pooled()
    net.relu("relu", "pool")
    assert order(net.graph("relu")) == ["input", "conv", "clip", "max_pool"]


def test_activations_move_through_several_layout_changes() -> None:
    net = pooled()
    net.node("flat", Reshape((1, 27)), net.node("turned", Transpose((0, 2, 3, 1)), "pool"))
    net.node("tanh", Curve("tanh"), net.relu("relu", "flat"))
    assert order(net.graph("tanh")) == ["input", "conv", "clip", "curve", "max_pool", "transpose", "reshape"]


def test_leaky_relu_moves_if_it_never_decreases_and_is_the_same_everywhere() -> None:
    for slopes, moves in (([0.1], True), ([-0.1], False), ([0.1, 0.2, 0.3], False)):
        net = pooled()
        net.node("leaky", LeakyRelu(), "pool", net.constant("slopes", np.reshape(slopes, (-1, 1, 1))))
        assert (order(net.graph("leaky"))[-1] == "max_pool") is moves


def test_a_pool_that_others_read_stays_before_the_activation() -> None:
    net = pooled()
    net.relu("relu", "pool")
    assert order(net.graph("relu", "pool")) == ["input", "conv", "max_pool", "clip"]
