"""csim of the public models: the emulator's bits on all stored samples."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import qcompile

MODELS = Path(os.environ.get("QCOMPILE_SHARED", Path(__file__).parents[3] / "shared")) / "models"
# Samples per second to fold for; None: unrolled.
NETWORKS: dict[str, float | None] = {
    "mnist_conv_fp32": None,
    "tfc_1w1a": None,
    "kws_w3a3_mlperf": 10_000,
    "brevitas_cnn_w4a4.qcdq": 1_000,
    "brevitas_mlp_w3a3_pow2.qonnx": None,
    "mlperftiny_ad_int8": 1_000,
    "mlperftiny_kws_dscnn_int8": 200,
}


@pytest.mark.slow
@pytest.mark.parametrize("name", NETWORKS)
def test_csim_and_the_native_emulator_give_the_emulators_bits(name: str) -> None:
    if not MODELS.is_dir():
        pytest.skip(f"{MODELS} is absent; set QCOMPILE_SHARED")
    with np.load(MODELS / f"{name}.io.npz") as arrays:
        stored: Any = arrays["input"]
    options: dict[str, Any] = {"target": "zcu104", "backend": "hls", "allow_oversize": True, "fps": NETWORKS[name]}
    network = qcompile.compile(MODELS / f"{name}.onnx", **options)
    samples = stored.reshape(-1, *network.input_shape[1:]).astype(float)
    wanted = network.emulate(samples)
    assert (network.csim(samples) == wanted).all()
    assert (network.native(samples) == wanted).all()
