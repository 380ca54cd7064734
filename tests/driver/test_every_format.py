"""Every number format from the float file to the simulated hardware, a layer for each in one network."""

from __future__ import annotations

from functools import cache

import numpy as np
import onnx
import pytest

import qcompile
from qcompile import CompileError
from qcompile.config import load_config
from qcompile.numerics.formats import FORMATS, parse_format

WIDTH = 6
WEIGHTS = [*(spelling.example for spelling in FORMATS.values()), "minifloat:e4m3fn", "mx:int8:4:ceil:away", "csd:3:7@3"]
ACTIVATIONS = [e.example for e in FORMATS.values() if not parse_format(e.example, "").for_weights_only]


@cache
def network() -> onnx.ModelProto:
    """A layer for every format, with a ReLU behind every other one."""
    random = np.random.default_rng(4)
    nodes, arrays, last = [], [], "x"
    for number in range(len(WEIGHTS)):
        weights = random.normal(0, 0.5, (WIDTH, WIDTH)).astype(np.float32)
        bias = random.normal(0, 0.2, WIDTH).astype(np.float32)
        arrays += [
            onnx.numpy_helper.from_array(weights, f"w{number}"),
            onnx.numpy_helper.from_array(bias, f"b{number}"),
        ]
        inputs = [last, f"w{number}", f"b{number}"]
        nodes.append(onnx.helper.make_node("Gemm", inputs, [f"y{number}"], name=f"layer{number}"))
        last = f"y{number}"
        if number % 2:
            nodes.append(onnx.helper.make_node("Relu", [last], [f"r{number}"], name=f"relu{number}"))
            last = f"r{number}"
    real = onnx.TensorProto.FLOAT
    x = onnx.helper.make_tensor_value_info("x", real, [1, WIDTH])
    y = onnx.helper.make_tensor_value_info(last, real, [1, WIDTH])
    graph = onnx.helper.make_graph(nodes, "formats", [x], [y], arrays)
    return onnx.helper.make_model(graph, ir_version=8, opset_imports=[onnx.helper.make_opsetid("", 17)])


def test_every_format_of_weights_and_activations_is_exact_in_simulation(tmp_path) -> None:
    """Activations cycle through the formats that they may have."""
    config = tmp_path / "qcompile.toml"
    layers = [
        f'[layers."layer{k}"]\nweights = "{weights}"\nactivations = "{ACTIVATIONS[k % len(ACTIVATIONS)]}"\n'
        for k, weights in enumerate(WEIGHTS)
    ]
    config.write_text("\n".join(layers))
    samples = np.random.default_rng(0).normal(size=(64, WIDTH)).astype(np.float32)
    compiled = qcompile.compile(
        network(), target="zcu104", calibration=samples, config=config, effort=0, allow_oversize=True
    )
    assert (compiled.simulate(samples, seed=1) == compiled.emulate(samples)).all()


@pytest.mark.parametrize("text", ["codebook:4", "mx:e2m1:8", "fixed:4@16"])
def test_formats_for_weights_are_refused_for_activations(text: str) -> None:
    with pytest.raises(CompileError) as error:
        load_config(None, {"activations": text})
    (diagnostic,) = error.value.diagnostics
    assert (diagnostic.code, diagnostic.where) == ("QC211", "activations")
    assert diagnostic.found == f"format {parse_format(text, '')} is for weights alone"
    assert "minifloat:e3m2" in diagnostic.help


@pytest.mark.parametrize("rule", ["l-mul", "pam"])
def test_approximate_products_are_exact_in_simulation_and_counted(rule: str) -> None:
    model = onnx.ModelProto()
    model.CopyFrom(network())
    del model.graph.node[3:]
    model.graph.output[0].name = "r1"
    samples = np.random.default_rng(0).normal(size=(40, WIDTH)).astype(np.float32)
    formats = {"weights": "minifloat:e3m3", "activations": "minifloat:e3m2"}
    compiled = qcompile.compile(model, target="zcu104", calibration=samples, effort=0, multiply=rule, **formats)
    result = compiled.verify(samples, count=20)
    assert result["rtl_mismatches"] == 0
    assert (result["product"], result["product_values"]) == (rule, 20 * WIDTH)
    exact = qcompile.compile(model, target=None, calibration=samples, **formats)
    apart = np.abs(exact.emulate(samples[:20]) - compiled.emulate(samples[:20]))
    assert result["product_differences"] == (apart > 0).sum() > 20
    assert result["product_largest_difference"] == apart.max()
