"""QuantizeLinear, DequantizeLinear, and Brevitas' Clip between them."""

from __future__ import annotations

from fractions import Fraction

import ml_dtypes
import numpy as np
import pytest
from graphs import agrees, evaluated, kinds, make, node, normal, reference
from onnx import TensorProto, helper

from qcompile.frontend import read
from qcompile.ir import model
from qcompile.numerics.minifloat import MiniFloatQuantizer
from qcompile.numerics.quantizer import Quantizer

S, Z = np.float32(0.1), np.int8(3)
VECTOR = {"x": [1, 6]}
X = normal(1, 6) * 5


def quantizers(imported):
    return [n.op for n in imported.graph.nodes if isinstance(n.op, model.Quantize)]


def pair(opset=13, **constants):
    constants = {"s": S, "z": Z} | constants
    nodes = [node("QuantizeLinear", "x s z", "q"), node("DequantizeLinear", "q s z", "y")]
    return make(nodes, VECTOR, "y", constants, opset=opset)


def test_a_pair_is_one_quantizer_with_the_exact_scale():
    imported = agrees(pair(), X)
    assert kinds(imported) == ["input", "quantize"]
    assert quantizers(imported) == [model.Quantize(Quantizer((Fraction(float(S)),), (Fraction(3),), -128, 127))]
    assert imported.quantized
    assert imported.dialects == ("qdq",)


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int16, np.uint16])
def test_every_integer_type_has_its_limits(dtype):
    imported = agrees(pair(opset=21, z=dtype(1)), X * 1e4)
    limits = np.iinfo(dtype)
    assert (quantizers(imported)[0].quantizer.low, quantizers(imported)[0].quantizer.high) == (limits.min, limits.max)


@pytest.mark.parametrize("kind, low, high", [("INT4", -8, 7), ("UINT4", 0, 15)])
def test_four_bit_codes_are_read(kind, low, high):
    zero = helper.make_tensor("z", getattr(TensorProto, kind), [], [1])
    imported = agrees(pair(opset=21, z=zero), X)
    quantizer = quantizers(imported)[0].quantizer
    assert (quantizer.low, quantizer.high, quantizer.zero_point) == (low, high, (1,))


@pytest.mark.parametrize("kind, low, high", [("INT2", -2, 1), ("UINT2", 0, 3)])
def test_two_bit_codes_are_read(kind, low, high):
    zero = helper.make_tensor("z", getattr(TensorProto, kind), [], [0])
    imported = read(pair(opset=25, z=zero, s=np.float32(1)))
    assert evaluated(imported, [[-9, -1.5, -0.5, 0.5, 1.5, 9]])[0].tolist() == [
        np.clip([-9, -2, 0, 0, 2, 9], low, high).tolist()
    ]


@pytest.mark.parametrize(
    "kind, name", [("FLOAT8E4M3FN", "float8_e4m3fn"), ("FLOAT8E5M2", "float8_e5m2"), ("FLOAT4E2M1", "float4_e2m1fn")]
)
def test_floating_point_codes_are_minifloats(kind, name):
    zero = helper.make_tensor("z", getattr(TensorProto, kind), [], [0.0])
    imported = read(pair(opset=23, z=zero))
    quantizer = quantizers(imported)[0].quantizer
    assert isinstance(quantizer, MiniFloatQuantizer)
    largest = float(ml_dtypes.finfo(getattr(ml_dtypes, name)).max)
    values = np.clip(X / S, -largest, largest).astype(np.float32)
    wanted = values.astype(getattr(ml_dtypes, name)).astype(np.float64) * float(S)
    assert (evaluated(imported, values.astype(np.float64) * float(S))[0] == wanted).all()


def test_unpaired_quantization_gives_codes_at_the_output():
    built = make([node("QuantizeLinear", "x s z", "y")], VECTOR, ("y", TensorProto.INT8), {"s": S, "z": Z})
    imported = agrees(built, X, tolerance=0)
    assert imported.outputs[0].dtype == "int8"


def test_integer_inputs_are_dequantized_onto_their_grid():
    built = make([node("DequantizeLinear", "x s z", "y")], {"x": ([1, 6], TensorProto.INT8)}, "y", {"s": S, "z": Z})
    imported = agrees(built, np.array([[-128, -1, 0, 3, 50, 127]], np.int8))
    assert kinds(imported) == ["input", "add", "mul", "quantize"]


def test_float8_codes_are_numbers_at_both_ends():
    zero = helper.make_tensor("z", TensorProto.FLOAT8E4M3FN, [], [0.0])
    built = make(
        [node("QuantizeLinear", "x s z", "y")], VECTOR, ("y", TensorProto.FLOAT8E4M3FN), {"s": S, "z": zero}, opset=19
    )
    wanted = (X / S).astype(ml_dtypes.float8_e4m3fn).astype(np.float64)
    imported = read(built)
    assert imported.outputs[0].dtype == "float8_e4m3fn"
    assert np.abs(evaluated(imported, X)[0] - wanted).max() == 0


def test_another_scale_behind_the_codes_reads_them_differently():
    nodes = [node("QuantizeLinear", "x s z", "q"), node("DequantizeLinear", "q t z", "y")]
    agrees(make(nodes, VECTOR, "y", {"s": S, "z": Z, "t": np.float32(0.3)}), X)


def test_codes_may_be_moved_and_pooled_between_the_two():
    nodes = [
        node("QuantizeLinear", "x s z", "q"),
        node("MaxPool", "q", "p", kernel_shape=[2, 2]),
        node("Transpose", "p", "t", perm=[0, 2, 3, 1]),
        node("DequantizeLinear", "t s z", "y"),
    ]
    built = make(nodes, {"x": [1, 2, 4, 4]}, "y", {"s": S, "z": Z})
    assert kinds(agrees(built, normal(1, 2, 4, 4))) == ["input", "quantize", "max_pool", "transpose"]


def test_a_second_quantizer_with_the_same_grid_is_dropped():
    nodes = [
        *pair().graph.node[:1],
        node("DequantizeLinear", "q s z", "a"),
        node("Transpose", "a", "b", perm=[1, 0]),
        node("QuantizeLinear", "b s z", "r"),
        node("DequantizeLinear", "r s z", "y"),
    ]
    built = make(nodes, {"x": [3, 2]}, "y", {"s": S, "z": Z})
    assert kinds(agrees(built, X.reshape(3, 2))) == ["input", "quantize", "transpose"]


def test_quantizers_on_codes_of_equal_grids_join_without_becoming_numbers():
    nodes = [
        node("QuantizeLinear", "x s z", "q"),
        node("Concat", "q q", "c", axis=1),
        node("DequantizeLinear", "c s z", "y"),
    ]
    assert kinds(agrees(make(nodes, VECTOR, "y", {"s": S, "z": Z}), X)) == ["input", "quantize", "concat"]


def test_integer_weights_stay_exactly_recoverable_per_channel():
    codes = np.random.default_rng(0).integers(-128, 128, (4, 3, 2, 2)).astype(np.int8)
    scale = np.abs(normal(4)) + np.float32(0.01)
    bias = np.array([2**31 - 1, -(2**31), 12345, 0], np.int32)
    bias_scale = (scale * S).astype(np.float32)
    nodes = [
        node("DequantizeLinear", "w ws wz", "wf", axis=0),
        node("DequantizeLinear", "b bs", "bf", axis=0),
        node("QuantizeLinear", "x s z", "q"),
        node("DequantizeLinear", "q s z", "xf"),
        node("Conv", "xf wf bf", "y"),
    ]
    constants = {"w": codes, "ws": scale, "wz": np.zeros(4, np.int8), "b": bias, "bs": bias_scale, "s": S, "z": Z}
    imported = agrees(make(nodes, {"x": [1, 3, 4, 4]}, "y", constants), normal(1, 3, 4, 4))
    graph = imported.graph
    conv = next(n for n in graph.nodes if isinstance(n.op, model.Conv))
    weights = graph.by_name[conv.inputs[1]]
    held = graph.by_name[weights.inputs[0]].op.value.values
    assert weights.op.axis == 0
    assert weights.op.quantizer.scale == tuple(Fraction(float(s)) for s in scale)
    assert (weights.op.quantizer.codes(held, 0) == codes).all()
    add = next(n for n in graph.nodes if isinstance(n.op, model.Add))
    biases = graph.by_name[add.inputs[1]]
    assert biases.op.axis == 1
    assert (biases.op.quantizer.codes(graph.by_name[biases.inputs[0]].op.value.values, 1).ravel() == bias).all()


@pytest.mark.parametrize("transposed", [False, True])
def test_transposing_quantized_weights_moves_their_channel_axis(transposed):
    codes = np.arange(-6, 6, dtype=np.int8).reshape(4, 3)
    scale = np.array([0.5, 0.25, 0.125, 1], np.float32)
    constants = {"w": codes, "ws": scale, "wz": np.zeros(4, np.int8)}
    nodes = [node("DequantizeLinear", "w ws wz", "wf", axis=0)]
    if transposed:
        nodes += [node("Transpose", "wf", "wt", perm=[1, 0]), node("MatMul", "x wt", "y")]
    else:
        nodes += [node("Gemm", "x wf", "y", transB=1)]
    imported = agrees(make(nodes, {"x": [1, 3]}, "y", constants), normal(1, 3))
    graph = imported.graph
    quantize = graph.by_name[graph.nodes[-1].inputs[1]]
    assert isinstance(quantize.op, model.Quantize)
    assert quantize.op.axis == 1
    assert isinstance(graph.by_name[quantize.inputs[0]].op, model.Constant)


def test_float_weights_behind_a_pair_are_a_quantized_constant():
    nodes = [
        node("QuantizeLinear", "w s z", "q"),
        node("DequantizeLinear", "q s z", "wf"),
        node("MatMul", "x wf", "y"),
    ]
    weights = normal(6, 2)
    imported = agrees(make(nodes, VECTOR, "y", {"w": weights, "s": S, "z": Z}), X)
    assert kinds(imported) == ["input", "quantize", "matmul"]
    assert not imported.quantized
    held = next(n.op for n in imported.graph.nodes if isinstance(n.op, model.Constant))
    assert (held.value.values == weights.astype(np.float64)).all()


def test_a_clip_between_the_pair_narrows_the_grid():
    nodes = [
        node("QuantizeLinear", "x s z", "q"),
        node("Clip", "q low high", "c"),
        node("DequantizeLinear", "c s z", "y"),
    ]
    constants = {"s": S, "z": Z, "low": np.int8(-7), "high": np.int8(7)}
    imported = agrees(make(nodes, VECTOR, "y", constants), X)
    assert kinds(imported) == ["input", "quantize"]
    quantizer = quantizers(imported)[0].quantizer
    assert (quantizer.low, quantizer.high, imported.dialects) == (-7, 7, ("qcdq", "qdq"))


def test_a_clip_of_integer_weights_says_how_many_bits_they_have():
    nodes = [
        node("Clip", "w low high", "c"),
        node("DequantizeLinear", "c s", "wf"),
        node("MatMul", "x wf", "y"),
    ]
    codes = np.arange(-6, 6, dtype=np.int8).reshape(6, 2)
    constants = {"w": codes, "s": S, "low": np.int8(-7), "high": np.int8(7)}
    quantizer = quantizers(agrees(make(nodes, VECTOR, "y", constants), X))[0].quantizer
    assert (quantizer.low, quantizer.high) == (-7, 7)


def test_a_product_of_quantized_weights_with_positive_numbers_changes_their_scale():
    nodes = [
        node("DequantizeLinear", "w s", "wf"),
        node("Mul", "wf f", "wm"),
        node("Div", "wm d", "wd"),
        node("MatMul", "x wd", "y"),
    ]
    codes = np.arange(-6, 6, dtype=np.int8).reshape(6, 2)
    constants = {"w": codes, "s": S, "f": np.array([0.5, 3], np.float32), "d": np.float32(3)}
    imported = agrees(make(nodes, VECTOR, "y", constants), X)
    op = quantizers(imported)[0]
    assert op.quantizer.scale == (Fraction(float(S)) / 6, Fraction(float(S)))
    held = next(n.op for n in imported.graph.nodes if isinstance(n.op, model.Constant))
    assert (op.quantizer.codes(held.value.values, op.axis) == codes).all()


@pytest.mark.parametrize("transposed", [False, True])
def test_blocked_weights_are_a_sum_of_products_with_one_scale_per_block_and_output(transposed):
    codes = np.arange(-8, 8, dtype=np.int8).reshape(4, 4)
    scale = np.array([[0.5, 1, 2, 4], [0.1, 0.2, 0.3, 0.4]], np.float32)
    constants = {"w": codes, "s": scale}
    nodes = [node("DequantizeLinear", "w s", "f", axis=0, block_size=2), node("MatMul", "x f", "y")]
    if transposed:
        constants = {name: np.ascontiguousarray(array.T) for name, array in constants.items()}
        nodes = [node("DequantizeLinear", "w s", "f", axis=1, block_size=2), node("Gemm", "x f", "y", transB=1)]
    built = make(nodes, {"x": [1, 4]}, "y", constants, opset=21)
    imported = agrees(built, normal(1, 4))
    assert kinds(imported) == ["input", "take", "quantize", "matmul", "take", "quantize", "matmul", "add"]
    assert [op.quantizer.scale for op in quantizers(imported)] == [
        tuple(Fraction(float(s)) for s in row) for row in scale
    ]
    wanted = codes * np.repeat(scale.astype(np.float64), 2, 0)
    assert (evaluated(imported, np.eye(4)[:1])[0] == wanted[:1]).all()


def test_a_scale_of_zero_reads_as_zero_weights():
    constants = {"w": np.zeros((6, 2), np.int8), "s": np.array([0, 0.5], np.float32)}
    nodes = [node("DequantizeLinear", "w s", "wf", axis=1), node("MatMul", "x wf", "y")]
    agrees(make(nodes, VECTOR, "y", constants), X)


def test_ties_are_rounded_to_even_before_the_zero_point():
    imported = read(pair(s=np.float32(1), z=np.int8(1)))
    x = np.array([[-1.5, -0.5, 0.5, 1.5, 2.5, 3.5]])
    assert evaluated(imported, x)[0].tolist() == [[-2, 0, 0, 2, 2, 4]]
    assert reference(pair(s=np.float32(1), z=np.int8(1)), x.astype(np.float32))[0].tolist() == [[-2, 0, 0, 2, 2, 4]]
