"""Small ONNX files through every stage: the emulator against onnxruntime's own integer results.

Scales are powers of two where onnxruntime computes in float32, so that its sums are exact.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper

sys.path.insert(0, str(Path(__file__).parents[1] / "frontend"))

from graphs import make, node, reference

import qcompile

I8, U8, U4, F32 = TensorProto.INT8, TensorProto.UINT8, TensorProto.UINT4, TensorProto.FLOAT
SCALES = {"s": np.float32(0.25), "z": np.uint8(3), "s2": np.float32(0.5), "z2": np.uint8(128)}


def quantized_weights(*shape, seed=0):
    return np.random.default_rng(seed).integers(-127, 128, shape).astype(np.int8)


def check(built, *shape, low=0, high=256, real=False):
    """Every output code of the emulator is onnxruntime's."""
    compiled = qcompile.compile(built)
    x = np.random.default_rng(7).integers(low, high, (25, *shape))
    x = x / 8 if real else x
    dtype = {1: np.float32, 2: np.uint8, 3: np.int8}[built.graph.input[0].type.tensor_type.elem_type]
    wanted = np.stack([np.asarray(reference(built, one.astype(dtype))[0], np.float64) for one in x])
    np.testing.assert_array_equal(np.asarray(compiled.emulate(x)).reshape(wanted.shape), wanted)


def test_codes_in_and_codes_out_of_unpaired_quantizers():
    nodes = [
        node("DequantizeLinear", "x s z", "real"),
        node("Relu", "real", "positive"),
        node("QuantizeLinear", "positive s2 z2", "y"),
    ]
    check(make(nodes, {"x": ([1, 8], U8)}, ("y", U8), SCALES), 1, 8)


def test_codes_in_and_reals_out():
    nodes = [node("DequantizeLinear", "x s z", "real"), node("Relu", "real")]
    check(make(nodes, {"x": ([1, 8], U8)}, "y", SCALES), 1, 8)


def test_reals_in_and_codes_out():
    nodes = [node("QuantizeLinear", "x s z", "c"), node("DequantizeLinear", "c s z", "r"), node("Abs", "r", "a")]
    nodes.append(node("QuantizeLinear", "a s2 z2", "y"))
    check(make(nodes, {"x": [1, 8]}, ("y", U8), SCALES), 1, 8, low=-400, high=400, real=True)


def test_matmul_integer_subtracts_both_zero_points():
    constants = {"w": quantized_weights(8, 5), "xz": np.uint8(17), "wz": np.int8(-3)}
    nodes = [node("MatMulInteger", "x w xz wz", "y")]
    check(make(nodes, {"x": ([1, 8], U8)}, ("y", TensorProto.INT32), constants), 1, 8)


def test_conv_integer_pads_with_the_zero_point():
    constants = {"w": quantized_weights(3, 2, 3, 3), "xz": np.uint8(17)}
    nodes = [node("ConvInteger", "x w xz", "y", pads=[1, 1, 1, 1], strides=[2, 1])]
    check(make(nodes, {"x": ([1, 2, 5, 5], U8)}, ("y", TensorProto.INT32), constants), 1, 2, 5, 5)


@pytest.mark.parametrize("axis", [1, 2])
def test_activations_have_scales_along_an_axis(axis):
    scales = np.float32([0.25, 0.5, 2.0, 1.0][: 3 if axis == 1 else 4])
    zeros = np.uint8([3, 0, 128, 7][: len(scales)])
    nodes = [
        node("QuantizeLinear", "x s z", "c", axis=axis),
        node("DequantizeLinear", "c s z", "r", axis=axis),
        node("Relu", "r", "p"),
        node("Add", "p r", "y"),
    ]
    check(make(nodes, {"x": [1, 3, 4, 4]}, "y", {"s": scales, "z": zeros}), 1, 3, 4, 4, low=-90, high=90, real=True)


def test_blocked_weights_have_one_scale_per_block():
    weights = np.random.default_rng(1).integers(0, 16, (8, 3))
    stored = helper.make_tensor("w", U4, weights.shape, weights.ravel().tolist())
    zeros = helper.make_tensor("wz", U4, (2, 3), [8, 7, 3, 0, 15, 8])
    scales = np.float32([[0.5, 0.25, 1.0], [2.0, 0.125, 0.5]])
    nodes = [
        node("DequantizeLinear", "x s z", "r"),
        node("DequantizeLinear", "w ws wz", "wr", axis=0, block_size=4),
        node("MatMul", "r wr", "y"),
    ]
    constants = SCALES | {"w": stored, "wz": zeros, "ws": scales}
    check(make(nodes, {"x": ([1, 8], U8)}, "y", constants, opset=21, ir_version=10), 1, 8)


@pytest.mark.parametrize("op", ["Add", "Mul", "Max", "Sub"])
def test_two_scales_meet_between_quantizers(op):
    other = {"w": quantized_weights(8, 8), "ws": np.float32(2**-7), "wz": np.int8(0), "s3": np.float32(2.0)}
    second = "c" if op == "Mul" else "rm"
    nodes = [
        node("DequantizeLinear", "x s z", "r"),
        node("DequantizeLinear", "w ws wz", "wr"),
        node("MatMul", "r wr", "m"),
        node("QuantizeLinear", "m s3 z2", "qm"),
        node("DequantizeLinear", "qm s3 z2", "rm"),
        node(op, f"r {second}", "sum"),
        node("QuantizeLinear", "sum s2 z2", "y"),
    ]
    constants = SCALES | other | {"c": np.float32([0.75])}
    check(make(nodes, {"x": ([1, 8], U8)}, ("y", U8), constants), 1, 8)


def test_concat_of_two_grids_behind_pools_and_a_slice():
    nodes = [
        node("DequantizeLinear", "x s z", "r"),
        node("MaxPool", "r", "m", kernel_shape=[2, 2], strides=[2, 2]),
        node("AveragePool", "r", "a", kernel_shape=[2, 2], strides=[2, 2]),
        node("QuantizeLinear", "a s2 z2", "qa"),
        node("DequantizeLinear", "qa s2 z2", "ra"),
        node("Concat", "m ra", "c", axis=1),
        node("Slice", "c from to axes", "t"),
        node("QuantizeLinear", "t s2 z2", "y"),
    ]
    constants = SCALES | {"from": np.int64([1]), "to": np.int64([3]), "axes": np.int64([1])}
    check(make(nodes, {"x": ([1, 2, 4, 4], U8)}, ("y", U8), constants), 1, 2, 4, 4)


@pytest.mark.parametrize("op", ["Sigmoid", "Tanh", "HardSigmoid", "HardSwish", "Elu", "Softplus", "Erf", "Exp"])
def test_functions_between_quantizers_are_tables(op):
    nodes = [
        node("DequantizeLinear", "x s3 z2", "r"),
        node(op, "r", "f"),
        node("QuantizeLinear", "f s4 z", "y"),
    ]
    constants = SCALES | {"s3": np.float32(1 / 32), "s4": np.float32(1 / 64)}
    check(make(nodes, {"x": ([1, 64], U8)}, ("y", U8), constants, opset=14), 1, 64)
