"""Files, names, order, and what the import says about a model."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from graphs import agrees, evaluated, kinds, make, node, normal
from onnx import TensorProto, helper, numpy_helper

from qcompile.errors import CompileError
from qcompile.frontend import read
from qcompile.ir import model
from qcompile.ir.text import parse_graph, print_graph


def dense(**changes):
    return make([node("MatMul", "x w", "y")], {"x": [1, 3]}, "y", {"w": normal(3, 2)}, **changes)


def test_a_file_gives_its_name_and_its_facts(tmp_path):
    built = dense(opset=17)
    built.producer_name, built.producer_version = "pytorch", "2.4"
    onnx.save(built, tmp_path / "my_net.onnx")
    imported = read(tmp_path / "my_net.onnx")
    assert (imported.graph.name, imported.opset, imported.ir_version) == ("my_net", 17, 8)
    assert (imported.producer, imported.quantized, imported.dialects) == ("pytorch 2.4", False, ())
    assert [(i.name, i.shape, i.dtype) for i in imported.inputs] == [("x", (1, 3), "float32")]
    assert [(o.name, o.shape, o.dtype) for o in imported.outputs] == [("y", (1, 2), "float32")]


def test_external_weights_are_read_from_beside_the_file(tmp_path):
    built = dense()
    onnx.save(dense(), tmp_path / "net.onnx", save_as_external_data=True, location="weights.bin", size_threshold=0)
    assert (
        evaluated(read(tmp_path / "net.onnx"), np.ones((1, 3)))[0].tolist()
        == evaluated(read(built), np.ones((1, 3)))[0].tolist()
    )


def test_an_ir_version_newer_than_onnxruntime_s_is_read():
    assert read(dense(ir_version=10**3)).ir_version == 1000


def test_initializers_that_are_listed_as_inputs_are_constants():
    built = dense(ir_version=3)
    built.graph.input.append(helper.make_tensor_value_info("w", TensorProto.FLOAT, [3, 2]))
    assert [i.name for i in read(built).inputs] == ["x"]


def test_nodes_without_a_name_get_one_from_their_operator_and_place():
    built = make(
        [node("Relu", "x", "a"), node("Relu", "a", "b", name="mine"), node("Relu", "b", "y", name="mine")],
        {"x": [1, 3]},
        "y",
    )
    graph = read(built).graph
    assert [n.origin for n in graph.nodes[1:]] == [("Relu_0",), ("mine",), ("Relu_2",)]
    assert [n.name for n in graph.nodes[1:]] == ["Relu_0", "mine", "Relu_2"]


def test_nodes_in_any_order_are_sorted():
    built = make([node("Relu", "a", "y"), node("Neg", "x", "a")], {"x": [1, 3]}, "y")
    assert kinds(read(built)) == ["input", "mul", "clip"]


def test_an_open_batch_is_one():
    built = make([node("Relu", "x", "y")], {"x": ["N", 3]}, "y")
    assert read(built).outputs[0].shape == (1, 3)


def test_a_local_function_is_its_body():
    body = helper.make_function(
        "custom", "Twice", ["a"], ["b"], [node("Add", "a a", "b")], [helper.make_opsetid("", 13)]
    )
    built = make([node("Twice", "x", "y", domain="custom")], {"x": [1, 3]}, "y", extra_domains=["custom"])
    built.functions.append(body)
    assert kinds(read(built)) == ["input", "add"]


def test_a_shared_constant_is_one_node():
    built = make([node("Add", "x c", "a"), node("Add", "a c", "y")], {"x": [1, 3]}, "y", {"c": normal(3)})
    assert sum(isinstance(n.op, model.Constant) for n in read(built).graph.nodes) == 1


def test_integer_inputs_keep_their_limits():
    built = make(
        [node("Cast", "x", "f", to=TensorProto.FLOAT), node("Add", "f f", "y")],
        {"x": ([1, 3], TensorProto.UINT8)},
        "y",
    )
    imported = agrees(built, np.array([[0, 7, 255]], np.uint8))
    assert imported.graph.nodes[0].op == model.Input((1, 3), (0, 255))
    assert imported.inputs[0].dtype == "uint8"


def test_the_text_form_of_an_imported_graph_parses_back():
    built = make(
        [node("QuantizeLinear", "x s", "q"), node("DequantizeLinear", "q s", "a"), node("Elu", "a", "y")],
        {"x": [1, 3]},
        "y",
        {"s": np.float32(0.1)},
    )
    graph = read(built).graph
    assert parse_graph(print_graph(graph), model.MODEL, model.PARAMETERS) == graph


def test_reading_twice_gives_the_same_graph():
    built = dense()
    assert read(built).graph == read(built).graph


def test_half_precision_weights_are_exact():
    weights = normal(3, 2).astype(np.float16)
    built = make(
        [node("MatMul", "x w", "y")], {"x": ([1, 3], TensorProto.FLOAT16)}, ("y", TensorProto.FLOAT16), {"w": weights}
    )
    constant = next(n.op for n in read(built).graph.nodes if isinstance(n.op, model.Constant))
    assert (constant.value.values == weights.astype(np.float64)).all()


def test_typed_data_fields_of_initializers_are_read():
    tensor = helper.make_tensor("w", TensorProto.FLOAT, [3, 2], list(range(6)))
    built = make([node("MatMul", "x w", "y")], {"x": [1, 3]}, "y", {"w": tensor})
    assert evaluated(read(built), np.ones((1, 3)))[0].tolist() == [[6, 9]]
    assert numpy_helper.to_array(tensor).shape == (3, 2)


def test_a_condition_that_is_known_decides_between_branches():
    def branch(op):
        return helper.make_graph(
            [node(op, "x", "inner"), node("Mul", "inner factor", "out")],
            op,
            [],
            [helper.make_tensor_value_info("out", TensorProto.FLOAT, None)],
            [numpy_helper.from_array(np.float32(2), "factor")],
        )

    nodes = [
        node("Shape", "x", "s"),
        node("Size", "s", "rank"),
        node("Equal", "rank two", "c"),
        node("If", "c", "z", name="choose", then_branch=branch("Relu"), else_branch=branch("Neg")),
        node("Neg", "z", "y"),
    ]
    built = make(nodes, {"x": [1, 3]}, "y", {"two": np.array(2)})
    imported = agrees(built, normal(1, 3))
    assert kinds(imported) == ["input", "clip", "mul", "mul"]
    assert imported.graph.nodes[1].origin == ("choose/Relu_0",)


def test_random_numbers_are_no_constants():
    built = make([node("RandomNormal", "", "r", shape=[3]), node("Add", "x r", "y")], {"x": [1, 3]}, "y")
    built.graph.node[0].ClearField("input")
    with pytest.raises(CompileError, match="operator RandomNormal is not supported"):
        read(built)


@pytest.mark.parametrize("opset", range(7, onnx.defs.onnx_opset_version() + 1))
def test_a_network_reads_the_same_in_every_operator_set(opset):
    pads = {"pads": [1, 1, 1, 1]}
    nodes = [
        node("Conv", "x w b", "c", **pads),
        node("BatchNormalization", "c g h m v", "n"),
        node("Relu", "n", "r"),
        node("MaxPool", "r", "p", kernel_shape=[2, 2], strides=[2, 2]),
        node("Add", "p p", "a"),
        node("GlobalAveragePool", "a", "q"),
        node("Flatten", "q", "f"),
        node("Gemm", "f u t", "z", transB=1),
        node("Softmax", "z", "y", axis=1),
    ]
    channel = np.linspace(0.5, 2, 4, dtype=np.float32)
    constants = {"w": normal(4, 3, 3, 3), "b": normal(4), "u": normal(5, 4), "t": normal(5)}
    constants |= dict.fromkeys("ghmv", channel)
    built = make(nodes, {"x": [1, 3, 6, 6]}, "y", constants, opset=opset)
    imported = read(built)
    reference = read(make(nodes, {"x": [1, 3, 6, 6]}, "y", constants, opset=13))
    assert imported.graph == reference.graph
    assert imported.opset == opset
