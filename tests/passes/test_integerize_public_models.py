"""Public networks against the outputs that their own runtimes stored; differences must be proved float ties."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "frontend"))
sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

import conformance
from graphs import shared_model

EQUAL = (
    *("tfc_1w1a", "tfc_1w2a", "tfc_2w2a", "finn_tfc_multithreshold", "brevitas_tfc_w1a1.qonnx"),
    *("brevitas_cnn_w4a4.qcdq", "brevitas_mlp_w3a3_pow2.qonnx", "bnnpynq_cnv_w1a1_cifar10"),
    *("brevitas_mlp_fp_e3m2.qonnx", "brevitas_mlp_fp_w_e2m1_a_e3m2.qonnx", "floatquant_fp8_gemm"),
    *("mlperftiny_ad_int8", "mlperftiny_kws_dscnn_int8", "mlperftiny_resnet8_int8", "mlperftiny_vww_mobilenet_int8"),
    *("mnist_conv_fp32", "residual_block_fp32"),
)
TIES = {"kws_w3a3_mlperf": 1, "radioml_vgg10_w8a8": 1}
SLOW_TIES = {"fracbnn_cifar10_w1a1p4": 1, "espcn_subpixel_quant": 1}


@pytest.mark.parametrize("name", EQUAL)
def test_every_stored_sample_is_equal(name):
    row = conformance.float_reference(shared_model(f"{name}.onnx"))
    assert (row.equal, row.ties) == (row.samples, 0)


@pytest.mark.parametrize("name", TIES)
def test_every_sample_that_differs_is_a_float_tie(name):
    row = conformance.float_reference(shared_model(f"{name}.onnx"))
    assert row.proved
    assert row.ties == TIES[name]


@pytest.mark.slow
@pytest.mark.parametrize("name", SLOW_TIES)
def test_every_sample_of_a_large_network_that_differs_is_a_float_tie(name):
    row = conformance.float_reference(shared_model(f"{name}.onnx"))
    assert row.proved
    assert row.ties == SLOW_TIES[name]


@pytest.mark.parametrize("name", ["ad", "kws_dscnn", "vww_mobilenet"])
def test_integer_runtimes_give_the_same_codes(name):
    row = conformance.integer_reference(shared_model(f"mlperftiny_{name}_int8.onnx"))
    assert row.equal == row.samples


def test_only_the_fixed_point_softmax_of_an_integer_runtime_differs():
    row = conformance.integer_reference(shared_model("mlperftiny_resnet8_int8.onnx"))
    assert (row.equal, row.ties) == (12, 4)
