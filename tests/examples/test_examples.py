"""The example networks are what examples/README.md says."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

import qcompile

EXAMPLES = Path(__file__).parents[2] / "examples"
NETWORKS = {
    "digits_mlp": ((64,), ["Gemm", "Relu", "Gemm", "Relu", "Gemm"], 3392, 0.9725),
    "digits_cnn": ((1, 8, 8), ["Conv", "Relu", "MaxPool", "Conv", "Relu", "MaxPool", "Flatten", "Gemm"], 968, 0.97),
}


def accuracy(path: Path, shape: tuple[int, ...]) -> float:
    with np.load(EXAMPLES / "digits.npz") as data:
        images, labels = data["x_test"], data["y_test"]
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (logits,) = session.run(None, {"image": images.reshape(-1, *shape).astype(np.float32)})
    return float((logits.argmax(axis=1) == labels).mean())


def test_the_data_are_raw_pixels_with_labels() -> None:
    with np.load(EXAMPLES / "digits.npz") as data:
        assert {name: (data[name].shape, data[name].dtype.name) for name in data.files} == {
            "x_test": ((400, 8, 8), "uint8"),
            "y_test": ((400,), "uint8"),
            "x_calib": ((128, 8, 8), "uint8"),
            "y_calib": ((128,), "uint8"),
        }
        assert (data["x_test"].min(), data["x_test"].max()) == (0, 16)
        assert sorted(set(data["y_test"].tolist())) == list(range(10))


@pytest.mark.parametrize("name", NETWORKS)
def test_a_float_example_has_the_stated_layers_and_weights(name: str) -> None:
    shape, operators, weights, _ = NETWORKS[name]
    model = onnx.load(EXAMPLES / f"{name}.onnx")
    onnx.checker.check_model(model, full_check=True)
    assert [node.op_type for node in model.graph.node] == operators
    matrices = [tensor for tensor in model.graph.initializer if len(tensor.dims) > 1]
    assert sum(int(np.prod(tensor.dims)) for tensor in matrices) == weights
    dims = model.graph.input[0].type.tensor_type.shape.dim
    assert [dim.dim_param or dim.dim_value for dim in dims] == ["batch", *shape]


@pytest.mark.parametrize("name", NETWORKS)
def test_a_qdq_example_has_the_layers_of_its_float_one(name: str) -> None:
    model = onnx.load(EXAMPLES / f"{name}_qdq.onnx")
    kinds = [node.op_type for node in model.graph.node]
    assert "QuantizeLinear" in kinds and "DequantizeLinear" in kinds
    # Clamping to a quantizer's range that starts at zero is the ReLU, so onnxruntime leaves it out.
    layers = [kind for kind in kinds if kind not in ("QuantizeLinear", "DequantizeLinear")]
    assert layers == [kind for kind in NETWORKS[name][1] if kind != "Relu"]


@pytest.mark.parametrize("name", [f"{name}{ending}" for name in NETWORKS for ending in ("", "_qdq")])
def test_an_example_reads_as_opset_17_and_classifies_as_well_as_stated(name: str) -> None:
    model = onnx.load(EXAMPLES / f"{name}.onnx", load_external_data=False)
    assert [(entry.domain, entry.version) for entry in model.opset_import] == [("", 17)]
    assert model.ir_version <= 10
    shape, _, _, stated = NETWORKS[name.removesuffix("_qdq")]
    # A runtime of another version may round one logit differently; half a point is two of 400 images.
    assert accuracy(EXAMPLES / f"{name}.onnx", shape) >= stated - 0.005


def test_the_depthwise_example_classifies_its_sample_in_float_and_in_eight_bits() -> None:
    with np.load(EXAMPLES / "fashion.npz") as data:
        images, labels, calibration = data["x_test"], data["y_test"], data["x_calib"]
        assert (images.shape, calibration.shape) == ((200, 28, 28), (64, 28, 28))
    path = EXAMPLES / "fashion_depthwise.onnx"
    assert path.stat().st_size < 150_000
    groups = [a.i for node in onnx.load(path).graph.node for a in node.attribute if a.name == "group"]
    assert groups == [1, 32, 1, 64, 1, 128, 1]
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (logits,) = session.run(None, {"image": images[:, None].astype(np.float32)})
    assert (logits.argmax(axis=1) == labels).mean() >= 0.9
    compiled = qcompile.compile(path, target=None, calibration=calibration)
    classes = compiled.emulate(images).reshape(200, 10).argmax(axis=1)
    assert (classes == logits.argmax(axis=1)).mean() >= 0.97
