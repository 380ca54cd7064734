"""Every diagnostic of the import: what provokes it, and its text."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from graphs import make, node, normal
from onnx import TensorProto, helper

from qcompile.errors import CompileError
from qcompile.frontend import read
from qcompile.frontend.registry import OPERATORS, Operator
from qcompile.rules import RULES

REEXPORT = "check the file with onnx.checker.check_model(model, full_check=True) and export it again"
QONNX = "qonnx.custom_op.general"
X = {"x": [1, 3]}
IMAGE = {"x": [1, 3, 4, 4]}
F = np.float32


def refusal(source):
    with pytest.raises(CompileError) as caught:
        read(source)
    for diagnostic in caught.value.diagnostics:
        assert diagnostic.code in RULES
    return str(caught.value)


# -- files


@pytest.mark.parametrize(
    "content, found",
    [
        (b"", "is empty\n  = help: give an ONNX file, as torch.onnx.export, tf2onnx or Brevitas write it"),
        (b"hello, world", "its 12 bytes are not an ONNX protobuf, or were cut short"),
        (
            b"version https://git-lfs.github.com/spec/v1\n",
            "is a Git LFS pointer, not ONNX\n  = help: fetch the file itself with `git lfs pull`",
        ),
        (b"PK\x03\x04abc", "is a zip archive (PyTorch saves those), not ONNX"),
        (b"\x80\x02}q\x00", "is a Python pickle, not ONNX\n  = help: export the network with torch.onnx.export"),
        (b"\x89HDF\r\n\x1a\n", "is an HDF5 file (Keras saves those), not ONNX\n  = help: convert the network"),
        (b"\x1c\x00\x00\x00TFL3", "is a TFLite file, not ONNX"),
    ],
)
def test_a_file_that_is_not_onnx_is_named_for_what_it_is(tmp_path, content, found):
    path = tmp_path / "net.onnx"
    path.write_bytes(content)
    assert refusal(path).startswith(f"error[QC101]: {path}: {found}")


def test_a_file_that_was_cut_short_is_damaged(tmp_path):
    whole = make([node("MatMul", "x w")], X, "y", {"w": normal(3, 400)}).SerializeToString()
    path = tmp_path / "net.onnx"
    path.write_bytes(whole[: len(whole) // 2])
    assert f"error[QC101]: {path}: its {len(whole) // 2} bytes are not an ONNX protobuf" in refusal(path)


def test_every_prefix_of_a_file_is_read_or_refused(tmp_path):
    whole = make([node("MatMul", "x w")], X, "y", {"w": normal(3, 2)}).SerializeToString()
    path = tmp_path / "net.onnx"
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        assert "error[QC10" in refusal(path)


def test_a_missing_file_and_a_folder_are_refused(tmp_path):
    assert refusal(tmp_path / "no.onnx").startswith(
        f"error[QC101]: {tmp_path / 'no.onnx'}: cannot be read: No such file or directory"
    )
    assert refusal(tmp_path).startswith(f"error[QC101]: {tmp_path}: is a folder")


def test_a_model_without_a_graph_is_refused():
    assert refusal(onnx.ModelProto()).startswith("error[QC101]: model: the file holds no ONNX graph with outputs")


def test_missing_external_weights_name_the_way_out(tmp_path):
    built = make([node("MatMul", "x w")], X, "y", {"w": normal(3, 2)})
    onnx.save(built, tmp_path / "net.onnx", save_as_external_data=True, location="w.bin", size_threshold=0)
    (tmp_path / "w.bin").unlink()
    text = refusal(tmp_path / "net.onnx")
    assert "its weights lie in another file that cannot be read" in text
    assert "= help: keep the data file beside the .onnx file, or save the model with its weights inside" in text


def test_external_weights_of_a_protobuf_without_a_folder_are_refused(tmp_path):
    built = make([node("MatMul", "x w")], X, "y", {"w": normal(3, 2)})
    onnx.save(built, tmp_path / "net.onnx", save_as_external_data=True, location="w.bin", size_threshold=0)
    loaded = onnx.load(tmp_path / "net.onnx", load_external_data=False)
    assert refusal(loaded).startswith("error[QC107]: w: its elements cannot be read:")


# -- the whole graph


def test_all_unsupported_nodes_are_listed_at_once_each_with_advice():
    built = make(
        [
            node("LSTM", "x w r", "a", name="recurrent", hidden_size=2),
            node("LayerNormalization", "x g", "b", name="norm"),
            node("Convv", "b", "c", name="typo"),
            node("Widget", "c", "y", name="made", domain="acme"),
        ],
        X,
        "y",
        {"w": normal(1, 8, 3), "r": normal(1, 8, 2), "g": normal(3)},
        opset=17,
    )
    cut = "cut the network before this node, or export it from operators that qcompile reads"
    assert refusal(built) == "\n".join(
        [
            "error[QC102]: recurrent: operator LSTM is not supported",
            "  = help: recurrence has no spatial form; export one time step and loop on the host",
            "error[QC102]: norm: operator LayerNormalization is not supported",
            "  = help: its statistics are computed at run time; train with BatchNormalization, which folds into the "
            "layer before",
            "error[QC102]: typo: operator Convv is not supported",
            f"  = help: did you mean Conv? Else {cut}",
            "error[QC102]: made: operator acme::Widget is not supported",
            f"  = help: {cut}",
        ]
    )


def test_nodes_behind_a_refused_one_are_checked_too():
    built = make(
        [
            node("LayerNormalization", "x g", "a", name="norm"),
            node("AveragePool", "a", "b", name="pool", kernel_shape=[2, 2, 2]),
            node("Div", "b zero", "y", name="divide"),
        ],
        IMAGE,
        "y",
        {"g": normal(4), "zero": F(0)},
        opset=17,
    )
    text = refusal(built)
    assert "error[QC102]: norm: operator LayerNormalization is not supported" in text
    assert "error[QC104]: pool: AveragePool: kernel [2, 2, 2] over input [1, 3, 4, 4]" in text


@pytest.mark.parametrize(
    "shape, found",
    [
        (["N", "C", 4], "error[QC103]: x: the input's size is open in C\n  = help: export with a fixed input shape"),
        ([1, None, 4], "error[QC103]: x: the input's size is open in axis 1"),
        (None, "error[QC103]: x: the input has no shape\n  = help: export with a fixed input shape"),
    ],
)
def test_open_sizes_are_refused(shape, found):
    built = make([node("Relu", "x")], {"x": [1]}, "y")
    built.graph.input[0].CopyFrom(helper.make_tensor_value_info("x", TensorProto.FLOAT, shape))
    assert refusal(built).startswith(found)


def test_inputs_of_text_are_refused():
    built = make([node("Identity", "x")], {"x": ([1], TensorProto.STRING)}, ("y", TensorProto.STRING))
    assert refusal(built) == (
        "error[QC104]: x: the input has elements of type STRING\n  = help: inputs of numbers are supported"
    )


def test_a_tensor_that_nothing_makes_is_refused():
    assert refusal(make([node("Add", "x ghost", name="sum")], X, "y")) == (
        f"error[QC107]: sum: Add reads ghost, which nothing makes\n  = help: {REEXPORT}"
    )


def test_a_cycle_is_refused_by_name():
    built = make([node("Add", "x b", "a", name="p"), node("Relu", "a", "b", name="q")], X, "b")
    assert "error[QC107]: p: the nodes p, q lie on a cycle" in refusal(built)


def test_an_output_that_nothing_makes_is_refused():
    assert refusal(make([node("Relu", "x", "y")], X, "z")) == (
        f"error[QC107]: z: the output is made by no node\n  = help: {REEXPORT}"
    )


def test_shapes_that_do_not_fit_are_refused():
    built = make([node("MatMul", "x w", name="product")], X, "y", {"w": normal(4, 2)})
    assert refusal(built) == (
        f"error[QC107]: product: shapes do not fit: shapes (1, 3) and (4, 2) do not multiply\n  = help: {REEXPORT}"
    )


def test_a_missing_operand_is_refused():
    assert refusal(make([node("Conv", "x", name="c")], IMAGE, "y")).startswith("error[QC107]: c: Conv has no input 1")


def test_a_constant_that_cannot_be_folded_is_refused():
    built = make(
        [node("Add", "a b", "c", name="bad"), node("Add", "x c", "y")], X, "y", {"a": normal(2), "b": normal(3)}
    )
    assert refusal(built).startswith("error[QC107]: bad: Add: cannot be computed from its constants: ")


# -- numbers


@pytest.mark.parametrize("value, kind", [(np.nan, "NaN"), (np.inf, "infinity")])
def test_weights_that_are_no_numbers_are_refused(value, kind):
    weights = normal(3, 2)
    weights[1, 1] = value
    assert refusal(make([node("MatMul", "x w", name="product")], X, "y", {"w": weights})) == (
        f"error[QC106]: w: 1 of its 6 elements are {kind}\n"
        "  = help: train or export again; a network with such weights has no fixed-point meaning"
    )


@pytest.mark.parametrize(
    "nodes, constants, found",
    [
        (
            [node("QuantizeLinear", "x s", "q", name="n"), node("DequantizeLinear", "q s", "y")],
            {"s": F(-1)},
            "n: QuantizeLinear: a scale is negative, NaN or infinite",
        ),
        ([node("Div", "x c", name="n")], {"c": F(0)}, "n: Div: division by zero"),
        (
            [node("BatchNormalization", "x g b m v", name="n")],
            {"g": np.ones(3, F), "b": np.ones(3, F), "m": np.ones(3, F), "v": -np.ones(3, F)},
            "n: BatchNormalization: a variance is not positive",
        ),
    ],
    ids=lambda v: v if isinstance(v, str) else "",
)
def test_impossible_numbers_are_refused(nodes, constants, found):
    assert f"error[QC106]: {found}" in refusal(make(nodes, X, "y", constants))


@pytest.mark.parametrize(
    "nodes, what",
    [
        ([node("Conv", "x x", name="n")], "Conv computes its weights"),
        ([node("Div", "x x", name="n")], "Div computes its divisor"),
        ([node("Cast", "x", "i", to=7), node("Reshape", "x i", name="n")], "Reshape computes its shape"),
        ([node("QuantizeLinear", "x x", name="n")], "QuantizeLinear computes its scale"),
        ([node("PRelu", "x x", name="n")], "PRelu computes its slope"),
        ([node("Pow", "x x", name="n")], "Pow computes its exponent"),
    ],
    ids=lambda v: v if isinstance(v, str) else "",
)
def test_operands_that_hardware_needs_as_constants_are_refused_when_computed(nodes, what):
    name = what.split("its ")[1]
    assert (
        f"error[QC105]: n: {what} at run time\n"
        f"  = help: export the network so that the {name} is an initializer" in refusal(make(nodes, IMAGE, "y"))
    )


# -- attributes

W = {"w": normal(4, 3, 2, 2)}
PARAMETERS = {"g": np.ones(3, F), "b": np.ones(3, F), "m": np.ones(3, F), "v": np.ones(3, F)}
QUANT = {"s": F(1), "z": F(0), "b": F(4)}
FLOAT_QUANT = {"s": F(1), "e": F(4), "m": F(3), "b": F(7)}

ATTRIBUTES = [
    ("Conv", "x w", W, {"auto_pad": "SOME"}, "auto_pad SOME", "NOTSET, VALID, SAME_UPPER and SAME_LOWER"),
    ("Conv", "x w", W, {"pads": [-1, 0, 0, 0]}, "pads [-1, 0, 0, 0], strides [1, 1]", "pads >= 0 per axis"),
    ("Conv", "x w", {"w": normal(4, 3, 2)}, {}, "input [1, 3, 4, 4] with weights [4, 3, 2]", "1-D and 2-D"),
    ("MaxPool", "x", {}, {"kernel_shape": [2, 2, 2]}, "kernel [2, 2, 2] over input", "1-D and 2-D pooling"),
    ("BatchNormalization", "x g b m v", PARAMETERS, {"training_mode": 1}, "training mode", "model.eval()"),
    ("Gelu", "x", {}, {"approximate": "rough"}, "approximate=rough", "none and tanh are supported"),
    ("Elu", "x", {}, {"alpha": -1.0}, "alpha -1", "a positive alpha is supported"),
    ("Pow", "x c", {"c": F(3)}, {}, "exponent [3.0]", "the exponents 1 and 2 are supported"),
    ("TopK", "x k", {"k": np.array([3])}, {}, "k = 3", "k = 1 is supported"),
    ("Pad", "x p", {"p": np.zeros(8, int)}, {"mode": "odd"}, "mode odd", "constant, edge, reflect and wrap"),
    ("Resize", "x  s", {"s": np.array([1, 1, 2, 2], F)}, {"mode": "linear"}, "mode linear", "mode='nearest'"),
    ("Cast", "x", {}, {"to": TensorProto.STRING}, "to object", "casts to numbers are supported"),
    (
        "Resize",
        "x  s",
        {"s": np.array([1, 1, 2, 2], F)},
        {"coordinate_transformation_mode": "tf_crop_and_resize"},
        "coordinate_transformation_mode tf_crop_and_resize, nearest_mode round_prefer_floor",
        "asymmetric, half_pixel",
    ),
    (f"{QONNX}:Quant", "x s z b", QUANT, {"rounding_mode": "ODD"}, "rounding_mode ODD", "one of ROUND, HALF_EVEN"),
    (
        f"{QONNX}:Quant",
        "x s z b",
        QUANT | {"s": np.arange(1, 13, dtype=F).reshape(3, 4, 1)},
        {},
        "parameters that vary along the axes [1, 2]",
        "one scale per tensor or per channel",
    ),
    (f"{QONNX}:FloatQuant", "x s e m b", FLOAT_QUANT, {"saturation": 0}, "saturation=0", "saturation=1"),
    (
        f"{QONNX}:FloatQuant",
        "x s e m b",
        FLOAT_QUANT | {"b": F(6.5)},
        {},
        "exponent 4 bits, mantissa 3 bits, bias 6.5",
        "move a fractional bias into the scale",
    ),
    (
        f"{QONNX}:FloatQuant",
        "x s e m b v",
        FLOAT_QUANT | {"v": F(1e-3)},
        {},
        "max_val:",
        "use a max_val that the format can represent",
    ),
    (f"{QONNX}:FloatQuant", "x s e m b", FLOAT_QUANT | {"e": F(99)}, {}, "exponent 99 bits", "1 to 8 exponent bits"),
    (f"{QONNX}:Quant", "x s z b", QUANT | {"b": F(1e9)}, {}, "a bit width of 1e+09", "1 to 64 bits"),
    (f"{QONNX}:MultiThreshold", "x t", {"t": np.ones((1, 2), F)}, {"out_scale": -1.0}, "out_scale -1", "positive"),
]


@pytest.mark.parametrize("op, inputs, constants, attributes, found, needed", ATTRIBUTES)
def test_an_attribute_that_is_not_supported_is_named_with_what_is(op, inputs, constants, attributes, found, needed):
    domain, _, op = op.rpartition(":")
    outputs = "v y" if op == "TopK" else "y"
    built = make([node(op, inputs, outputs, name="n", domain=domain, **attributes)], IMAGE, "y", constants, opset=20)
    text = refusal(built)
    head, _, help = text.partition("\n  = help: ")
    assert head.startswith(f"error[QC104]: n: {op}: {found}")
    assert needed in help


@pytest.mark.parametrize(
    "nodes, found",
    [
        ([node("MaxPool", "x", "y i", name="n", kernel_shape=[2, 2])], "MaxPool: its second output (indices) is used"),
        ([node("Dropout", "x", "y m", name="n")], "Dropout: its mask output is used"),
    ],
    ids=["MaxPool", "Dropout"],
)
def test_outputs_that_are_not_supported_are_named(nodes, found):
    assert f"error[QC104]: n: {found}" in refusal(make(nodes, IMAGE, "y"))


def test_narrowing_integers_is_refused():
    built = make(
        [node("Cast", "x", "y", name="n", to=TensorProto.INT8)],
        {"x": ([1, 3], TensorProto.INT32)},
        ("y", TensorProto.INT8),
    )
    assert refusal(built) == (
        "error[QC104]: n: Cast: from int32 to the narrower int8, which wraps\n"
        "  = help: clip before, or keep the wider type"
    )


def test_blocked_scales_of_activations_are_refused():
    built = make(
        [node("QuantizeLinear", "x s", "q", name="n", axis=1, block_size=2), node("DequantizeLinear", "q s", "y")],
        {"x": [2, 4]},
        "y",
        {"s": np.ones((2, 2), F)},
        opset=21,
    )
    assert "error[QC104]: n: QuantizeLinear: blocked scales on a computed tensor" in refusal(built)


def test_a_reshape_that_splits_the_channel_axis_is_refused():
    built = make(
        [
            node("DequantizeLinear", "w s", "f", axis=0),
            node("Reshape", "f shape", "r", name="n"),
            node("MatMul", "x r", "y"),
        ],
        X,
        "y",
        {"w": np.ones((4, 3), np.int8), "s": np.arange(1, 5, dtype=F), "shape": np.array([3, 4])},
    )
    assert refusal(built) == (
        "error[QC104]: n: Reshape: reshapes [4, 3] to [3, 4], which splits the quantizer's channel axis 0\n"
        "  = help: quantize per tensor, or reshape the weights before export"
    )


def test_scales_that_do_not_fit_the_axis_are_refused():
    built = make(
        [node("DequantizeLinear", "w s", "f", name="n", axis=0), node("MatMul", "x f", "y")],
        X,
        "y",
        {"w": np.ones((3, 4), np.int8), "s": np.arange(1, 5, dtype=F)},
    )
    assert refusal(built) == (
        "error[QC107]: n: DequantizeLinear: 4 scales or zero points along axis 0 of a tensor [3, 4]\n"
        "  = help: give one, or one per position of the axis"
    )


# -- damage


def test_damaged_files_are_read_or_refused_but_never_end_in_a_traceback(tmp_path):
    built = make(
        [
            node("QuantizeLinear", "x s z", "q"),
            node("DequantizeLinear", "q s z", "a"),
            node("Conv", "a w b", "c", pads=[1, 1, 1, 1]),
            node("Relu", "c", "d"),
            node("MaxPool", "d", "e", kernel_shape=[2, 2], strides=[2, 2]),
            node("Flatten", "e", "f"),
            node("Gemm", "f v", "y"),
        ],
        IMAGE,
        "y",
        {"w": normal(2, 3, 3, 3), "b": normal(2), "v": normal(8, 2), "s": F(0.1), "z": np.int8(1)},
    )
    whole = built.SerializeToString()
    rng = np.random.default_rng(7)
    path = tmp_path / "net.onnx"
    outcomes = set()
    for _ in range(1500):
        damaged = bytearray(whole)
        for place in rng.integers(0, len(whole), rng.integers(1, 4)):
            damaged[place] = rng.integers(256)
        path.write_bytes(damaged)
        try:
            read(path)
            outcomes.add("read")
        except CompileError as error:
            outcomes.update(d.code for d in error.diagnostics)
    assert outcomes == {"read", "QC101", "QC102", "QC103", "QC104", "QC105", "QC106", "QC107"} & outcomes
    assert {"read", "QC101", "QC107"} <= outcomes


def test_a_node_that_onnx_rejects_is_the_file_s_fault():
    built = make([node("Transpose", "x", name="turn", perm=[0, 0, 1])], {"x": [1, 2, 3]}, "y")
    assert refusal(built).startswith("error[QC107]: turn: ")


def test_an_exception_on_a_valid_node_stays_a_bug(monkeypatch):
    def broken(call):
        raise IndexError("a bug")

    monkeypatch.setitem(OPERATORS, ("", "Relu"), Operator(broken, folds=True))
    with pytest.raises(IndexError, match="a bug"):
        read(make([node("Relu", "x")], X, "y"))
