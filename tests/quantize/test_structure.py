"""Float weights that lie on a small grid of their own are found exactly, and keep it."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import qcompile
from qcompile.errors import CompileError
from qcompile.frontend import read
from qcompile.ir.model import Constant, Conv, MatMul, Quantize
from qcompile.numerics.formats import Fixed
from qcompile.quantize import LayerFormats, QuantizeOptions, quantize
from qcompile.quantize.structure import find_structure, weight_format

ALPHA = float(np.float32(0.1234567))
OWN = [np.float32(v) for v in (0.3, 0.071, 1.9, 0.55)]
X = np.random.default_rng(5).integers(0, 16, (32, 6)).astype(np.float32)


def codes(*choices: int, shape: tuple[int, ...] = (6, 4)) -> npt.NDArray[np.float64]:
    """Each of ``choices`` at least once per column."""
    found = np.random.default_rng(3).choice(choices, shape).astype(np.float64)
    found[: len(choices)] = np.array(choices)[: len(found)].reshape(-1, *(1 for _ in shape[1:]))
    return found


def dense(weights: npt.NDArray[Any], nodes: list[onnx.NodeProto] | None = None, **more: Any) -> onnx.ModelProto:
    """MatMul behind a [1, 6] input; ``nodes`` go from "a" to "y"."""
    return model(
        [helper.make_node("MatMul", ["x", "w"], ["a"], name="dense"), *(nodes or [])],
        [1, 6],
        {"w": weights.astype(np.float32)} | more,
        "y" if nodes else "a",
    )


def model(nodes: list[onnx.NodeProto], shape: list[int], constants: dict[str, Any], output: str) -> onnx.ModelProto:
    graph = helper.make_graph(
        nodes,
        "structured",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info(output, TensorProto.FLOAT, None)],
        [numpy_helper.from_array(np.asarray(value, np.float32), name) for name, value in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def kept_weights(source: onnx.ModelProto, **options: Any) -> tuple[list[Fraction], list[Fraction], Quantize]:
    """The exact float weights of the only layer, what they became, and the quantizer between."""
    shape = [d.dim_value for d in source.graph.input[0].type.tensor_type.shape.dim]
    samples = np.random.default_rng(1).integers(0, 16, (8, *shape[1:]))
    graph = quantize(read(source).graph, samples, QuantizeOptions(**options), qcompile.errors.Collector())
    (layer,) = (n for n in graph.nodes if isinstance(n.op, Conv | MatMul))
    node = graph.by_name[layer.inputs[1]]
    held = graph.by_name[node.inputs[0]].op
    assert isinstance(held, Constant) and isinstance(node.op, Quantize)
    values, op = np.asarray(held.value.values, np.float64), node.op
    found = op.quantizer.codes(values, op.axis)
    channel = np.zeros(values.shape, int)
    if op.axis is not None:
        channel += np.arange(values.shape[op.axis]).reshape([-1 if a == op.axis else 1 for a in range(values.ndim)])
    became = [op.quantizer.value(int(c), int(k)) for c, k in zip(found.ravel(), channel.ravel(), strict=True)]
    return [Fraction(float(v)) for v in values.ravel()], became, op


KINDS = [
    ("bipolar", codes(-1, 1), 1),
    ("ternary", codes(-1, 0, 1), 1),
    ("power of two", codes(-8, -1, 0, 1, 2, 8), 8),
    ("power of two", codes(-1024, 1, 4), 1024),
]


@pytest.mark.parametrize(("kind", "weights", "reach"), KINDS, ids=lambda value: str(value)[:12])
@pytest.mark.parametrize("scale", [1.0, ALPHA, 2.0**-140])
def test_weights_on_a_small_grid_are_named_and_their_scale_is_exact(
    kind: str, weights: npt.NDArray[np.float64], reach: int, scale: float
) -> None:
    found = find_structure(weights * scale, -1, per_channel=True)
    assert found is not None
    assert (found.kind, found.scales, found.axis) == (kind, (Fraction(scale),), None)
    assert (found.quantizer.low, found.quantizer.high) == (-reach, reach)


def test_few_levels_are_small_multiples_of_their_greatest_common_divisor() -> None:
    found = find_structure(codes(-7, -3, 0, 3, 5, 6) * 0.375, -1, per_channel=False)
    assert found is not None
    assert (found.kind, found.scales) == ("levels", (Fraction(3, 8),))
    assert find_structure(codes(-128, 3) * 0.375, -1, per_channel=False) is None
    assert find_structure(np.arange(17.0).reshape(17, 1), -1, per_channel=True) is None


def test_each_channel_may_have_a_scale_of_its_own_where_that_is_simpler() -> None:
    weights = (codes(-1, 0, 1) * OWN).astype(np.float64)
    found = find_structure(weights, -1, per_channel=True)
    assert found is not None
    assert (found.kind, found.scales, found.axis) == ("ternary", tuple(Fraction(float(s)) for s in OWN), 1)
    assert find_structure(weights, -1, per_channel=False) is None
    simpler = find_structure(codes(-1, 1) * [1, 2, 3, 5], -1, per_channel=True)
    assert simpler is not None and (simpler.kind, len(simpler.scales)) == ("bipolar", 4)
    shared = find_structure(codes(-1, 1) * [1, 2, 3, 5], -1, per_channel=True, one_scale=True)
    assert shared is not None and (shared.kind, len(shared.scales)) == ("levels", 1)


def test_a_channel_of_zeros_takes_any_scale_and_zeros_alone_are_no_structure() -> None:
    weights = codes(-1, 1) * np.array([0, 0.3, 0.7, 0])
    found = find_structure(weights, -1, per_channel=True)
    assert found is not None and found.codes == {-1, 0, 1} and min(found.scales) > 0
    assert find_structure(np.zeros((6, 4)), -1, per_channel=True) is None


def test_a_rounded_multiple_is_no_multiple_and_one_weight_per_channel_is_no_structure() -> None:
    # float32(0.1) * 3 is not a float32, so such a file holds another number.
    rounded = (codes(-3, 1, 3).astype(np.float32) * np.float32(0.1)).astype(np.float64)
    assert find_structure(rounded, -1, per_channel=True) is None
    assert find_structure(np.array([OWN], np.float64), -1, per_channel=True) is None
    assert find_structure(np.random.default_rng(0).normal(size=(6, 4)), -1, per_channel=True) is None


STRUCTURED = [codes(-1, 1) * ALPHA, codes(-1, 0, 1) * OWN, codes(-4, 0, 1, 2) * OWN, codes(-7, 3, 5) * 0.375]


@pytest.mark.parametrize("weights", STRUCTURED, ids=["bipolar", "ternary", "power of two", "levels"])
def test_the_quantized_network_holds_the_float_weights_exactly_unless_as_is(weights: npt.NDArray[Any]) -> None:
    relu = [helper.make_node("Relu", ["a"], ["y"])]
    for source in (dense(weights), dense(weights, relu)):
        for scales in ("pow2", "free"):
            wanted, became, _ = kept_weights(source, weights=Fixed(3), scales=scales)
            assert became == wanted
        wanted, became, op = kept_weights(source, weights=Fixed(3), formats="as-is", weight_rounding="nearest")
        assert became != wanted
        assert (op.quantizer.low, op.quantizer.high) == (-3, 3)


def test_convolutions_keep_their_grid_through_batch_normalization() -> None:
    kernels = codes(-1, 0, 1, shape=(5, 2, 3, 3)) * ALPHA
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["a"]),
        helper.make_node("BatchNormalization", ["a", "gamma", "beta", "mean", "var"], ["b"]),
        helper.make_node("Relu", ["b"], ["y"]),
    ]
    random = np.random.default_rng(2)
    constants = {name: random.uniform(0.5, 2, 5) for name in ("gamma", "beta", "mean", "var")}
    source = model(nodes, [1, 2, 6, 6], {"w": kernels} | constants, "y")
    wanted, became, op = kept_weights(source)
    assert became == wanted
    assert (op.quantizer.low, op.quantizer.high, op.axis, op.quantizer.channels) == (-1, 1, 0, 5)


def test_a_format_for_the_layer_overrules_its_own_grid() -> None:
    source = dense(codes(-1, 1) * ALPHA)
    _, _, op = kept_weights(source, overrides={"dense": LayerFormats(weights=Fixed(5))})
    assert op.quantizer.high == 15
    _, _, op = kept_weights(source, overrides={"dense": LayerFormats(activations=Fixed(5))})
    assert op.quantizer.high == 1


@pytest.mark.parametrize("weights", [codes(-1, 1) * ALPHA, codes(-4, 0, 1, 2) * ALPHA], ids=["bipolar", "powers"])
def test_the_emulator_computes_with_the_float_weights(weights: npt.NDArray[Any]) -> None:
    kept = qcompile.compile(dense(weights), calibration=X, weights="fixed:2")
    exact = X.astype(np.float64) @ weights.astype(np.float32).astype(np.float64)
    assert np.abs(kept.emulate(X)[:, 0] - exact).max() < 1e-12
    rounded = qcompile.compile(dense(weights), calibration=X, weights="fixed:2", formats="as-is")
    assert np.abs(rounded.emulate(X)[:, 0] - exact).max() > 0.01


def test_the_report_names_the_format_of_the_weights() -> None:
    compiled = qcompile.compile(dense(codes(-1, 0, 1) * 0.25), calibration=X, target="zcu104")
    assert [layer["weight_format"] for layer in compiled.report["layers"] if layer["weight_format"]] == ["ternary"]


@pytest.mark.parametrize(
    ("weights", "named"),
    [
        ([-1, 1], "bipolar"),
        ([-1, 0, 1], "ternary"),
        ([-4, 0, 1, 2], "power of two, int3"),
        ([1, 2, 4], "power of two, int4"),
        ([-2, -1, 0, 1], "int2"),
        ([-3, 1, 2], "int3"),
        ([-128, 127], "int8"),
    ],
)
def test_integer_weights_are_named_after_their_values(weights: list[int], named: str) -> None:
    assert weight_format(np.array(weights)) == named


def test_a_word_that_is_no_choice_is_refused() -> None:
    with pytest.raises(CompileError, match="write one of auto, as-is"):
        qcompile.compile(dense(codes(-1, 1)), calibration=X, formats="binary")
