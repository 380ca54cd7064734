"""Attention: matrix products of two computed tensors, of numbers and (by XNOR gates) of signs."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

import qcompile
from qcompile.errors import CompileError
from qcompile.ir import integer
from qcompile.verify.verilator import find_compiler, find_verilator

TOKENS, CHANNELS, OUTS = 5, 4, 3
RANDOM = np.random.default_rng(0)
WEIGHTS = {name: RANDOM.integers(-3, 4, (CHANNELS, CHANNELS)).astype(np.float32) for name in "qkv"}
WEIGHTS["out"] = RANDOM.integers(-3, 4, (CHANNELS, OUTS)).astype(np.float32)
QONNX = "qonnx.custom_op.general"
FOLDINGS = [{}, {"fps": 200e6 / 250}]


@pytest.fixture
def simulator() -> None:
    try:
        find_verilator(), find_compiler()
    except CompileError as error:
        pytest.skip(str(error))


def network(signs: bool) -> onnx.ModelProto:
    """``relu(q k') v`` of ``x`` [1, tokens, channels]; with ``signs`` on 4-bit integers, q and k in -1 and +1."""
    constants = WEIGHTS | {"one": np.float32(1), "zero": np.float32(0), "four": np.float32(4), "eight": np.float32(8)}
    nodes = []

    def node(kind: str, inputs: str, result: str, **attributes: object) -> str:
        domain = QONNX if "Quant" in kind else ""
        nodes.append(helper.make_node(kind, inputs.split(), [result], name=result, domain=domain, **attributes))
        return result

    def quantized(x: str, bits: str, signed: int = 1) -> str:
        attributes = {"signed": signed, "narrow": 0, "rounding_mode": "ROUND"}
        return node("Quant", f"{x} one zero {bits}", f"{x}_codes", **attributes) if signs else x

    x = quantized("x", "four")
    query, key, value = (
        node("MatMul", f"{x} {name if not signs else quantized(name, 'four')}", f"{name}_of_x") for name in "qkv"
    )
    if signs:
        query, key = (node("BipolarQuant", f"{name} one", f"{name}_sign") for name in (query, key))
        value = quantized(value, "eight")
    turned = node("Transpose", key, "turned", perm=[0, 2, 1])
    scores = node("Relu", node("MatMul", f"{query} {turned}", "scores"), "positive")
    mixed = node("MatMul", f"{quantized(scores, 'four', 0)} {value}", "mixed")
    node("MatMul", f"{quantized(mixed, 'eight')} {quantized('out', 'four')}", "y")
    shapes = ("x", (1, TOKENS, CHANNELS)), ("y", (1, TOKENS, OUTS))
    x_info, y_info = (helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in shapes)
    graph = helper.make_graph(nodes, "attention", [x_info], [y_info], [])
    graph.initializer.extend(numpy_helper.from_array(np.asarray(v), name) for name, v in constants.items())
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid(QONNX, 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8)


def samples(count: int) -> np.ndarray:
    return np.random.default_rng(1).integers(-8, 8, (count, 1, TOKENS, CHANNELS)).astype(np.float32)


def attended(x: np.ndarray) -> np.ndarray:
    """What the network of signs computes, on integers."""
    q, k, v = (x @ WEIGHTS[name] for name in "qkv")
    q, k, v = np.where(q >= 0, 1, -1), np.where(k >= 0, 1, -1), np.clip(v, -128, 127)
    scores = np.clip(q @ k.swapaxes(-1, -2), 0, 15)
    return np.clip(scores @ v, -128, 127) @ WEIGHTS["out"]


@pytest.mark.parametrize("options", FOLDINGS, ids=["unrolled", "folded"])
def test_attention_of_signs_is_exact_and_counts_equal_bits(simulator: None, options: dict[str, float]) -> None:
    compiled = qcompile.compile(network(signs=True), target="ultra96", **options)
    ops = [type(node.op) for node in compiled.emulator.graph.nodes]
    assert ops.count(integer.Xnor) == 1 and ops.count(integer.Product) == 1
    x = samples(50)
    assert (compiled.emulate(x) == attended(x)).all()
    assert compiled.verify(x, count=5)["rtl_mismatches"] == 0


@pytest.mark.parametrize("options", FOLDINGS, ids=["unrolled", "folded"])
def test_attention_of_numbers_is_near_the_float_network(simulator: None, options: dict[str, float]) -> None:
    model, x = network(signs=False), samples(50)
    compiled = qcompile.compile(model, target="ultra96", calibration=x, **options)
    session = onnxruntime.InferenceSession(model.SerializeToString())
    wanted = np.stack([session.run(None, {"x": one})[0] for one in x])
    found = compiled.emulate(x)
    assert np.abs(found - wanted).max() < 0.02 * np.abs(wanted).max()
    assert compiled.verify(x, count=5)["rtl_mismatches"] == 0


def test_attention_takes_approximate_products_with_weights_alone() -> None:
    """Products of two computed tensors stay exact: there is no weight to make them from."""
    minifloat = {"weights": "minifloat:e3m2", "activations": "minifloat:e3m2", "multiply": "l-mul", "formats": "as-is"}
    compiled = qcompile.compile(network(signs=False), target=None, calibration=samples(50), **minifloat)
    ops = [type(node.op) for node in compiled.emulator.graph.nodes]
    assert ops.count(integer.Product) == 2
    assert compiled.verify(samples(5))["samples"] == 5
