"""QONNX operators against the arithmetic of their reference, in exact rationals or float32."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from graphs import evaluated, kinds, make, node, normal

from qcompile.frontend import read
from qcompile.ir import model
from qcompile.numerics.bipolar import BipolarQuantizer
from qcompile.numerics.minifloat import MiniFloatQuantizer
from qcompile.numerics.thresholds import ThresholdQuantizer

DOMAINS = ["onnx.brevitas", "qonnx.custom_op.general", "finn.custom_op.general", "qonnx", ""]
F = np.float32
X = np.array([[-9, -1.5, -0.5, -0.25, 0, 0.25, 0.5, 1.5, 2.5, 9]])


def quant(op="Quant", scale=1, zero=0, bits=3, domain="qonnx.custom_op.general", shape=(1, 10), **attributes):
    return make(
        [node(op, "x s z b", domain=domain, **attributes)],
        {"x": list(shape)},
        "y",
        {"s": np.asarray(scale, F), "z": np.asarray(zero, F), "b": F(bits)},
    )


def result(built, x=X):
    return evaluated(read(built), x)[0].tolist()


@pytest.mark.parametrize("domain", DOMAINS)
@pytest.mark.parametrize("op", ["Quant", "IntQuant"])
def test_quant_is_read_under_every_name_and_domain(domain, op):
    imported = read(quant(op, domain=domain, signed=1, narrow=1))
    assert kinds(imported) == ["input", "quantize"]
    assert imported.dialects == ("qonnx",)


@pytest.mark.parametrize("signed, narrow, low, high", [(1, 1, -3, 3), (1, 0, -4, 3), (0, 0, 0, 7), (0, 1, 0, 6)])
def test_signed_and_narrow_bound_the_codes(signed, narrow, low, high):
    wanted = np.clip([[-9, -2, 0, 0, 0, 0, 0, 2, 2, 9]], low, high)
    assert result(quant(signed=signed, narrow=narrow)) == wanted.tolist()


@pytest.mark.parametrize(
    "mode, wanted",
    [
        ("ROUND", [-2, 0, 0, 0, 0, 0, 2, 2]),
        ("round", [-2, 0, 0, 0, 0, 0, 2, 2]),
        ("CEIL", [-1, 0, 0, 0, 1, 1, 2, 3]),
        ("FLOOR", [-2, -1, -1, 0, 0, 0, 1, 2]),
        ("UP", [-2, -1, -1, 0, 1, 1, 2, 3]),
        ("DOWN", [-1, 0, 0, 0, 0, 0, 1, 2]),
        ("HALF_UP", [-2, -1, 0, 0, 0, 1, 2, 3]),
        ("HALF_DOWN", [-1, 0, 0, 0, 0, 0, 1, 2]),
    ],
)
def test_rounding_modes_have_their_qonnx_meaning(mode, wanted):
    assert result(quant(bits=8, signed=1, narrow=0, rounding_mode=mode))[0][1:-1] == wanted


def test_the_zero_point_is_added_before_rounding():
    # x / scale + zero = 0.5 + 1 rounds to 2; ONNX would round 0.5 to 0 and add 1.
    assert result(quant(zero=1, bits=8, signed=1, narrow=0), [[0.5] * 10])[0][0] == 1


def test_a_fractional_zero_point_moves_the_grid():
    found = result(quant(zero=0.25, bits=8, signed=1, narrow=0), [[0.5] * 10])[0][0]
    assert found == 0.75


def test_a_fractional_bit_width_clamps_as_the_reference_does():
    # 2.5 signed bits: bounds -2**1.5 and 2**1.5 - 1, clamped before rounding.
    assert result(quant(bits=2.5, signed=1, narrow=0)) == [[-3, -2, 0, 0, 0, 0, 0, 2, 2, 2]]


def test_one_signed_bit_is_the_sign():
    imported = read(quant(bits=1, signed=1, narrow=1, scale=0.5))
    assert isinstance(imported.graph.nodes[-1].op.quantizer, BipolarQuantizer)
    assert evaluated(imported, X)[0].tolist() == [[-0.5] * 4 + [0.5] * 6]


def test_scales_may_vary_along_one_axis_in_broadcast_form():
    built = quant(scale=np.array([1, 2, 4]).reshape(3, 1, 1), shape=(1, 3, 1, 2), signed=1, narrow=0, bits=8)
    imported = read(built)
    assert imported.graph.nodes[-1].op.axis == 1
    x = np.full((1, 3, 1, 2), 3.4)
    assert evaluated(imported, x)[0][0, :, 0, 0].tolist() == [3, 4, 4]


def test_weights_are_quantized_constants_also_behind_a_transpose():
    weights = normal(2, 10)
    built = make(
        [
            node("BipolarQuant", "w s", "q", domain="onnx.brevitas"),
            node("Transpose", "q", "t", perm=[1, 0]),
            node("MatMul", "x t", "y"),
        ],
        {"x": [1, 10]},
        "y",
        {"w": weights, "s": np.array([[0.5], [0.25]], F)},
    )
    graph = read(built).graph
    quantize = graph.by_name[graph.nodes[-1].inputs[1]]
    assert quantize.op == model.Quantize(BipolarQuantizer((Fraction(1, 2), Fraction(1, 4))), 1)
    assert isinstance(graph.by_name[quantize.inputs[0]].op, model.Constant)
    wanted = X @ (np.where(weights >= 0, 1, -1) * [[0.5], [0.25]]).T
    assert (evaluated(read(built), X)[0] == wanted).all()


def float_quant(exponent, mantissa, bias, largest=None, scale=1.0, **attributes):
    constants = {"s": F(scale), "e": F(exponent), "m": F(mantissa), "b": F(bias)}
    if largest is not None:
        constants["v"] = F(largest)
    inputs = "x s e m b" + (" v" if largest is not None else "")
    nodes = [node("FloatQuant", inputs, domain="qonnx.custom_op.general", **attributes)]
    return make(nodes, {"x": [1, 10]}, "y", constants)


def test_float_quant_uses_every_exponent_for_numbers():
    imported = read(float_quant(4, 3, 7))
    quantizer = imported.graph.nodes[-1].op.quantizer
    assert isinstance(quantizer, MiniFloatQuantizer)
    assert quantizer.value(quantizer.high) == 480  # ONNX's e4m3fn ends at 448


def test_max_val_limits_a_float_quant():
    assert result(float_quant(4, 3, 7, 448), np.full((1, 10), 1e4))[0][0] == 448
    assert result(float_quant(4, 3, 7, 1000), np.full((1, 10), 1e4))[0][0] == 480


def test_float_quant_rounds_the_significand_as_the_reference():
    x = normal(1, 10) * np.exp2(np.arange(10) - 8).astype(F)
    scaled = (x / F(0.375)).astype(np.float64)
    step = np.exp2(np.maximum(np.floor(np.log2(np.abs(scaled))) - 2, 1 - 3 - 2))
    wanted = np.clip(np.round(scaled / step) * step, -28, 28) * 0.375
    assert result(float_quant(3, 2, 3, 28, scale=0.375), x) == wanted.tolist()


def test_trunc_version_1_drops_bits_and_keeps_the_scale():
    nodes = [node("Trunc", "x s z i o", domain="qonnx.custom_op.general", rounding_mode="FLOOR")]
    constants = {"s": F(0.5), "z": F(0), "i": F(8), "o": F(6)}
    x = np.array([[-3.5, -0.5, 0, 1.5, 2, 7.5, 8, 9, 10, 11]])
    wanted = np.floor(np.round(x / 0.5) / 4) * 0.5
    assert result(make(nodes, {"x": [1, 10]}, "y", constants), x) == wanted.tolist()


@pytest.mark.parametrize("zero", [0, 8])
def test_trunc_version_2_rescales_and_clamps(zero):
    nodes = [
        node("Trunc", "x s z i t u o", domain="qonnx.custom_op.general", rounding_mode="ROUND", signed=0, narrow=0)
    ]
    constants = {"s": F(0.5), "z": F(zero), "i": F(8), "t": F(2), "u": F(0), "o": F(3)}
    x = np.array([[-3.5, -0.5, 0, 1.5, 2, 7.5, 8, 9, 10, 100]])
    wanted = (np.round(np.clip((np.round(x / 0.5) + zero) / 4, 0, 7)) - zero / 4) * 2
    assert result(make(nodes, {"x": [1, 10]}, "y", constants), x) == wanted.tolist()


def multi_threshold(thresholds, shape, domain="finn.custom_op.general", **attributes):
    nodes = [node("MultiThreshold", "x t", domain=domain, **attributes)]
    return make(nodes, {"x": list(shape)}, "y", {"t": np.asarray(thresholds, F)})


def test_multi_threshold_counts_what_is_reached():
    built = multi_threshold([[-1, 0, 2]], (1, 10), out_dtype="INT4", out_bias=-2.0)
    imported = read(built)
    assert isinstance(imported.graph.nodes[-1].op.quantizer, ThresholdQuantizer)
    assert imported.dialects == ("multithreshold",)
    assert evaluated(imported, X)[0].tolist() == [[-2, -2, -1, -1, 0, 0, 0, 0, 1, 1]]


@pytest.mark.parametrize("layout, axis", [("NCHW", 1), ("NHWC", 3)])
def test_multi_threshold_has_a_row_per_channel(layout, axis):
    shape = [1, 2, 2, 2]
    built = multi_threshold([[0.5], [1.5]], shape, out_scale=2.0, out_bias=-1.0, data_layout=layout)
    imported = read(built)
    assert imported.graph.nodes[-1].op.axis == axis
    wanted = np.take([1, -1], np.indices(shape)[axis])
    assert evaluated(imported, np.ones(shape))[0].tolist() == wanted.tolist()


def test_channels_last_operators_are_the_standard_ones_between_transpositions():
    weights = normal(4, 3, 3, 2)
    nodes = [
        node("Conv", "x w", "a", domain="qonnx.custom_op.channels_last", pads=[1, 1, 1, 1]),
        node("MaxPool", "a", "y", domain="qonnx.custom_op.channels_last", kernel_shape=[2, 2], strides=[2, 2]),
    ]
    x = normal(1, 4, 6, 2)
    last = evaluated(read(make(nodes, {"x": [1, 4, 6, 2]}, "y", {"w": weights})), x)[0]
    first = [
        node("Conv", "x w", "a", pads=[1, 1, 1, 1]),
        node("MaxPool", "a", "y", kernel_shape=[2, 2], strides=[2, 2]),
    ]
    moved = {"w": np.ascontiguousarray(weights.transpose(0, 3, 1, 2))}
    wanted = evaluated(read(make(first, {"x": [1, 2, 4, 6]}, "y", moved)), x.transpose(0, 3, 1, 2))[0]
    # The sums are the same, float64 adds them in another order.
    assert np.abs(last - wanted.transpose(0, 2, 3, 1)).max() < 1e-12
