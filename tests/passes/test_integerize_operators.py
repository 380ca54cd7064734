"""Every model operation as integers: the emulator equals the model graph's exact values."""

from fractions import Fraction

import numpy as np
import pytest
from small_networks import COARSE, INPUT, Network, check_exact, integers, samples

from qcompile.emulator import Emulator
from qcompile.ir import model
from qcompile.ir.graph import Node
from qcompile.ir.model import evaluate
from qcompile.ir.window import Window
from qcompile.numerics.bipolar import BipolarQuantizer
from qcompile.numerics.minifloat import MiniFloatQuantizer
from qcompile.numerics.quantizer import Quantizer
from qcompile.numerics.rounding import Rounding
from qcompile.numerics.thresholds import ThresholdQuantizer

UNBOUNDED = Quantizer((Fraction(1, 2),))
PER_CHANNEL = Quantizer((Fraction(1, 2), Fraction(1, 4), Fraction(1)), low=-8, high=7)
E2M1 = MiniFloatQuantizer.of((Fraction(1, 4),), 2, 1, 1, Fraction(6))
STAIRS = ThresholdQuantizer.of(((Fraction(-1), Fraction(1, 4), Fraction(1)),), Fraction(1, 2), Fraction(-1))
SIGN = BipolarQuantizer((Fraction(1, 2),))


def image() -> Network:
    return Network(1, 3, 4, 4)


def test_a_constant_per_channel_is_added_and_multiplied():
    n = image()
    y = n.add(model.Add(), n.x, n.random(1, 3, 1, 1))
    check_exact(n.graph(n.add(model.Mul(), y, n.random(1, 3, 1, 1, seed=2))))


def test_a_constant_per_element_is_added():
    n = image()
    check_exact(n.graph(n.add(model.Add(), n.x, n.random(1, 3, 4, 4))))


def test_a_constant_that_widens_a_tensor_repeats_its_elements():
    n = Network(1, 3, 1, 4, 4)
    y = n.add(model.Add(), n.x, n.constant(-1.0, 0.0, 0.5, shape=(1, 1, 3, 1, 1)))
    y = n.quantize(y, Quantizer((Fraction(1, 2),), low=0, high=1))
    check_exact(n.graph(n.add(model.Reshape((1, 9, 4, 4)), y)))


def test_a_quotient_by_a_constant_is_exact():
    n = image()
    y = n.add(model.Div(), n.x, n.constant(0.5, -0.25, 8.0, shape=(1, 3, 1, 1)))
    check_exact(n.graph(y))


def test_the_quotient_by_three_is_not_rounded_before_its_quantizer():
    n = Network(1, 4)
    check_exact(n.graph(n.quantize(n.add(model.Div(), n.x, n.constant(3.0)), UNBOUNDED)))


@pytest.mark.parametrize("op", [model.Add(), model.Mul(), model.Maximum(), model.Minimum()], ids=lambda op: op.mnemonic)
def test_tensors_with_different_scales_per_channel_meet_exactly(op):
    n = image()
    a = n.add(model.Mul(), n.x, n.constant(0.75, -1.5, 2.0, shape=(1, 3, 1, 1)))
    b = n.add(model.Add(), n.quantize(n.x), n.random(1, 3, 1, 1))
    check_exact(n.graph(n.add(op, a, b)))


@pytest.mark.parametrize("op", [model.Add(), model.Mul(), model.Maximum(), model.Minimum()], ids=lambda op: op.mnemonic)
def test_a_pooled_tensor_is_broadcast_over_an_image(op):
    n = image()
    pooled = n.add(model.Reduce("sum", (2, 3)), n.x)
    check_exact(n.graph(n.add(op, n.x, pooled)))


@pytest.mark.parametrize("op", [model.Maximum(), model.Minimum()], ids=lambda op: op.mnemonic)
@pytest.mark.parametrize("shape", [(), (1, 3, 1, 1)], ids=["one bound", "a bound per channel"])
def test_bounds_are_exact(op, shape):
    n = image()
    check_exact(n.graph(n.add(op, n.x, n.random(*shape, seed=3))))


@pytest.mark.parametrize("or_equal", [False, True], ids=["above", "at least"])
@pytest.mark.parametrize("swapped", [False, True], ids=["tensor first", "constant first"])
def test_comparisons_with_constants_include_equality_only_where_asked(or_equal, swapped):
    n = image()
    operands = (n.x, n.constant(-0.25, 0.0, 0.5, shape=(1, 3, 1, 1)))
    check_exact(n.graph(n.add(model.Greater(or_equal), *operands[:: -1 if swapped else 1])))


@pytest.mark.parametrize("op", [model.Greater(), model.Greater(True), model.Equal()], ids=str)
def test_tensors_are_compared_by_their_difference(op):
    n = image()
    check_exact(n.graph(n.add(op, n.x, n.quantize(n.x))))


@pytest.mark.parametrize("constants", ["none", "first", "second", "both"])
def test_where_takes_tensors_and_constants(constants):
    n = image()
    test = n.add(model.Greater(), n.x, n.constant(0.25))
    a = n.random(1, 3, 1, 1) if constants in ("first", "both") else n.quantize(n.x)
    b = n.constant(0.375) if constants in ("second", "both") else n.add(model.Mul(), n.x, n.constant(-3.0))
    check_exact(n.graph(n.add(model.Where(), test, a, b)))


def test_where_with_a_constant_condition_keeps_one_side_per_channel():
    n = image()
    test = n.constant(1.0, 0.0, 1.0, shape=(1, 3, 1, 1))
    check_exact(n.graph(n.add(model.Where(), test, n.quantize(n.x), n.x)))


@pytest.mark.parametrize("slopes", [(0.25,), (-0.5,), (2.0,), (0.25, -1.0, 3.0), (0.0,)], ids=str)
@pytest.mark.parametrize("quantized", [False, True], ids=["exact", "quantized"])
def test_leaky_slopes_of_any_size_bend_at_zero(slopes, quantized):
    n = image()
    shape = (1, len(slopes), 1, 1)
    y = n.add(model.Add(), n.x, n.constant(0.125))
    y = n.add(model.LeakyRelu(), y, n.constant(*slopes, shape=shape))
    check_exact(n.graph(n.quantize(y) if quantized else n.add(model.Add(), y, n.x)))


def test_a_wide_accumulator_bends_downwards_before_its_quantizer():
    n = Network(1, 64)
    y = n.add(model.MatMul(), n.x, n.random(64, 4))
    y = n.add(model.LeakyRelu(), y, n.constant(-0.5, 0.5, 2.0, 0.0, shape=(1, 4)))
    check_exact(n.graph(n.quantize(y)))


@pytest.mark.parametrize("low,high", [(0.0, None), (0.0, 1.0), (-0.3125, 0.3125), (None, 0.0)], ids=str)
def test_clipped_tensors_are_added_exactly(low, high):
    n = image()
    y = n.add(model.Mul(), n.x, n.random(1, 3, 1, 1, seed=5))
    y = n.add(model.Clip(low, high), n.add(model.Add(), y, n.random(1, 3, 1, 1)))
    check_exact(n.graph(n.add(model.Add(), y, n.x)))


@pytest.mark.parametrize("name", ["hard_swish", "absolute", "square", "sign", "softsign"])
def test_rational_functions_are_exact(name):
    n = image()
    check_exact(n.graph(n.quantize(n.add(model.Curve(name), n.x), UNBOUNDED)))


def test_the_sign_needs_no_quantizer():
    n = image()
    check_exact(n.graph(n.add(model.Add(), n.add(model.Curve("sign"), n.x), n.x)))


@pytest.mark.parametrize("quantizer", [SIGN, E2M1, STAIRS], ids=lambda q: type(q).__name__)
@pytest.mark.parametrize("negative", [False, True], ids=["rising", "falling"])
def test_codes_with_gaps_come_from_any_accumulator(quantizer, negative):
    n = Network(1, 16)
    y = n.add(model.MatMul(), n.x, n.random(16, 5))
    y = n.add(model.Mul(), y, n.constant(-0.5 if negative else 0.5))
    check_exact(n.graph(n.add(model.Add(), n.quantize(y, quantizer), n.random(1, 5))))


def test_gaps_behind_a_function_that_rises_and_falls_come_from_a_table():
    n = Network(1, 6)
    check_exact(n.graph(n.quantize(n.add(model.Curve("absolute"), n.x), E2M1)))


@pytest.mark.parametrize("rounding", list(Rounding), ids=str)
def test_every_rounding_of_ties_is_kept(rounding):
    n = Network(1, 6)
    check_exact(n.graph(n.quantize(n.x, Quantizer((Fraction(1, 2),), low=-3, high=3, rounding=rounding))))


def test_scales_per_channel_follow_the_channels_of_an_activation():
    n = image()
    y = n.quantize(n.x, PER_CHANNEL, axis=1)
    check_exact(n.graph(n.add(model.Transpose((0, 2, 3, 1)), y)))


def test_an_input_takes_scales_and_shifts_per_channel_with_it():
    n = Network(1, 3, 4, 4, quantizer=None)
    y = n.add(model.Add(), "x", n.random(1, 3, 1, 1))
    y = n.add(model.Mul(), y, n.constant(0.5, -2.0, 4.0, shape=(1, 3, 1, 1)))
    check_exact(n.graph(n.quantize(n.quantize(y, PER_CHANNEL, axis=1))))


@pytest.mark.parametrize("axis", [1, 2, 3])
def test_tensors_of_different_grids_join_along_any_axis(axis):
    n = image()
    check_exact(n.graph(n.add(model.Concat(axis), n.x, n.quantize(n.x), n.random(1, 3, 4, 4))))


def test_joined_channels_are_convolved_together():
    n = image()
    y = n.add(model.Concat(1), n.x, n.quantize(n.x, PER_CHANNEL, axis=1))
    check_exact(n.graph(n.add(model.Conv(Window((3, 3), pads=(1, 1, 1, 1))), y, n.random(2, 6, 3, 3))))


def test_split_channels_go_their_own_ways():
    n = image()
    a, b = n.add(model.Take(1, (0, 1)), n.x), n.add(model.Take(1, (2,)), n.x)
    a = n.quantize(n.add(model.Conv(Window((1, 1))), a, n.random(2, 2, 1, 1)))
    check_exact(n.graph(n.add(model.Concat(1), b, a)))


def test_nearest_resizing_repeats_pixels():
    n = image()
    y = n.add(model.Take(3, (0, 0, 1, 1, 2, 2, 3, 3)), n.add(model.Take(2, (0, 0, 1, 1, 2, 2, 3, 3)), n.x))
    check_exact(n.graph(n.add(model.Conv(Window((2, 2))), y, n.random(2, 3, 2, 2))))


def test_depth_moves_to_space_between_two_convolutions():
    n = Network(1, 8, 2, 2)
    y = n.add(model.Conv(Window((1, 1))), n.x, n.random(8, 8, 1, 1))
    y = n.add(model.Reshape((1, 2, 2, 2, 2, 2)), n.quantize(y))
    y = n.add(model.Reshape((1, 2, 4, 4)), n.add(model.Transpose((0, 3, 4, 1, 5, 2)), y))
    check_exact(n.graph(n.add(model.Conv(Window((3, 3))), y, n.random(1, 2, 3, 3, seed=4))))


@pytest.mark.parametrize("value", [0.0, 0.375], ids=["zero", "another value"])
@pytest.mark.parametrize(
    "before,after", [((0, 0, 1, 0), (0, 0, 2, 1)), ((0, 1, 0, 0), (0, 0, 0, 0)), ((0, 0, 0, 0), (0, 2, 1, 1))], ids=str
)
def test_pads_surround_images_and_channels(value, before, after):
    n = image()
    y = n.add(model.Pad(before, after, value), n.x)
    channels = 3 + before[1] + after[1]
    check_exact(n.graph(n.add(model.Conv(Window((2, 2))), y, n.random(2, channels, 2, 2))))


def test_a_zero_pad_in_front_of_a_convolution_becomes_its_own():
    n = image()
    y = n.add(model.Pad((0, 0, 1, 1), (0, 0, 1, 1)), n.x)
    golden = check_exact(n.graph(n.add(model.Conv(Window((3, 3))), y, n.random(2, 3, 3, 3))))
    assert [node.op.mnemonic for node in golden.nodes] == ["input", "conv", "output"]


@pytest.mark.parametrize("function", ["sum", "mean", "max", "min"])
@pytest.mark.parametrize("axes", [(2, 3), (1,), (3,), (1, 2, 3)], ids=str)
@pytest.mark.parametrize("keepdims", [False, True], ids=["axes go", "axes stay"])
def test_reductions_over_any_axes_are_exact(function, axes, keepdims):
    if function == "mean" and axes in ((1,), (1, 2, 3)):
        axes = tuple(a for a in axes if a != 1) or (2,)
    n = image()
    y = n.add(model.Mul(), n.x, n.constant(0.5, -2.0, 4.0, shape=(1, 3, 1, 1)))
    check_exact(n.graph(n.add(model.Reduce(function, axes, keepdims), y)))


@pytest.mark.parametrize("count_pads", [False, True])
def test_average_pools_divide_by_the_elements_they_cover(count_pads):
    n = image()
    window = Window((2, 2), (2, 2), (0, 0, 0, 0)) if not count_pads else Window((2, 2), (2, 2), (1, 1, 1, 1))
    check_exact(n.graph(n.add(model.AveragePool(window, count_pads), n.x)))


def test_border_windows_of_average_pools_have_their_own_divisor():
    n = image()
    y = n.add(model.AveragePool(Window((2, 2), (1, 1), (1, 1, 1, 1))), n.x)
    check_exact(n.graph(n.quantize(y)))


@pytest.mark.parametrize("axis", [1, 3])
def test_the_first_of_the_largest_is_found_along_an_axis(axis):
    n = image()
    check_exact(n.graph(n.add(model.ArgMax(axis), n.x)))


def test_the_largest_share_of_a_softmax_is_the_largest_score():
    n = Network(1, 5)
    y = n.add(model.Softmax(1), n.add(model.MatMul(), n.x, n.random(5, 5)))
    golden = check_exact(n.graph(n.add(model.ArgMax(1), y)))
    assert golden.nodes[-2].op.mnemonic == "argmax"
    assert golden.nodes[-1].op.host is None


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("rows", [1, 3])
def test_matrix_products_with_constants_on_either_side(side, rows):
    n = Network(rows, 4)
    operands = (n.x, n.random(4, 5)) if side == "right" else (n.random(5, rows), n.x)
    check_exact(n.graph(n.add(model.MatMul(), *operands)))


def test_constants_are_folded_as_fractions():
    n = Network(1, 4)
    third = n.add(model.Div(), n.constant(1.0), n.constant(3.0))
    graph = n.graph(n.add(model.Mul(), n.add(model.Mul(), n.x, third), n.constant(3.0)))
    x = samples(graph)
    (found,) = Emulator(integers(graph))(x).values()
    np.testing.assert_array_equal(found, INPUT.values(INPUT.codes(x)))


def test_an_integer_input_needs_no_quantizer():
    n = Network(1, 4, quantizer=None)
    n.nodes[0] = Node("x", model.Input((1, 4), (0, 255)))
    graph = n.graph(n.add(model.Add(), n.add(model.MatMul(), "x", n.random(4, 3)), n.random(1, 3)))
    x = np.random.default_rng(0).integers(0, 256, (9, 1, 4)).astype(np.float64)
    (found,) = Emulator(integers(graph))(x).values()
    np.testing.assert_array_equal(found, evaluate(graph, {"x": x})[graph.outputs[0]])


def test_a_value_that_two_layers_need_is_computed_once():
    n = image()
    codes = n.quantize(n.x, COARSE)
    a = n.add(model.Conv(Window((1, 1))), codes, n.random(3, 3, 1, 1))
    check_exact(n.graph(n.add(model.Add(), n.quantize(a), codes)))


def test_a_function_at_the_output_is_the_hosts():
    n = Network(1, 5)
    y = n.add(model.Curve("sigmoid"), n.add(model.MatMul(), n.x, n.random(5, 5)))
    golden = check_exact(n.graph(y))
    assert golden.nodes[-1].op.host == "sigmoid"


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_the_first_axis_of_a_tensor_need_not_be_a_batch(axis):
    n = Network(2, 3, 4)
    check_exact(n.graph(n.add(model.ArgMax(axis, keepdims=False), n.x)))


@pytest.mark.parametrize("integer", [False, True], ids=["real input", "integer input"])
def test_readers_of_one_input_share_it(integer):
    n = Network(1, 4, quantizer=None)
    n.nodes[0] = Node("x", model.Input((1, 4), (-3, 5) if integer else None))
    a, b = ("x", "x") if integer else (n.quantize("x", INPUT), n.quantize("x", INPUT))
    b = n.add(model.Reshape((1, 2, 2)), b)
    b = n.add(model.Reshape((1, 2)), n.add(model.Reduce("sum", (1,)), b))
    graph = n.graph(n.add(model.Add(), n.add(model.MatMul(), a, n.random(4, 2)), b))
    x = np.random.default_rng(0).integers(-3, 6, (9, 1, 4)).astype(np.float64)
    (found,) = Emulator(integers(graph))(x).values()
    np.testing.assert_array_equal(found, evaluate(graph, {"x": x})[graph.outputs[0]])
