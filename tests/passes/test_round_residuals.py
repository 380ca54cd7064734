"""A residual format: what a quantized file computes in floats between its quantizers, rounded as the user says."""

from __future__ import annotations

import os
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from onnx.helper import make_graph, make_model, make_node, make_opsetid, make_tensor_value_info

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

import fracbnn

import qcompile
from qcompile.config import load_config
from qcompile.emulator import Emulator
from qcompile.errors import CompileError
from qcompile.ir import integer, model
from qcompile.ir.array import Array
from qcompile.ir.graph import Graph, Node
from qcompile.ir.model import MODEL
from qcompile.numerics.formats import Fixed
from qcompile.numerics.quantizer import Quantizer
from qcompile.numerics.rounding import Rounding
from qcompile.passes.integerize import Integerize
from qcompile.passes.realize_requantize import RealizeRequantize
from qcompile.passes.round_residuals import ResidualFormat, RoundResiduals

SHARED = Path(os.environ.get("QCOMPILE_SHARED", Path(__file__).parents[3] / "shared"))
FORMAT = ResidualFormat(Fixed(8, frac=3))
CONSTANT = ResidualFormat(Fixed(6, frac=4))
CODES = Quantizer((Fraction(1, 2),), low=-8, high=7)


def constant(name, *values):
    return Node(name, model.Constant(Array(np.array(values, np.float64))))


def graph(*nodes, outputs=None):
    """A quantized input times a matrix of two columns, then ``nodes``."""
    head = (
        Node("x", model.Input((1, 2))),
        Node("q", model.Quantize(CODES), ("x",)),
        Node("w", model.Constant(Array(np.array([[1.0, -1.0], [1.0, 3.0]])))),
        Node("sum", model.MatMul(), ("q", "w")),
    )
    return Graph(MODEL, "g", (*head, *nodes), outputs or (nodes[-1].name,)).verify()


def scaled(then=()):
    return (
        constant("scale", 0.3, 0.7),
        Node("product", model.Mul(), ("sum", "scale")),
        constant("bias", 0.1),
        Node("norm", model.Add(), ("product", "bias")),
        *then,
    )


def rounded(given, constants=None):
    after = RoundResiduals(FORMAT, constants).run(given).verify()
    return [node.name for node in after.nodes if isinstance(node.op, model.Quantize) and node.name != "q"]


def test_a_batch_norm_is_rounded_once_behind_its_sum():
    assert rounded(graph(*scaled())) == ["norm"]


def test_what_only_a_quantizer_or_a_comparison_reads_stays_exact():
    relu = Node("relu", model.Clip(0.0, None), ("norm",))
    assert rounded(graph(*scaled((relu, Node("codes", model.Quantize(CODES), ("relu",)))))) == ["codes"]
    assert rounded(graph(*scaled((Node("above", model.Greater(), ("norm", "bias")),)))) == []


def test_a_value_that_also_goes_elsewhere_is_rounded_before_the_quantizer():
    codes = Node("codes", model.Quantize(CODES), ("norm",))
    joined = Node("joined", model.Add(), ("norm", "codes"))
    assert rounded(graph(*scaled((codes, joined)))) == ["norm", "codes", "joined"]


def test_an_accumulator_is_rounded_where_it_meets_another_tensor():
    assert rounded(graph(*scaled((Node("joined", model.Add(), ("norm", "sum")),)))) == ["sum", "norm", "joined"]


def test_nothing_is_rounded_before_the_first_linear_layer():
    nodes = (
        Node("x", model.Input((1, 2))),
        Node("q", model.Quantize(CODES), ("x",)),
        constant("two", 2.1),
        Node("y", model.Mul(), ("q", "two")),
    )
    assert rounded(Graph(MODEL, "g", nodes, ("y",)), CONSTANT) == []


def test_constants_get_their_own_format_and_weights_on_a_grid_keep_it():
    on_grid = Node("wq", model.Quantize(CODES), ("w2",))
    again = Node("again", model.MatMul(), ("norm", "wq"))
    found = rounded(graph(*scaled((Node("w2", model.Constant(Array(np.ones((2, 1))))), on_grid, again))), CONSTANT)
    assert found == ["scale_grid", "bias_grid", "norm", "wq"]


def test_an_override_replaces_the_format_of_its_node():
    other = ResidualFormat(Fixed(4, frac=1), Rounding.FLOOR)
    given = graph(*scaled())
    named = Graph(
        MODEL, "g", tuple(Node(n.name, n.op, n.inputs, (n.name.upper(),)) for n in given.nodes), given.outputs
    )
    after = RoundResiduals(FORMAT, None, {"NORM": other}).run(named)
    assert after.by_name["norm"].op == model.Quantize(other.quantizer)


# Through the whole compiler -----------------------------------------------------------------------------

BATCH_NORM = np.array([0.3, -0.7, 0.11], np.float32), np.array([0.2, 0.05, -0.4], np.float32)
SLOPES = np.array([0.15, -0.4, 1.0], np.float32)


def residual_file():
    """x -> Quant -> Conv -> Mul, Add, PRelu -> Add with itself before PRelu -> AveragePool."""
    weights = np.random.default_rng(0).integers(-3, 4, (3, 2, 1, 1)).astype(np.float32)
    held = {
        "s": np.float32(0.5), "z": np.float32(0), "b": np.float32(6), "one": np.float32(1), "w": weights,
        "scale": BATCH_NORM[0].reshape(3, 1, 1), "bias": BATCH_NORM[1].reshape(3, 1, 1),
        "slopes": SLOPES.reshape(3, 1, 1),
    }  # fmt: skip
    qonnx = "qonnx.custom_op.general"
    quant = {"domain": qonnx, "signed": 1, "narrow": 0, "rounding_mode": "ROUND"}
    nodes = [
        make_node("Quant", ["x", "s", "z", "b"], ["xq"], **quant),
        make_node("Quant", ["w", "one", "z", "b"], ["wq"], **quant),
        make_node("Conv", ["xq", "wq"], ["sum"], kernel_shape=[1, 1]),
        make_node("Mul", ["sum", "scale"], ["product"]),
        make_node("Add", ["product", "bias"], ["norm"], name="Norm"),
        make_node("PRelu", ["norm", "slopes"], ["bent"]),
        make_node("Add", ["bent", "norm"], ["joined"]),
        make_node("AveragePool", ["joined"], ["y"], kernel_shape=[2, 2], strides=[2, 2]),
    ]
    shapes = [make_tensor_value_info(*args) for args in (("x", 1, [1, 2, 2, 4]), ("y", 1, [1, 3, 1, 2]))]
    held_tensors = [numpy_helper.from_array(np.asarray(value), name) for name, value in held.items()]
    made = make_graph(nodes, "residual", shapes[:1], shapes[1:], held_tensors)
    return make_model(made, opset_imports=[make_opsetid("", 13), make_opsetid(qonnx, 1)], ir_version=8), weights


def fixed(values, width, frac):
    codes = np.floor(np.asarray(values, np.float64) * 2**frac + 0.5)
    return np.clip(codes, -(2 ** (width - 1)), 2 ** (width - 1) - 1) / 2**frac


def meaning(x, weights):
    """The same network with every rounding written out."""
    codes = np.clip(np.rint(x / 0.5), -32, 31) * 0.5
    sums = np.einsum("nchw,oc->nohw", codes, weights[:, :, 0, 0])
    scale, bias, slopes = (fixed(v, 9, 6).reshape(3, 1, 1) for v in (*BATCH_NORM, SLOPES))
    norm = fixed(scale * sums + bias, 12, 5)
    bent = fixed(np.where(norm >= 0, norm, slopes * norm), 12, 5)
    joined = fixed(bent + norm, 12, 5)
    return fixed(joined.reshape(-1, 3, 1, 2, 2, 2).mean(axis=(3, 5)), 12, 5)


def test_the_emulator_computes_in_the_formats_that_were_asked_for():
    file, weights = residual_file()
    x = np.random.default_rng(1).uniform(-16, 16, (50, 1, 2, 2, 4))
    compiled = qcompile.compile(file, residuals="fixed:12:5", constants="fixed:9:6")
    assert (compiled.emulate(x).reshape(50, 3, 1, 2) == meaning(x[:, 0], weights)).all()
    assert compiled.report["residuals"] == {
        "format": "fixed:12:5 half_up",
        "constants": "fixed:9:6 half_up",
        "tensors": 4,
        "constant_tensors": 3,
    }


def test_a_wide_value_is_truncated_towards_zero_without_a_table():
    zero = Quantizer((Fraction(1),), low=-(1 << 15), high=(1 << 15) - 1, rounding=Rounding.ZERO)
    given = graph(*scaled((Node("codes", model.Quantize(zero), ("norm",)),)))
    exact = RoundResiduals(None, CONSTANT).run(given)
    golden = RealizeRequantize().run(Integerize().run(exact))
    assert not any(isinstance(node.op, integer.Lookup) for node in golden.nodes)
    x = np.array([[-1.0, -2.5], [0.5, 2.0], [3.5, -3.5]])
    (found,) = Emulator(golden)(x[:, None]).values()
    sums = x @ np.array([[1.0, -1.0], [1.0, 3.0]])
    assert (found.reshape(3, 2) == np.trunc(fixed([0.3, 0.7], 6, 4) * sums + fixed(0.1, 6, 4))).all()


def test_exact_values_too_wide_for_hardware_are_refused_with_the_way_out():
    file, _ = residual_file()
    assert not qcompile.compile(file).warnings
    with pytest.raises(CompileError) as error:
        qcompile.compile(file, target="zcu104", effort=0)
    (finding,) = error.value.diagnostics
    assert finding.code == "QC301"
    assert finding.found.endswith("; the file computes 4 results in floats between its quantizers")
    assert finding.help == "round them, as in --residuals fixed:16:7 --constants fixed:12:8"


def test_exact_values_that_are_wide_are_warned_of():
    file, _ = residual_file()
    for tensor in file.graph.initializer:
        if tensor.name in ("scale", "bias", "slopes"):
            values = np.round(numpy_helper.to_array(tensor) * 2**13) / 2**13
            tensor.CopyFrom(numpy_helper.from_array(values.astype(np.float32), tensor.name))
    (warning,) = qcompile.compile(file, target="zcu104", effort=0).warnings
    assert warning.code == "QC403"
    assert "the file computes 4 results in floats" in warning.found


def test_a_residual_format_with_nothing_to_round_is_refused(tmp_path):
    file, _ = residual_file()
    del file.graph.node[3:]
    file.graph.node[2].output[0] = "y"
    file.graph.output[0].CopyFrom(make_tensor_value_info("y", 1, [1, 3, 2, 4]))
    with pytest.raises(CompileError, match=r"QC402.*the file leaves no value real between its quantizers"):
        qcompile.compile(file, residuals="fixed:12:5")


def test_residual_formats_need_a_point_and_nodes_that_exist(tmp_path):
    with pytest.raises(CompileError, match=r"QC203.*does not say where the point is"):
        load_config(None, {"residuals": "fixed:12"})
    path = tmp_path / "qcompile.toml"
    path.write_text('[residuals]\nformat = "fixed:12:5"\n[residuals.layers]\n"Nrom" = "fixed:8:2"\n')
    with pytest.raises(CompileError, match=r'QC204.*there is no node "Nrom"\n.*did you mean "Norm"'):
        qcompile.compile(residual_file()[0], config=path)


def test_the_published_fracbnn_accelerator_is_matched_bit_for_bit():
    """Its outputs come from the HLS design's own C simulation."""
    paths = [SHARED / "models" / name for name in ("fracbnn_cifar10_w1a1p4.onnx", "fracbnn_cifar10_hls_fixed.io.npz")]
    for path in paths:
        if not path.exists():
            pytest.skip(f"{path} is absent; set QCOMPILE_SHARED")
    file = fracbnn.accelerator(onnx.load(paths[0]))
    compiled = qcompile.compile(file, **fracbnn.OPTIONS)
    with np.load(paths[1]) as stored:
        found = compiled.emulate(stored["image_u8"].astype(np.float64))
        assert (found.reshape(16, 10) == stored["output"]).all()
