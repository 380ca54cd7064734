"""Operators on codes, against onnxruntime's kernels for them."""

from __future__ import annotations

import numpy as np
import pytest
from graphs import agrees, make, node
from onnx import TensorProto

from qcompile.ir import model

U8, I8, I32 = TensorProto.UINT8, TensorProto.INT8, TensorProto.INT32
MS = "com.microsoft"


def codes(*shape, dtype=np.uint8, seed=0):
    limits = np.iinfo(dtype)
    return np.random.default_rng(seed).integers(limits.min, limits.max, shape, endpoint=True).astype(dtype)


def parameters(**scales):
    """name=(scale, zero): the constants name_s and name_z."""
    constants = {}
    for name, (scale, zero) in scales.items():
        constants |= {f"{name}s": np.asarray(scale, np.float32), f"{name}z": zero}
    return constants


@pytest.mark.parametrize("attributes", [{}, {"pads": [1, 1, 0, 1], "strides": [2, 1]}, {"group": 2}], ids=str)
@pytest.mark.parametrize("per_channel", [False, True])
def test_qlinear_conv_equals_the_runtime(attributes, per_channel):
    groups = attributes.get("group", 1)
    scale = np.array([0.0203, 0.0307, 0.0041, 0.0109], np.float32) if per_channel else 0.0203
    zero = np.zeros(4, np.int8) if per_channel else np.int8(0)
    constants = parameters(x=(0.0511, np.uint8(120)), w=(scale, zero), y=(0.3137, np.uint8(128)))
    constants |= {"w": codes(4, 4 // groups, 3, 3, dtype=np.int8), "b": np.array([900, -2000, 5, 0], np.int32)}
    built = make(
        [node("QLinearConv", "x xs xz w ws wz ys yz b", **attributes)],
        {"x": ([1, 4, 6, 5], U8)},
        ("y", U8),
        constants,
    )
    imported = agrees(built, codes(1, 4, 6, 5), tolerance=0)
    assert imported.dialects == ("qoperator",)
    assert imported.quantized
    assert (imported.inputs[0].dtype, imported.outputs[0].dtype) == ("uint8", "uint8")


def test_qlinear_matmul_equals_the_runtime():
    constants = parameters(x=(0.05, np.uint8(3)), w=(0.02, np.uint8(100)), y=(0.4, np.uint8(128)))
    constants["w"] = codes(8, 5)
    built = make([node("QLinearMatMul", "x xs xz w ws wz ys yz")], {"x": ([1, 8], U8)}, ("y", U8), constants)
    agrees(built, codes(1, 8, seed=1), tolerance=0)


def test_matmul_integer_has_scale_1():
    constants = {"w": codes(8, 5, dtype=np.int8), "xz": np.uint8(7), "wz": np.int8(-3)}
    built = make([node("MatMulInteger", "x w xz wz")], {"x": ([1, 8], U8)}, ("y", I32), constants)
    imported = agrees(built, codes(1, 8), tolerance=0)
    assert imported.outputs[0].dtype == "int32"


def test_conv_integer_has_scale_1_and_pads_with_the_zero_point():
    constants = {"w": codes(2, 3, 3, 3), "xz": np.uint8(7), "wz": np.uint8(100)}
    built = make(
        [node("ConvInteger", "x w xz wz", pads=[1, 1, 1, 1])], {"x": ([1, 3, 5, 5], U8)}, ("y", I32), constants
    )
    agrees(built, codes(1, 3, 5, 5), tolerance=0)


def test_a_quantized_tensor_enters_an_integer_product_without_detour():
    constants = parameters(x=(0.05, np.uint8(7))) | {"w": codes(8, 5, dtype=np.int8), "out": np.float32(0.001)}
    nodes = [
        node("QuantizeLinear", "x xs xz", "q"),
        node("MatMulInteger", "q w xz", "i"),
        node("Cast", "i", "f", to=TensorProto.FLOAT),
        node("Mul", "f out", "y"),
    ]
    built = make(nodes, {"x": [1, 8]}, "y", constants)
    agrees(built, np.linspace(-1, 9, 8, dtype=np.float32)[None])


@pytest.mark.parametrize("op", ["QLinearAdd", "QLinearMul"])
def test_qlinear_pairs_equal_the_runtime(op):
    constants = parameters(x=(0.05, np.uint8(120)), c=(0.02, np.uint8(100)), y=(0.11, np.uint8(128)))
    constants["c"] = codes(3, 1, 1)
    built = make(
        [node(op, "x xs xz c cs cz ys yz", domain=MS)],
        {"x": ([1, 3, 4, 4], U8)},
        ("y", U8),
        constants,
        extra_domains=[MS],
    )
    agrees(built, codes(1, 3, 4, 4), tolerance=0)


@pytest.mark.parametrize(
    "nodes",
    [
        [node("QLinearGlobalAveragePool", "x xs xz ys yz", domain=MS, channels_last=0)],
        [node("QLinearAveragePool", "x xs xz ys yz", domain=MS, kernel_shape=[2, 2], strides=[2, 2])],
        [node("QLinearLeakyRelu", "x xs xz ys yz", domain=MS, alpha=0.2)],
        [node("QLinearSigmoid", "x xs xz us uz", domain=MS)],
        [node("QLinearConcat", "ys yz x xs xz x ys yz", domain=MS, axis=1)],
    ],
    ids=lambda n: n[0].op_type,
)
def test_a_contributed_operator_equals_the_runtime(nodes):
    constants = parameters(x=(0.0533, np.uint8(120)), y=(0.0617, np.uint8(110)), u=(1 / 256, np.uint8(0)))
    used = {name for n in nodes for name in n.input}
    built = make(
        nodes,
        {"x": ([1, 3, 4, 4], U8)},
        ("y", U8),
        {k: v for k, v in constants.items() if k in used},
        extra_domains=[MS],
    )
    agrees(built, codes(1, 3, 4, 4), tolerance=0)


@pytest.mark.parametrize("codes_out", [False, True])
def test_qgemm_equals_the_runtime(codes_out):
    constants = parameters(x=(0.05, np.uint8(120)), w=(0.02, np.int8(0)), y=(0.7, np.uint8(128)))
    constants |= {"w": codes(5, 8, dtype=np.int8), "c": np.arange(-2, 3, dtype=np.int32) * 300}
    inputs = "x xs xz w ws wz c" + (" ys yz" if codes_out else "")
    if not codes_out:
        constants = {k: v for k, v in constants.items() if k[0] != "y"}
    built = make(
        [node("QGemm", inputs, domain=MS, transB=1)],
        {"x": ([1, 8], U8)},
        ("y", U8 if codes_out else TensorProto.FLOAT),
        constants,
        extra_domains=[MS],
    )
    agrees(built, codes(1, 8), tolerance=0 if codes_out else 1e-6)


def test_chained_operators_pass_reals_on_one_grid():
    constants = parameters(x=(0.05, np.uint8(3)), w=(0.02, np.uint8(100)), y=(0.4, np.uint8(128)))
    constants["w"] = codes(6, 6)
    nodes = [
        node("QLinearMatMul", "x xs xz w ws wz ys yz", "a"),
        node("QLinearMatMul", "a ys yz w ws wz ys yz", "y"),
    ]
    imported = agrees(make(nodes, {"x": ([1, 6], U8)}, ("y", U8), constants), codes(1, 6), tolerance=0)
    graph = imported.graph
    first, second = (n for n in graph.nodes if isinstance(n.op, model.MatMul))
    between = graph.by_name[second.inputs[0]]
    assert isinstance(between.op, model.Quantize)
    assert between.inputs == (first.name,)
