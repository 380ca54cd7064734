"""The public models against their stored reference outputs (onnxruntime or the dialect's own runtime)."""

from __future__ import annotations

import numpy as np
import pytest
from graphs import shared_model

from qcompile.frontend import read
from qcompile.ir import model

EQUAL = {
    "mnist_conv_fp32": 1e-6,
    "residual_block_fp32": 1e-6,
    "mlperftiny_ad_int8": 1e-6,
    "mlperftiny_kws_dscnn_int8": 0,
    "mlperftiny_resnet8_int8": 0,
    "mlperftiny_vww_mobilenet_int8": 0,
    "brevitas_cnn_w4a4.qcdq": 1e-6,
}
"""Model to the largest difference relative to the largest output; 0: every stored value is the same float32."""


@pytest.mark.parametrize("name", EQUAL)
def test_the_imported_graph_gives_the_stored_outputs(name):
    imported = read(shared_model(f"{name}.onnx"))
    stored = np.load(shared_model(f"{name}.io.npz"))
    values = model.evaluate(imported.graph, {imported.inputs[0].node: stored["input"].astype(np.float64)})
    found, wanted = values[imported.outputs[0].node], stored["output"]
    assert found.shape == wanted.shape
    if EQUAL[name] == 0:
        assert (found.astype(np.float32) == wanted).all()
    assert np.abs(found - wanted).max() <= EQUAL[name] * np.abs(wanted).max()
