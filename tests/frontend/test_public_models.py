"""The public models against their stored reference outputs (onnxruntime, qonnx, LiteRT).

The model graph is exact where the references compute in float32. Equality is up to float32 resolution; where
a reference rounds the other way at a quantizer, the difference must be a float tie.
"""

from __future__ import annotations

import numpy as np
import pytest
from float_ties import float_ties
from graphs import shared_model

from qcompile.frontend import read
from qcompile.ir import model

EQUAL = {
    "bnnpynq_cnv_w1a1_cifar10": ("qonnx",),
    "brevitas_cnn_w4a4.qcdq": ("qcdq", "qdq"),
    "brevitas_mlp_fp_e3m2.qonnx": ("qonnx",),
    "brevitas_mlp_fp_w_e2m1_a_e3m2.qonnx": ("qonnx",),
    "brevitas_mlp_w3a3_pow2.qonnx": ("qonnx",),
    "brevitas_tfc_w1a1.qonnx": ("qonnx",),
    "finn_tfc_multithreshold": ("multithreshold",),
    "floatquant_fp8_gemm": ("qonnx",),
    "mlperftiny_ad_int8": ("qdq",),
    "mlperftiny_kws_dscnn_int8": ("qdq",),
    "mlperftiny_resnet8_int8": ("qdq",),
    "mlperftiny_vww_mobilenet_int8": ("qdq",),
    "mnist_conv_fp32": (),
    "residual_block_fp32": (),
    "tfc_1w1a": ("qonnx",),
    "tfc_1w2a": ("qonnx",),
    "tfc_2w2a": ("qonnx",),
}
"""Model to its dialects; every stored output value agrees within float32 resolution."""

TIES = {"kws_w3a3_mlperf": 1, "radioml_vgg10_w8a8": 2, "fracbnn_cifar10_w1a1p4": 1}
"""Model to the codes that float32 arithmetic rounds the other way; with those the outputs agree too."""


def case(name):
    stored = np.load(shared_model(f"{name}.io.npz"))
    return read(shared_model(f"{name}.onnx")), stored["input"], stored["output"]


def outputs(imported, inputs):
    values = model.evaluate(imported.graph, {imported.inputs[0].node: inputs.astype(np.float64)})
    return values[imported.outputs[0].node]


@pytest.mark.parametrize("name", EQUAL)
def test_the_imported_graph_gives_the_stored_outputs(name):
    imported, inputs, wanted = case(name)
    found = outputs(imported, inputs)
    assert imported.dialects == EQUAL[name]
    assert imported.quantized == bool(EQUAL[name])
    assert found.shape == wanted.shape
    assert np.abs(found - wanted).max() <= 1e-6 * np.abs(wanted).max()


@pytest.mark.parametrize("name", TIES)
def test_what_differs_from_the_reference_are_float_ties(name):
    imported, inputs, wanted = case(name)
    ties = float_ties(imported, inputs)
    assert ties.differ == TIES[name]
    assert ties.worst < 2  # units of float32 resolution: closer to the boundary than one rounding
    assert np.abs(ties.output - wanted).max() <= 1e-6 * np.abs(wanted).max()


def test_a_super_resolution_network_differs_in_ties_of_single_codes():
    imported, inputs, wanted = case("espcn_subpixel_quant")
    found = outputs(imported, inputs)
    ties = float_ties(imported, inputs)
    step = float(imported.graph.nodes[-1].op.quantizer.scale[0])
    differing = np.abs(found - wanted) > step / 2
    assert int(differing.sum()) == 16
    assert np.abs(found - wanted).max() <= step * 1.01
    assert (ties.differ, ties.worst < 2) == (11, True)


@pytest.mark.parametrize("name", [name for name in EQUAL if name.startswith("mlperftiny")])
def test_the_graph_gives_the_codes_of_onnxruntime_on_the_integer_references_inputs(name):
    imported = read(shared_model(f"{name}.onnx"))
    stored = np.load(shared_model(f"{name}.tflite_io.npz"))
    real = (stored["input_int8"].astype(np.float64) - int(stored["in_zp"])) * float(stored["in_scale"])
    found = outputs(imported, real)
    scale, zero = float(stored["out_scale"]), int(stored["out_zp"])
    codes = np.rint(found / scale) + zero
    assert (codes == np.rint(stored["ort_output"].astype(np.float64) / scale) + zero).all()
    assert np.abs(codes - stored["output_int8"]).max() <= (2 if "resnet8" in name else 1)
