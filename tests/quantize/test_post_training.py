"""Post-training quantization of whole graphs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from float_networks import Network, convolutional, operands_off_grid, residual, run, sampled

from qcompile.errors import Collector, CompileError
from qcompile.ir.graph import Graph, Node
from qcompile.ir.model import (
    MODEL,
    PARAMETERS,
    Add,
    ArgMax,
    Clip,
    Constant,
    Conv,
    Curve,
    Input,
    LeakyRelu,
    MatMul,
    MaxPool,
    Mul,
    Quantize,
    Reals,
    Reshape,
    Softmax,
    evaluate,
)
from qcompile.ir.text import parse_graph, print_graph
from qcompile.ir.window import Window
from qcompile.numerics.formats import Fixed
from qcompile.numerics.quantizer import Quantizer
from qcompile.numerics.rounding import Rounding
from qcompile.passes.integerize import Integerize
from qcompile.quantize import LayerFormats, QuantizeOptions, quantize

NETWORKS = [convolutional, residual]


def quantized(graph: Graph, x: Reals | None = None, options: QuantizeOptions | None = None) -> Graph:
    collector = Collector()
    result = quantize(graph, sampled(graph) if x is None else x, options or QuantizeOptions(), collector)
    assert not collector.diagnostics
    return result


def grid_behind(graph: Graph, name: str) -> Quantizer:
    """The quantizer that reads ``name``."""
    (user,) = graph.users[name]
    assert isinstance(user.op, Quantize)
    return user.op.quantizer


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("scales", ["pow2", "free"])
def test_every_operand_of_every_layer_lies_on_a_grid(network: Callable[[], Graph], scales: str) -> None:
    assert not list(operands_off_grid(quantized(network(), options=QuantizeOptions(scales=scales))))


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("scales", ["pow2", "free"])
def test_more_bits_come_closer_to_the_float_network(network: Callable[[], Graph], scales: str) -> None:
    graph = network()
    x = sampled(graph, 200)
    exact = run(graph, x)
    errors = []
    for bits in (4, 8, 12):
        options = QuantizeOptions(weights=Fixed(bits), activations=Fixed(bits), scales=scales)
        errors.append(float(np.abs(run(quantized(graph, x, options), x) - exact).mean()))
    assert errors[0] > 4 * errors[1] > 16 * errors[2]
    assert errors[1] < 0.03 * float(exact.std())


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("scales", ["pow2", "free"])
def test_the_integerizer_takes_what_quantize_makes(network: Callable[[], Graph], scales: str) -> None:
    Integerize().run(quantized(network(), options=QuantizeOptions(scales=scales))).verify()


@pytest.mark.parametrize("network", NETWORKS)
def test_the_result_is_the_same_every_time_and_survives_its_text_form(network: Callable[[], Graph]) -> None:
    first, second = quantized(network()), quantized(network())
    assert print_graph(first) == print_graph(second)
    assert parse_graph(print_graph(first), MODEL, PARAMETERS) == first


def test_one_rounding_covers_layer_bias_and_activation_and_comes_before_pooling() -> None:
    graph = quantized(convolutional())
    kinds = [n.op.mnemonic for n in graph.nodes if not isinstance(n.op, Constant) and not n.name.endswith("weight_q")]
    assert kinds == [
        *("input", "quantize"),
        *("conv", "add", "clip", "quantize", "max_pool"),
        *("conv", "add", "clip", "quantize", "reshape"),
        *("matmul", "quantize", "add", "quantize"),
    ]


def test_activations_are_unsigned_exactly_where_they_cannot_be_negative() -> None:
    graph = quantized(residual())
    spans = {
        node.inputs[0]: (node.op.quantizer.low, node.op.quantizer.high)
        for node in graph.nodes
        if isinstance(node.op, Quantize) and not node.inputs[0].endswith("weight")
    }
    assert spans["bias0"] == spans["x"] == (-128, 127)
    assert spans["relu1"] == spans["relu2"] == spans["mean"] == (0, 255)


def test_zero_always_is_code_zero() -> None:
    for scales in ("pow2", "free"):
        for node in quantized(residual(), options=QuantizeOptions(scales=scales)).nodes:
            if isinstance(node.op, Quantize):
                assert node.op.quantizer.zero_point == (Fraction(0),)


def test_weights_are_symmetric_per_output_channel_and_round_half_to_even() -> None:
    graph = quantized(convolutional(), options=QuantizeOptions(weights=Fixed(4), scales="free"))
    op = graph.by_name["conv2.weight_q"].op
    assert isinstance(op, Quantize)
    assert (op.quantizer.low, op.quantizer.high, op.axis) == (-7, 7, 0)
    assert op.quantizer.rounding is Rounding.HALF_EVEN
    assert 1 < len(set(op.quantizer.scale)) <= op.quantizer.channels == 4


def test_power_of_two_scales_are_powers_of_two_everywhere() -> None:
    for node in quantized(residual()).nodes:
        if isinstance(node.op, Quantize):
            for scale in node.op.quantizer.scale:
                assert scale.numerator.bit_count() == scale.denominator.bit_count() == 1


def test_free_scales_of_joined_branches_differ_by_a_power_of_two() -> None:
    graph = quantized(residual(), options=QuantizeOptions(scales="free"))
    joined = graph.by_name["joined"]
    first, second = (graph.by_name[name].op for name in joined.inputs)
    assert isinstance(first, Quantize) and isinstance(second, Quantize)
    ratio = first.quantizer.scale[0] / second.quantizer.scale[0]
    assert ratio.numerator.bit_count() == ratio.denominator.bit_count() == 1


@pytest.mark.parametrize("scales", ["pow2", "free"])
def test_logits_lie_exactly_on_the_accumulator_grid(scales: str) -> None:
    graph = quantized(convolutional(), options=QuantizeOptions(scales=scales))
    out = graph.by_name[graph.outputs[0]].op
    weights = graph.by_name["fc.weight_q"].op
    activations = graph.by_name["relu2_q"].op
    assert isinstance(out, Quantize) and isinstance(weights, Quantize) and isinstance(activations, Quantize)
    assert out.quantizer.scale == (weights.quantizer.scale[0] * activations.quantizer.scale[0],)
    assert (out.quantizer.low, out.quantizer.high, weights.axis) == (None, None, None)
    before = graph.by_name[graph.outputs[0]].inputs[0]
    x = sampled(graph)
    values = evaluate(graph, {"x": x}, (before, graph.outputs[0]))
    step = float(out.quantizer.scale[0])
    np.testing.assert_allclose(values[before] / step, np.rint(values[before] / step), atol=1e-6)
    np.testing.assert_allclose(values[before], values[graph.outputs[0]], atol=step * 1e-6)


def test_an_output_format_replaces_the_accumulator() -> None:
    graph = quantized(convolutional(), options=QuantizeOptions(output=Fixed(10, frac=5)))
    out = graph.by_name[graph.outputs[0]].op
    assert isinstance(out, Quantize)
    assert (out.quantizer.low, out.quantizer.high, out.quantizer.scale) == (-512, 511, (Fraction(1, 32),))


def test_a_softmax_or_argmax_reads_the_accumulator_and_is_not_quantized() -> None:
    for op in (Softmax(1), ArgMax(1)):
        graph = convolutional()
        graph = replace(graph, nodes=(*graph.nodes, Node("end", op, ("logits",))), outputs=("end",))
        result = quantized(graph)
        assert result.outputs == ("end",)
        source = result.by_name[result.by_name["end"].inputs[0]].op
        assert isinstance(source, Quantize) and source.quantizer.high is None


def test_a_reshaped_softmax_stays_on_the_host() -> None:
    graph = convolutional()
    ends = (Node("softmax", Softmax(1), ("logits",)), Node("end", Reshape((5,)), ("softmax",)))
    assert quantized(replace(graph, nodes=(*graph.nodes, *ends), outputs=("end",))).outputs == ("end",)


def test_joined_and_pooled_outputs_stay_exact() -> None:
    net = Network((1, 2, 4, 4))
    net.relu("a", net.conv("conv1", "x", 2, 3))
    net.node("sum", Add(), "a", net.conv("conv2", "x", 2, 3))
    net.node("pool", MaxPool(Window((2, 2), (2, 2))), "sum")
    for scales in ("pow2", "free"):
        graph = quantized(net.graph("pool"), options=QuantizeOptions(scales=scales))
        (before,) = graph.by_name["pool"].inputs
        x = sampled(graph)
        values = evaluate(graph, {"x": x}, ("sum", before))
        np.testing.assert_allclose(values["sum"], values[before], rtol=1e-12)


def test_a_sigmoid_output_gets_the_format_of_activations() -> None:
    net = Network((1, 6))
    net.node("prob", Curve("sigmoid"), net.dense("fc", "x", 6, 2))
    graph = quantized(net.graph("prob"))
    quantizer = grid_behind(graph, "prob")
    assert (quantizer.low, quantizer.high) == (0, 255)
    assert quantizer.scale[0] <= Fraction(1, 128)


@pytest.mark.parametrize("function", ["hard_swish", "gelu", "mish"])
def test_the_argument_of_a_function_that_rises_and_falls_has_few_codes(function: str) -> None:
    net = Network((1, 600))
    net.node("curve", Curve(function), net.dense("fc", "x", 600, 4))
    net.dense("end", "curve", 4, 2)
    graph = quantized(net.graph("end"))
    assert grid_behind(graph, "fc_corrected").high == 511
    assert grid_behind(graph, "curve").high == 127
    Integerize().run(graph).verify()


def test_a_leaky_activation_is_rounded_once_behind_its_bend() -> None:
    net = Network((1, 6))
    net.node("leaky", LeakyRelu(), net.dense("fc", "x", 6, 4), net.constant("slope", 0.1))
    net.dense("end", "leaky", 4, 2)
    graph = quantized(net.graph("end"))
    assert grid_behind(graph, "leaky").low == -128
    Integerize().run(graph).verify()


def test_integer_pictures_enter_without_loss() -> None:
    graph = convolutional()
    x = np.random.default_rng(0).integers(0, 256, (20, 1, 1, 6, 6)).astype(float)
    quantizer = grid_behind(quantized(graph, x), "x")
    assert (quantizer.scale, quantizer.low, quantizer.high) == ((Fraction(1),), 0, 255)
    quantizer = grid_behind(quantized(graph, x, QuantizeOptions(activations=Fixed(6))), "x")
    assert (quantizer.scale, quantizer.low, quantizer.high) == ((Fraction(4),), 0, 63)


def test_an_integer_input_type_uses_its_limits() -> None:
    net = Network((1, 6), integer=(-128, 127))
    net.dense("fc", "x", 6, 2)
    quantizer = grid_behind(quantized(net.graph("fc"), np.ones((3, 6), np.int8)), "x")
    assert (quantizer.scale, quantizer.low, quantizer.high) == ((Fraction(1),), -128, 127)


def test_overrides_by_onnx_node_change_one_layer_alone() -> None:
    overrides = {"/conv2": LayerFormats(weights=Fixed(3)), "/relu1": LayerFormats(activations=Fixed(5))}
    graph = quantized(convolutional(), options=QuantizeOptions(overrides=overrides))
    widths = {}
    for node in graph.nodes:
        if isinstance(node.op, Quantize) and node.op.quantizer.span is not None:
            widths[node.name] = node.op.quantizer.span.width
    assert widths == {
        "x_q": 8,
        "conv1.weight_q": 8,
        "relu1_q": 5,
        "conv2.weight_q": 3,
        "relu2_q": 8,
        "fc.weight_q": 8,
    }


def test_stated_fractional_bits_are_the_scale() -> None:
    options = QuantizeOptions(
        weights=Fixed(6, frac=3), overrides={"relu1": LayerFormats(activations=Fixed(7, signed=False, frac=-1))}
    )
    graph = quantized(convolutional(), options=options)
    weights = graph.by_name["conv1.weight_q"].op
    assert isinstance(weights, Quantize) and weights.quantizer.scale == (Fraction(1, 8),)
    assert grid_behind(graph, "relu1").scale == (Fraction(2),)


def test_bias_correction_moves_the_mean_of_every_layer_to_the_float_one() -> None:
    graph = convolutional()
    x = sampled(graph, 200)
    coarse = QuantizeOptions(weights=Fixed(3), activations=Fixed(8))

    def mean_error(options: QuantizeOptions) -> float:
        result = quantized(graph, x, options)
        error = run(result, x) - run(graph, x)
        return float(np.abs(error.mean(axis=0)).max())

    assert mean_error(coarse) < 0.05 * mean_error(replace(coarse, bias_correction=False))


def test_a_layer_without_bias_gets_one_from_bias_correction() -> None:
    net = Network((1, 6))
    net.dense("end", net.relu("relu", net.dense("fc", "x", 6, 4)), 4, 2)
    graph = net.graph("end")
    with_it = quantized(graph, options=QuantizeOptions(weights=Fixed(3)))
    without = quantized(graph, options=QuantizeOptions(weights=Fixed(3), bias_correction=False))
    assert isinstance(with_it.by_name["relu"].op, Clip)
    assert isinstance(with_it.by_name[with_it.by_name["relu"].inputs[0]].op, Add)
    assert isinstance(without.by_name[without.by_name["relu"].inputs[0]].op, MatMul)


def test_batch_normalization_is_folded_first() -> None:
    net = Network((1, 2, 5, 5))
    net.add("bias", net.conv("conv", "x", 2, 3), np.ones((3, 1, 1)))
    graph = net.graph("bias")
    factor = Node("factor", Constant(graph.by_name["bias.value"].op.value))  # type: ignore[attr-defined]
    graph = replace(graph, nodes=(*graph.nodes, factor, Node("bn", Mul(), ("bias", "factor"))), outputs=("bn",))
    assert not any(isinstance(node.op, Mul) for node in quantized(graph).nodes)


def test_quantizers_of_the_file_stay() -> None:
    net = Network((1, 6))
    own = Quantizer((Fraction(1, 16),), (Fraction(3),), -128, 127)
    net.node("file_q", Quantize(own), "x")
    net.dense("end", net.relu("relu", net.dense("fc", "file_q", 6, 4)), 4, 2)
    graph = quantized(net.graph("end"))
    op = graph.by_name["file_q"].op
    assert isinstance(op, Quantize) and op.quantizer == own
    assert not list(operands_off_grid(graph))


def test_a_network_that_is_quantized_already_needs_no_samples() -> None:
    graph = quantized(convolutional())
    collector = Collector()
    assert quantize(graph, None, QuantizeOptions(), collector) == graph
    assert not collector.diagnostics


def test_of_very_many_samples_evenly_spread_ones_are_used() -> None:
    graph = convolutional()
    x = sampled(graph, 2000)
    assert quantized(graph, x) == quantized(graph, x[::2])


def test_calibration_works_in_parts_that_fit_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = quantized(convolutional())
    monkeypatch.setattr("qcompile.quantize.calibration._CHUNK", 5000)
    parts = quantized(convolutional())
    x = sampled(whole)
    np.testing.assert_allclose(run(parts, x), run(whole, x), atol=1e-9)


# Diagnostics ---------------------------------------------------------------------------------------------


def test_without_samples_synthetic_ones_are_used_and_the_user_is_warned() -> None:
    collector = Collector()
    result = quantize(convolutional(), None, QuantizeOptions(input_range=(0, 255)), collector)
    assert not list(operands_off_grid(result))
    (warning,) = collector.warnings
    assert str(warning) == (
        "warning[QC202]: net: no calibration data: ranges come from 64 synthetic samples, uniform over 0..255\n"
        "  = help: give real samples with --calibrate x.npz, or the inputs' range with input_range = [low, high] "
        "under [quantize] in qcompile.toml"
    )


def errors(graph: Graph, samples: object, options: QuantizeOptions | None = None) -> list[str]:
    with pytest.raises(CompileError) as caught:
        quantize(graph, samples, options or QuantizeOptions(), Collector())  # type: ignore[arg-type]
    return [str(diagnostic) for diagnostic in caught.value.diagnostics]


def test_samples_of_another_shape_are_refused_with_the_input_s_name() -> None:
    assert errors(convolutional(), np.zeros((4, 5, 5))) == [
        'error[QC201]: input "x": the array has shape [4, 5, 5]\n'
        "  = help: give an array of numbers of shape [n, 1, 1, 6, 6] or [n, 6, 6]; n counts samples"
    ]


def two_inputs() -> Graph:
    net = Network((1, 6))
    net.nodes.append(Node("y", Input((1, 6))))
    net.node("sum", Add(), net.dense("fc", "x", 6, 4), net.dense("fd", "y", 6, 4))
    return net.graph("sum")


def test_two_inputs_take_two_arrays() -> None:
    graph = two_inputs()
    result = quantize(graph, {"x": np.eye(6) / 3, "y": np.eye(6) / 5}, QuantizeOptions(), Collector())
    assert not list(operands_off_grid(result))


def test_too_few_arrays_or_unequal_counts_are_refused() -> None:
    assert errors(two_inputs(), np.eye(6)) == [
        "error[QC201]: net: one calibration array for 2 inputs\n  = help: give an archive with the arrays x, y"
    ]
    assert errors(two_inputs(), {"x": np.eye(6)}) == [
        'error[QC201]: input "y": the calibration data have no such array\n  = help: add an array named y'
    ]
    assert errors(two_inputs(), {"x": np.eye(6), "y": np.ones((2, 6))}) == [
        "error[QC201]: net: inputs have different numbers of samples: x 6, y 2\n  = help: give each input as many"
    ]


def test_an_override_for_no_layer_offers_the_nearest_name() -> None:
    options = QuantizeOptions(overrides={"/conv_2": LayerFormats(), "elsewhere": LayerFormats()})
    near, far = errors(convolutional(), None, options)
    assert near == (
        'error[QC204]: [layers."/conv_2"]: the network has no such layer\n  = help: did you mean [layers."/conv2"]?'
    )
    assert far.startswith(
        'error[QC204]: [layers."elsewhere"]: the network has no such layer\n  = help: the layers are x, '
    )


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        (
            {"scales": "pow"},
            "error[QC505]: scales: 'pow' is not a choice\n  = help: write one of pow2, free, dyadic",
        ),
        (
            {"weight_range": "max"},
            "error[QC505]: weight_range: 'max' is not a choice\n  = help: write one of minmax, absmean, mse, output",
        ),
        (
            {"activation_range": "percentile:12"},
            "error[QC505]: activation_range: 'percentile:12' is not a choice\n"
            "  = help: write minmax, mse, kl, or percentile:P with 50 < P <= 100, as in percentile:99.9",
        ),
        (
            {"output": "logits"},
            "error[QC505]: output: 'logits' is not a choice\n  = help: write accumulator, or a format as in fixed:16",
        ),
        (
            {"input_range": (1.0, 1.0)},
            "error[QC505]: input_range: [1.0, 1.0] is empty\n  = help: write [low, high] with low < high",
        ),
    ],
)
def test_an_impossible_option_is_refused(wrong: dict[str, object], text: str) -> None:
    with pytest.raises(CompileError) as caught:
        QuantizeOptions(**wrong)  # type: ignore[arg-type]
    assert str(caught.value) == text


def test_a_percentile_is_read_from_its_text() -> None:
    assert QuantizeOptions(activation_range="percentile:99.9").percentile == 99.9
    assert QuantizeOptions().percentile is None


def test_depthwise_convolutions_get_a_scale_per_channel() -> None:
    net = Network((1, 4, 5, 5))
    net.relu("relu", net.conv("dw", "x", 4, 4, groups=4))
    net.conv("pw", "relu", 4, 2, kernel=1, pad=0)
    graph = quantized(net.graph("pw"))
    op = graph.by_name["dw.weight_q"].op
    assert isinstance(op, Quantize) and op.quantizer.channels in (1, 4)
    assert isinstance(graph.by_name["dw"].op, Conv)
    Integerize().run(graph).verify()
