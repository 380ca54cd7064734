"""Public networks through the whole compiler: stored integer outputs, kept accuracy, hardware that agrees."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

import qcompile

SHARED = Path(os.environ.get("QCOMPILE_SHARED", Path(__file__).parents[3] / "shared"))


def shared(*names: str) -> list[Path]:
    paths = [SHARED / name for name in names]
    for path in paths:
        if not path.exists():
            pytest.skip(f"{path} is absent; set QCOMPILE_SHARED")
    return paths


@pytest.mark.parametrize("name", ["mlperftiny_ad_int8", "mlperftiny_kws_dscnn_int8"])
def test_the_emulator_gives_the_stored_int8_outputs(name: str) -> None:
    """Requantizations round exact rationals half to even; the stored outputs are those of TFLite."""
    path, stored = shared(f"models/{name}.onnx", f"models/{name}.tflite_io.npz")
    with np.load(stored) as arrays:
        inputs = (arrays["input_int8"] - arrays["in_zp"]) * arrays["in_scale"].astype(np.float64)
        wanted, scale, zero = arrays["output_int8"], float(arrays["out_scale"]), int(arrays["out_zp"])
    reals = qcompile.compile(path, target=None).emulate(inputs).reshape(wanted.shape)
    codes = np.rint(reals / scale) + zero
    assert (codes == wanted).all()
    assert ((codes - zero) * scale == reals).all()


@pytest.mark.parametrize(
    ("weights", "activations", "least"), [("fixed:8", "fixed:8", 0.982), ("fixed:4", "fixed:6", 0.97)]
)
def test_mnist_keeps_its_accuracy_in_integers(weights: str, activations: str, least: float) -> None:
    path, data = shared("models/mnist_conv_fp32.onnx", "data/mnist.npz")
    with np.load(data) as arrays:
        images, labels, calibration = arrays["x_test"], arrays["y_test"], arrays["x_calib"]
    options = {"weights": weights, "activations": activations}
    found = qcompile.compile(path, target=None, calibration=calibration, **options).emulate(images)
    assert (found.reshape(len(images), -1).argmax(axis=1) == labels).mean() >= least


def test_a_residual_network_agrees_in_the_simulation() -> None:
    path, stored = shared("models/residual_block_fp32.onnx", "models/residual_block_fp32.io.npz")
    with np.load(stored) as arrays:
        inputs = arrays["input"]
    options = {"weights": "fixed:4", "activations": "fixed:4", "effort": 0, "allow_oversize": True}
    compiled = qcompile.compile(path, target="zcu104", calibration=inputs, **options)
    assert (compiled.simulate(inputs, seed=1) == compiled.emulate(inputs)).all()
