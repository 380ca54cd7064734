"""Folding constant factors and offsets into weights and biases."""

from __future__ import annotations

import numpy as np
import pytest
from float_networks import Network, run, sampled

from qcompile.ir.graph import Graph, Node
from qcompile.ir.model import Add, Constant, Conv, Div, MatMul, Mul, Quantize, Reshape
from qcompile.numerics.quantizer import Quantizer
from qcompile.passes.fold_affine import FoldAffine


def folded(graph: Graph) -> list[str]:
    """What is left after folding, the result being proved equal."""
    result = FoldAffine().run(graph).verify()
    x = sampled(graph)
    np.testing.assert_allclose(run(result, x), run(graph, x), rtol=1e-12, atol=1e-12)
    return [node.op.mnemonic for node in result.nodes if not isinstance(node.op, Constant)]


def scale(net: Network, name: str, x: str, value: object) -> str:
    return net.node(name, Mul(), x, net.constant(f"{name}.value", value))


def test_batch_normalization_behind_a_convolution_becomes_its_weights_and_bias() -> None:
    net = Network((1, 2, 5, 5))
    net.add("bias", net.conv("conv", "x", 2, 3), [[[0.5]], [[-1.0]], [[2.0]]])
    scale(net, "gamma", "bias", np.array([1.5, -2.0, 0.25]).reshape(3, 1, 1))
    net.add("beta", "gamma", np.array([1.0, 2.0, 3.0]).reshape(1, 3, 1, 1))
    net.relu("relu", "beta")
    assert folded(net.graph("relu")) == ["input", "conv", "add", "clip"]


def test_the_folded_nodes_keep_the_origins_of_all_their_parts() -> None:
    net = Network((1, 2, 5, 5))
    net.add("bias", net.conv("conv", "x", 2, 3), np.ones((3, 1, 1)))
    scale(net, "gamma", "bias", 2.0)
    net.add("beta", "gamma", np.ones((3, 1, 1)))
    result = FoldAffine().run(net.graph("beta"))
    conv, bias = (next(n for n in result.nodes if isinstance(n.op, kind)) for kind in (Conv, Add))
    assert conv.origin == ("/conv", "/gamma")
    assert bias.name == "beta" and bias.origin == ("/bias", "/gamma", "/beta")


def test_a_division_folds_like_a_multiplication() -> None:
    net = Network((1, 2, 5, 5))
    net.node("div", Div(), net.conv("conv", "x", 2, 3), net.constant("d", [[[3.0]], [[7.0]], [[-1.0]]]))
    assert folded(net.graph("div")) == ["input", "conv"]


def test_a_division_of_a_constant_is_no_factor() -> None:
    net = Network((1, 2, 5, 5))
    net.node("div", Div(), net.constant("d", 3.0), net.relu("relu", net.conv("conv", "x", 2, 3)))
    graph = net.graph("div")
    assert FoldAffine().run(graph) == graph


@pytest.mark.parametrize("left", [False, True])
def test_a_factor_behind_a_matrix_product_joins_its_output_channels(left: bool) -> None:
    net = Network((1, 4, 4))
    weights = net.constant("w", net.random.normal(size=(4, 4)))
    net.node("fc", MatMul(), *((weights, "x") if left else ("x", weights)))
    factor = net.random.normal(size=4)
    scale(net, "gamma", "fc", factor.reshape(4, 1) if left else factor)
    assert folded(net.graph("gamma")) == ["input", "matmul"]


@pytest.mark.parametrize("left", [False, True])
def test_scale_and_mean_of_the_input_join_a_matrix_product(left: bool) -> None:
    net = Network((1, 4, 4))
    scale(net, "scaled", "x", 1 / 255)
    net.add("centred", "scaled", net.random.normal(size=(4, 1) if left else (4,)))
    weights = net.constant("w", net.random.normal(size=(4, 4)))
    net.node("fc", MatMul(), *((weights, "centred") if left else ("centred", weights)))
    assert folded(net.graph("fc")) == ["input", "matmul", "add"]


def test_scale_and_mean_of_the_input_join_an_unpadded_convolution() -> None:
    net = Network((1, 4, 5, 5))
    scale(net, "scaled", "x", np.array([1.0, 2.0, 3.0, 4.0]).reshape(4, 1, 1))
    net.add("centred", "scaled", np.array([4.0, 3.0, 2.0, 1.0]).reshape(4, 1, 1))
    net.conv("conv", "centred", 4, 6, pad=0, groups=2)
    assert folded(net.graph("conv")) == ["input", "conv", "add"]


def test_only_the_scale_of_the_input_joins_a_padded_convolution() -> None:
    net = Network((1, 4, 5, 5))
    net.add("centred", "x", np.ones((4, 1, 1)))
    scale(net, "scaled", "centred", np.array([1.0, 2.0, 3.0, 4.0]).reshape(4, 1, 1))
    net.conv("conv", "scaled", 4, 4, groups=4)
    assert folded(net.graph("conv")) == ["input", "add", "conv"]


def test_one_factor_for_all_passes_through_a_reshape() -> None:
    net = Network((1, 1, 4, 4))
    scale(net, "scaled", "x", 1 / 16)
    net.node("flat", Reshape((1, 16)), "scaled")
    net.dense("fc", "flat", 16, 3)
    assert folded(net.graph("fc")) == ["input", "reshape", "matmul"]


def test_a_factor_that_varies_over_the_image_stays() -> None:
    net = Network((1, 2, 5, 5))
    scale(net, "mask", net.conv("conv", "x", 2, 3), np.arange(25.0).reshape(5, 5))
    assert folded(net.graph("mask")) == ["input", "conv", "mul"]


def test_a_layer_that_others_read_keeps_its_weights() -> None:
    net = Network((1, 2, 5, 5))
    net.conv("conv", "x", 2, 3)
    scale(net, "scaled", "conv", 2.0)
    net.node("sum", Add(), "conv", "scaled")
    assert folded(net.graph("sum")) == ["input", "conv", "mul", "add"]


def test_a_layer_that_is_an_output_keeps_its_weights() -> None:
    net = Network((1, 2, 5, 5))
    net.conv("conv", "x", 2, 3)
    scale(net, "scaled", "conv", 2.0)
    graph = net.graph("conv", "scaled")
    assert FoldAffine().run(graph) == graph


def test_weights_on_a_grid_are_left_alone() -> None:
    net = Network((1, 4))
    weights = net.constant("w", net.random.normal(size=(4, 4)))
    net.nodes.append(Node("wq", Quantize(Quantizer((1,), low=-7, high=7)), (weights,)))  # type: ignore[arg-type]
    net.node("fc", MatMul(), "x", "wq")
    scale(net, "scaled", "fc", 2.0)
    graph = net.graph("scaled")
    assert FoldAffine().run(graph) == graph


@pytest.mark.parametrize("seed", range(20))
def test_any_mixture_of_factors_and_offsets_keeps_its_meaning(seed: int) -> None:
    net = Network((1, 2, 5, 5), seed)
    x, channels = "x", 2
    for step, kind in enumerate(net.random.choice(["mul", "add", "relu", "conv"], 10)):
        value = net.random.normal(size=(channels, 1, 1)) if net.random.random() < 0.7 else net.random.normal()
        match kind:
            case "mul":
                x = scale(net, f"n{step}", x, value)
            case "add":
                x = net.add(f"n{step}", x, value)
            case "relu":
                x = net.relu(f"n{step}", x)
            case _:
                x, channels = net.conv(f"n{step}", x, channels, 3, pad=int(net.random.integers(2)), kernel=1), 3
    folded(net.graph(x))
