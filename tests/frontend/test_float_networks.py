"""Float operators in the forms that exporters write, against onnxruntime."""

from __future__ import annotations

import numpy as np
import pytest
from graphs import agrees, kinds, make, node, normal
from onnx import TensorProto

from qcompile.frontend import read
from qcompile.ir import model

W = normal(4, 3, 3, 3, seed=1)
IMAGE = {"x": [1, 3, 7, 8]}
X = normal(1, 3, 7, 8)


def conv(weights=W, **attributes):
    return make([node("Conv", "x w", **attributes)], IMAGE, "y", {"w": weights})


@pytest.mark.parametrize(
    "attributes",
    [
        {},
        {"pads": [1, 2, 0, 1]},
        {"strides": [2, 3], "pads": [1, 1, 1, 1]},
        {"dilations": [2, 2]},
        {"auto_pad": "SAME_UPPER", "strides": [2, 2]},
        {"auto_pad": "SAME_LOWER", "strides": [2, 3]},
        {"auto_pad": "VALID"},
        {"kernel_shape": [3, 3]},
    ],
    ids=str,
)
def test_a_convolution_has_onnx_s_attributes_and_defaults(attributes):
    agrees(conv(**attributes), X)


def test_depthwise_and_grouped_convolutions_agree():
    agrees(conv(normal(3, 1, 3, 3), group=3), X)
    agrees(conv(normal(6, 1, 2, 2), group=3), X)


def test_a_one_dimensional_convolution_is_one_row_of_a_two_dimensional_one():
    built = make(
        [node("Conv", "x w b", strides=[2], pads=[1, 2])],
        {"x": [1, 3, 9]},
        "y",
        {"w": normal(4, 3, 3), "b": normal(4)},
    )
    imported = agrees(built, normal(1, 3, 9))
    assert kinds(imported) == ["input", "reshape", "conv", "add", "reshape"]


@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("alpha, beta", [(1.0, 1.0), (0.3, 0.7)])
def test_gemm_scales_and_transposes(transposed, alpha, beta):
    weights = normal(6, 5, seed=2).T if transposed else normal(6, 5, seed=2)
    built = make(
        [node("Gemm", "x w c", alpha=alpha, beta=beta, transB=int(transposed))],
        {"x": [1, 6]},
        "y",
        {"w": np.ascontiguousarray(weights), "c": normal(5)},
    )
    agrees(built, normal(1, 6))


def test_gemm_can_transpose_its_first_operand_and_do_without_a_bias():
    built = make([node("Gemm", "x w", transA=1)], {"x": [6, 1]}, "y", {"w": normal(6, 5)})
    agrees(built, normal(6, 1))


def test_matmul_takes_a_constant_on_either_side_and_vectors():
    agrees(make([node("MatMul", "x w")], {"x": [1, 2, 6]}, "y", {"w": normal(6, 5)}), normal(1, 2, 6))
    agrees(make([node("MatMul", "w x")], {"x": [6, 3]}, "y", {"w": normal(5, 6)}), normal(6, 3))
    agrees(make([node("MatMul", "x w")], {"x": [2, 6]}, "y", {"w": normal(6)}), normal(2, 6))
    agrees(make([node("MatMul", "w x")], {"x": [6, 2]}, "y", {"w": normal(6)}), normal(6, 2))


@pytest.mark.parametrize(
    "nodes",
    [
        [node("MaxPool", "x", kernel_shape=[2, 2])],
        [node("MaxPool", "x", kernel_shape=[3, 2], strides=[2, 2], pads=[1, 0, 1, 1])],
        [node("MaxPool", "x", kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1)],
        [node("MaxPool", "x", kernel_shape=[2, 2], dilations=[2, 2])],
        [node("AveragePool", "x", kernel_shape=[2, 3], strides=[2, 2])],
        [node("AveragePool", "x", kernel_shape=[3, 3], pads=[1, 1, 1, 1])],
        [node("AveragePool", "x", kernel_shape=[3, 3], pads=[1, 1, 1, 1], count_include_pad=1)],
        [node("AveragePool", "x", kernel_shape=[2, 2], strides=[2, 2], ceil_mode=1)],
        [node("AveragePool", "x", kernel_shape=[3, 3], auto_pad="SAME_UPPER", strides=[2, 2])],
        [node("GlobalAveragePool", "x")],
        [node("GlobalMaxPool", "x")],
    ],
    ids=str,
)
def test_pooling_agrees(nodes):
    agrees(make(nodes, IMAGE, "y"), X)


def test_pooling_over_one_dimension_agrees():
    agrees(make([node("MaxPool", "x", kernel_shape=[3], strides=[2])], {"x": [1, 3, 9]}, "y"), normal(1, 3, 9))


def test_batch_normalization_is_one_factor_and_one_offset_per_channel():
    built = make(
        [node("BatchNormalization", "x g b m v", epsilon=1e-3)],
        IMAGE,
        "y",
        {"g": normal(3), "b": normal(3, seed=1), "m": normal(3, seed=2), "v": np.abs(normal(3, seed=3))},
    )
    assert kinds(agrees(built, X)) == ["input", "mul", "add"]


@pytest.mark.parametrize(
    "op, constant",
    [("Add", "xc"), ("Add", "cx"), ("Sub", "xc"), ("Sub", "cx"), ("Mul", "xc"), ("Mul", "cx"), ("Div", "xc")],
)
def test_a_constant_may_stand_on_either_side(op, constant):
    inputs = {"xc": "x c", "cx": "c x"}[constant]
    built = make([node(op, inputs)], IMAGE, "y", {"c": normal(3, 1, 1)})
    agrees(built, X)


def test_a_division_is_not_turned_into_a_product_with_a_rounded_reciprocal():
    built = make([node("Div", "x c")], IMAGE, "y", {"c": np.float32(3)})
    assert kinds(agrees(built, X)) == ["input", "div"]


@pytest.mark.parametrize(
    "nodes",
    [
        [node("Relu", "x")],
        [node("LeakyRelu", "x")],
        [node("LeakyRelu", "x", alpha=0.3)],
        [node("Sigmoid", "x")],
        [node("Tanh", "x")],
        [node("Exp", "x")],
        [node("Erf", "x")],
        [node("HardSigmoid", "x")],
        [node("HardSwish", "x")],
        [node("Elu", "x", alpha=0.5)],
        [node("Selu", "x")],
        [node("Celu", "x", alpha=0.7)],
        [node("Softplus", "x")],
        [node("Softsign", "x")],
        [node("Sign", "x")],
        [node("Abs", "x")],
        [node("Neg", "x")],
        [node("Round", "x")],
        [node("Floor", "x")],
        [node("Ceil", "x")],
        [node("ThresholdedRelu", "x", alpha=0.4)],
        [node("Identity", "x")],
        [node("Dropout", "x")],
        [node("Softmax", "x", axis=1)],
        [node("ArgMax", "x", axis=1)],
        [node("ReduceMean", "x", axes=[2, 3])],
        [node("ReduceMean", "x", axes=[1], keepdims=0)],
        [node("ReduceMax", "x", axes=[-1])],
        [node("Flatten", "x")],
        [node("Flatten", "x", axis=2)],
        [node("Transpose", "x")],
        [node("Transpose", "x", perm=[0, 2, 3, 1])],
        [node("SpaceToDepth", "z", blocksize=2)],
        [node("Split", "x", "y a", axis=3)],
        [node("Mean", "x x x")],
    ],
    ids=lambda nodes: " ".join(f"{n.op_type} {[a.name for a in n.attribute]}" for n in nodes),
)
def test_an_operator_of_one_input_agrees(nodes):
    x = np.round(X, 1)
    output = ("y", TensorProto.INT64) if nodes[0].op_type == "ArgMax" else "y"
    built = make([node("Transpose", "x", "z", perm=[0, 1, 3, 2]), *nodes], {"x": [1, 3, 8, 8]}, output, opset=16)
    agrees(built, np.concatenate([x, x[:, :, :1]], 2))


@pytest.mark.parametrize("opset", [7, 9, 11, 13, 17, 21])
def test_clip_reads_attributes_and_inputs(opset):
    if opset < 11:
        built = make([node("Clip", "x", min=-0.5, max=0.7)], IMAGE, "y", opset=opset)
    else:
        constants = {"low": np.float32(-0.5), "high": np.float32(0.7)}
        built = make([node("Clip", "x low high")], IMAGE, "y", constants, opset=opset)
    imported = agrees(built, X)
    assert imported.graph.nodes[-1].op == model.Clip(-0.5, float(np.float32(0.7)))


def test_a_clip_to_the_largest_floats_is_open():
    constants = {"low": np.float32(0), "high": np.float32(np.finfo(np.float32).max)}
    imported = read(make([node("Clip", "x low high")], IMAGE, "y", constants))
    assert imported.graph.nodes[-1].op == model.Clip(0.0, None)


@pytest.mark.parametrize("opset", [11, 13])
def test_squeeze_and_unsqueeze_read_axes_from_both_places(opset):
    if opset < 13:
        nodes = [node("Unsqueeze", "x", "a", axes=[1, -1]), node("Squeeze", "a", "y", axes=[0])]
        constants = {}
    else:
        nodes = [node("Unsqueeze", "x u", "a"), node("Squeeze", "a s", "y")]
        constants = {"u": np.array([1, -1]), "s": np.array([0])}
    agrees(make(nodes, {"x": [1, 3]}, "y", constants, opset=opset), normal(1, 3))


@pytest.mark.parametrize(
    "op, inputs, constants, attributes",
    [
        ("Slice", "x s e a t", {"s": [1, -1], "e": [6, -9], "a": [2, 3], "t": [2, -2]}, {}),
        ("Slice", "x s e", {"s": [0, 0, 1], "e": [1, 9, 3]}, {}),
        ("Gather", "x i", {"i": [[0, -1], [1, 1]]}, {"axis": 2}),
        ("Gather", "x i", {"i": 1}, {"axis": 1}),
        ("Tile", "x r", {"r": [1, 2, 1, 3]}, {}),
        ("Expand", "x s", {"s": [2, 1, 1, 7, 8]}, {}),
        ("Pad", "x p", {"p": [0, 0, 1, 2, 0, 1, 0, 0]}, {}),
        ("Pad", "x p v", {"p": [0, 0, 1, -2, 0, 0, 0, 1], "v": np.float32(1.5)}, {}),
        ("Pad", "x p", {"p": [0, 0, 2, 1, 0, 0, 3, 0]}, {"mode": "reflect"}),
        ("Pad", "x p", {"p": [0, 0, 2, 1, 0, 0, 3, 0]}, {"mode": "edge"}),
        ("Split", "x s", {"s": [1, 2]}, {"axis": 1}),
        ("Reshape", "x s", {"s": [0, -1, 4]}, {}),
        ("Concat", "x x c", {"c": normal(1, 1, 7, 8)}, {"axis": 1}),
        ("PRelu", "x c", {"c": np.abs(normal(3, 1, 1))}, {}),
        ("Max", "x c", {"c": np.float32(0.2)}, {}),
        ("Min", "x c x", {"c": normal(7, 8)}, {}),
        ("Pow", "x c", {"c": np.float32(2)}, {}),
        ("Sum", "x c x", {"c": normal(7, 8)}, {}),
    ],
)
def test_an_operator_with_constant_inputs_agrees(op, inputs, constants, attributes):
    arrays = {n: np.asarray(c) if isinstance(c, np.ndarray | np.float32) else np.array(c) for n, c in constants.items()}
    outputs = "y z" if op == "Split" else "y"
    agrees(make([node(op, inputs, outputs, **attributes)], IMAGE, outputs.split(), arrays), X)


@pytest.mark.parametrize("rule", ["asymmetric", "half_pixel", "pytorch_half_pixel", "align_corners"])
@pytest.mark.parametrize("nearest", ["floor", "ceil", "round_prefer_floor", "round_prefer_ceil"])
@pytest.mark.parametrize("scales", [[1, 1, 2, 3], [1, 1, 0.5, 1.5]], ids=str)
def test_nearest_neighbour_resizing_copies_the_same_pixels(rule, nearest, scales):
    built = make(
        [node("Resize", "x  s", coordinate_transformation_mode=rule, nearest_mode=nearest, mode="nearest")],
        IMAGE,
        "y",
        {"s": np.array(scales, np.float32)},
    )
    agrees(built, X)


@pytest.mark.parametrize("op", ["Greater", "Less", "GreaterOrEqual", "LessOrEqual"])
def test_comparisons_choose_between_tensors(op):
    built = make(
        [
            node(op, "x c", "t"),
            node("Not", "t", "n"),
            node("And", "t n", "a"),
            node("Or", "a t", "o"),
            node("Where", "o x d", "y"),
        ],
        IMAGE,
        "y",
        {"c": np.round(normal(7, 8), 1), "d": np.float32(-9)},
    )
    agrees(built, np.round(X, 1))


@pytest.mark.parametrize("mode", ["DCR", "CRD"])
def test_depth_becomes_space(mode):
    built = make([node("DepthToSpace", "x", blocksize=2, mode=mode)], {"x": [1, 12, 3, 2]}, "y")
    agrees(built, normal(1, 12, 3, 2))


@pytest.mark.parametrize(
    "attributes",
    [
        {},
        {"strides": [2, 2]},
        {"strides": [2, 3], "pads": [1, 0, 1, 2], "output_padding": [1, 1]},
        {"dilations": [2, 1]},
        {"strides": [2, 2], "auto_pad": "SAME_UPPER"},
        {"strides": [2, 2], "output_shape": [15, 15]},
        {"group": 3, "strides": [2, 2]},
    ],
    ids=str,
)
def test_a_transposed_convolution_is_a_convolution_of_the_spread_image(attributes):
    outs = 2 if "group" in attributes else 4
    built = make(
        [node("ConvTranspose", "x w b", **attributes)],
        IMAGE,
        "y",
        {"w": normal(3, outs, 3, 3), "b": normal(outs * attributes.get("group", 1))},
    )
    agrees(built, X)


def test_top_1_gives_the_value_and_its_place():
    built = make(
        [node("TopK", "x k", "v y", axis=1)], {"x": [1, 9]}, ["v", ("y", TensorProto.INT64)], {"k": np.array([1])}
    )
    agrees(built, normal(1, 9))


def test_softmax_before_opset_13_normalizes_all_axes_behind():
    agrees(make([node("Softmax", "x", axis=1)], IMAGE, "y", opset=11), X)


def test_shape_arithmetic_is_folded():
    built = make(
        [
            node("Shape", "x", "s"),
            node("Gather", "s zero", "n", axis=0),
            node("Unsqueeze", "n axes", "n1"),
            node("Concat", "n1 rest", "shape", axis=0),
            node("Reshape", "x shape", "y"),
        ],
        {"x": ["batch", 2, 6]},
        "y",
        {"zero": np.array(0), "axes": np.array([0]), "rest": np.array([-1])},
    )
    imported = agrees(built, normal(1, 2, 6))
    assert kinds(imported) == ["input", "reshape"]
    assert imported.outputs[0].shape == (1, 12)


def test_constant_sub_graphs_are_computed_as_onnx_does():
    built = make(
        [
            node("Constant", "", "half", value_float=0.5),
            node("Pow", "v half", "root"),
            node("Add", "root eps", "divisor"),
            node("Div", "x divisor", "y"),
        ],
        {"x": [1, 3]},
        "y",
        {"v": np.abs(normal(3)), "eps": np.float32(1e-3)},
    )
    built.graph.node[0].ClearField("input")
    imported = agrees(built, normal(1, 3))
    divisor = imported.graph.by_name[imported.graph.nodes[-1].inputs[1]].op.value.values
    assert (divisor == divisor.astype(np.float32)).all()


def test_a_residual_join_adds_two_computed_tensors():
    built = make(
        [node("Conv", "x w", "a", pads=[1, 1, 1, 1]), node("Add", "a x", "y")], IMAGE, "y", {"w": normal(3, 3, 3, 3)}
    )
    assert kinds(agrees(built, X)) == ["input", "conv", "add"]


def test_a_batch_of_several_is_evaluated_as_it_is():
    built = make([node("Conv", "x w b")], {"x": [2, 3, 7, 8]}, "y", {"w": W, "b": normal(4)})
    agrees(built, normal(2, 3, 7, 8))


@pytest.mark.parametrize("inputs", ["x s", "s x"])
def test_a_number_times_its_sigmoid_is_one_function(inputs):
    built = make([node("Sigmoid", "x", "s"), node("Mul", inputs, "y")], IMAGE, "y")
    imported = agrees(built, X)
    assert kinds(imported) == ["input", "curve"]
    assert imported.graph.nodes[-1].op.function == "swish"


_ROOT_2, _ROOT_HALF = np.float32(np.sqrt(2)), np.float32(np.sqrt(0.5))
_GELU_GATES = {
    "x / r": [node("Div", "x r", "d")],
    "x * s": [node("Mul", "x s", "d")],
    "s * x": [node("Mul", "s x", "d")],
}
_GELU_PRODUCTS = {
    "(x * gate) * half": [node("Mul", "x g", "p"), node("Mul", "p h")],
    "half * (gate * x)": [node("Mul", "g x", "p"), node("Mul", "h p")],
    "(x * half) * gate": [node("Mul", "x h", "p"), node("Mul", "p g")],
    "gate * (half * x)": [node("Mul", "h x", "p"), node("Mul", "g p")],
    "x * (gate * half)": [node("Mul", "g h", "p"), node("Mul", "x p")],
    "(half * gate) * x": [node("Mul", "h g", "p"), node("Mul", "p x")],
}


def erf_gelu(gate, product, add="e o", **changed):
    nodes = [*_GELU_GATES[gate], node("Erf", "d", "e"), node("Add", add, "g"), *_GELU_PRODUCTS[product]]
    constants = {"r": _ROOT_2, "s": _ROOT_HALF, "o": np.float32(1), "h": np.float32(0.5)} | changed
    return make(nodes, IMAGE, "y", constants)


@pytest.mark.parametrize("gate", _GELU_GATES)
@pytest.mark.parametrize("product", _GELU_PRODUCTS)
@pytest.mark.parametrize("add", ["e o", "o e"])
def test_a_gelu_written_with_erf_is_one_function(gate, product, add):
    imported = agrees(erf_gelu(gate, product, add), X)
    assert kinds(imported) == ["input", "curve"]
    assert imported.graph.nodes[-1].op.function == "gelu"


@pytest.mark.parametrize(
    "changed",
    [
        {"h": np.float32(0.25)},
        {"o": np.float32(2)},
        {"r": np.float32(1.4140625)},
        {"h": np.array([0.5, 0.5, 1], np.float32).reshape(3, 1, 1)},
        {"h": np.full((1, 1, 1, 1, 1), 0.5, np.float32)},
    ],
    ids=str,
)
@pytest.mark.parametrize("product", _GELU_PRODUCTS)
def test_what_only_resembles_a_gelu_keeps_its_meaning(product, changed):
    assert "erf" in [
        n.op.function for n in agrees(erf_gelu("x / r", product, **changed), X).graph.nodes if n.op.mnemonic == "curve"
    ]


def test_a_gelu_of_a_product_is_found_and_its_parts_may_have_other_readers():
    nodes = [node("Mul", "v v", "x"), *_GELU_GATES["x / r"], node("Erf", "d", "e"), node("Add", "e o", "g")]
    nodes += [*_GELU_PRODUCTS["x * (gate * half)"], node("Add", "y e", "z")]
    constants = {"r": _ROOT_2, "o": np.float32(1), "h": np.float32(0.5)}
    imported = agrees(make(nodes, {"v": IMAGE["x"]}, "z", constants), X)
    assert [n.op.function for n in imported.graph.nodes if n.op.mnemonic == "curve"] == ["erf", "gelu"]
