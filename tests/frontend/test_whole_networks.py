"""Networks at the edges of what a compile takes: batches, several inputs, nothing to compute."""

from __future__ import annotations

import numpy as np
import pytest
from graphs import make, node, normal

import qcompile
from qcompile.errors import CompileError
from qcompile.frontend import read

X = np.random.default_rng(0).integers(0, 16, (5, 8)).astype(np.float32)
GEMM = {"w": normal(8, 3), "b": normal(3)}


def told(built, **options) -> list[str]:
    with pytest.raises(CompileError) as caught:
        qcompile.compile(built, **options)
    return [str(diagnostic) for diagnostic in caught.value.diagnostics]


@pytest.mark.parametrize(
    ("nodes", "shape", "constants", "one", "inside"),
    [
        ([node("Gemm", "x w b")], [4, 8], GEMM, [1, 8], [1, 4, 8]),
        ([node("Relu", "x")], [4, 8], {}, [1, 8], [1, 4, 8]),
        ([node("Conv", "x k")], [2, 1, 5, 5], {"k": normal(2, 1, 3, 3)}, [1, 1, 5, 5], [1, 2, 1, 5, 5]),
        ([node("Transpose", "x", perm=[0, 2, 1])], [4, 2, 3], {}, [1, 2, 3], [1, 4, 2, 3]),
    ],
    ids=["Gemm", "Relu", "Conv", "Transpose"],
)
def test_a_batch_of_several_is_refused_with_the_shape_to_export(nodes, shape, constants, one, inside):
    assert told(make(nodes, {"x": shape}, "y", constants)) == [
        f'error[QC103]: input "x": shape {shape} fixes a batch of {shape[0]}\n'
        f"  = help: export with a batch of 1 or an open one, {one}; "
        f"where the {shape[0]} is no batch, with one in front, {inside}"
    ]


def test_every_input_with_a_batch_is_named_though_reading_takes_it():
    built = make([node("Add", "x z")], {"x": [4, 8], "z": [4, 8]}, "y")
    assert [line.split(":")[1] for line in told(built)] == [' input "x"', ' input "z"', " x, z"]
    assert [entry.shape for entry in read(built).inputs] == [(4, 8), (4, 8)]


@pytest.mark.parametrize("shape", [[1, 8], ["batch", 8], [0, 8], [8]], ids=str)
def test_a_batch_of_one_an_open_one_and_none_are_the_same_network(shape):
    built = make([node("MatMul", "x w")], {"x": shape}, "y", {"w": GEMM["w"]})
    known = make([node("MatMul", "x w")], {"x": [1, 8]}, "y", {"w": GEMM["w"]})
    found, wanted = (qcompile.compile(b, calibration=X).emulate(X) for b in (built, known))
    np.testing.assert_array_equal(found.reshape(5, 3), wanted.reshape(5, 3))


def test_several_inputs_are_refused_before_anything_asks_for_their_calibration():
    built = make([node("Add", "x z")], {"x": [1, 8], "z": [1, 8]}, "y")
    assert told(built, calibration=X) == [
        "error[QC401]: x, z: 2 inputs\n"
        "  = help: there is one input stream: give the network one input and split it inside"
    ]


def test_an_input_that_nothing_reads_does_not_count():
    built = make([node("Gemm", "x w b")], {"x": [1, 8], "z": [1, 8]}, "y", GEMM)
    assert qcompile.compile(built, calibration=X).emulate(X).shape == (5, 1, 3)


@pytest.mark.parametrize("nodes", [[], [node("Identity", "x")]], ids=["no node", "Identity"])
@pytest.mark.parametrize("target", [None, "zcu104"])
def test_a_network_that_computes_nothing_passes_its_input_on(nodes, target):
    built = make(nodes, {"x": [1, 8]}, "y" if nodes else "x")
    compiled = qcompile.compile(built, calibration=X, target=target)
    np.testing.assert_array_equal(compiled.emulate(X)[:, 0], X)


def test_an_input_may_be_an_output_beside_others():
    built = make([node("Gemm", "x w b")], {"x": [1, 8]}, ["y", "x"], GEMM)
    y, x = qcompile.compile(built, calibration=X).emulate(X).values()
    assert y.shape == (5, 1, 3)
    np.testing.assert_array_equal(x[:, 0], X)


def test_an_output_that_depends_on_no_input_is_refused():
    built = make([node("Identity", "w")], {"x": [1, 8]}, "y", GEMM)
    assert [line.split(":")[0] for line in told(built)] == ["error[QC108]"]
