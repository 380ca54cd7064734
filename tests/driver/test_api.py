"""What others script against: the result of `qcompile.compile`, its report, and the folder it writes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import qcompile
from qcompile.errors import CompileError
from qcompile.ir import integer
from qcompile.ir.text import parse_graph
from qcompile.report import check
from qcompile.verify import verilator

EXAMPLES = Path(__file__).parents[2] / "examples"
MLP, CNN = EXAMPLES / "digits_mlp.onnx", EXAMPLES / "digits_cnn.onnx"
LAYER_KEYS = {
    *("name", "onnx_nodes", "engine", "input_format", "weight_format", "output_format"),
    *("adders", "lut", "ff", "bram18", "dsp", "latency_cycles"),
}
TOTALS_KEYS = {"adders", "lut", "ff", "bram18", "dsp", "latency_cycles", "ii_cycles", "fps", "clock_mhz"}


@pytest.fixture(scope="module")
def digits() -> dict[str, np.ndarray]:
    with np.load(EXAMPLES / "digits.npz") as arrays:
        return {name: arrays[name] for name in arrays.files}


@pytest.fixture(scope="module")
def mlp(digits: dict[str, np.ndarray]) -> qcompile.Compiled:
    return compiled_mlp(digits)


def compiled_mlp(digits: dict[str, np.ndarray]) -> qcompile.Compiled:
    bits = {"weights": "fixed:4", "activations": "fixed:4"}
    return qcompile.compile(MLP, target="ultra96", calibration=digits["x_calib"], effort=0, **bits)


@pytest.fixture(scope="module")
def emulated(digits: dict[str, np.ndarray]) -> qcompile.Compiled:
    return qcompile.compile(CNN, target=None, calibration=digits["x_calib"])


def needs_simulator() -> None:
    try:
        verilator.find_verilator()
        verilator.find_compiler()
    except CompileError as error:
        pytest.skip(str(error))


def test_outputs_have_a_sample_axis_and_the_onnx_shape(
    emulated: qcompile.Compiled, digits: dict[str, np.ndarray]
) -> None:
    assert emulated.input_shape == (1, 1, 8, 8)
    images = digits["x_test"][:5]
    found = emulated.emulate(images)
    assert found.shape == (5, 1, 10) and found.dtype == np.float64
    assert (emulated.emulate(images.reshape(5, 1, 1, 8, 8)) == found).all()
    assert (emulated.emulate(images.astype(np.float32)) == found).all()
    assert (emulated.emulate(images[2:3]) == found[2:3]).all()


def test_codes_are_integers_of_which_the_outputs_are_multiples(
    emulated: qcompile.Compiled, digits: dict[str, np.ndarray]
) -> None:
    codes, reals = emulated.emulate_codes(digits["x_test"][:20]), emulated.emulate(digits["x_test"][:20])
    assert codes.dtype == np.int64 and codes.shape == reals.shape
    op = emulated.emulator.outputs[0].op
    assert isinstance(op, integer.Output) and len(op.scale) == len(op.offset) == 1
    assert (codes * float(op.scale[0]) + float(op.offset[0]) == reals).all()


def test_without_a_target_there_is_only_the_emulator(
    emulated: qcompile.Compiled, digits: dict[str, np.ndarray]
) -> None:
    assert emulated.hardware is None
    assert (emulated.report["target"], emulated.report["layers"]) == (None, [])
    for work in (lambda: emulated.simulate(digits["x_test"][:1]), emulated.synthesize):
        with pytest.raises(CompileError) as error:
            work()
        assert [d.code for d in error.value.diagnostics] == ["QC505"]
    accuracy = (emulated.emulate(digits["x_test"]).reshape(400, 10).argmax(axis=1) == digits["y_test"]).mean()
    assert accuracy >= 0.965


def test_samples_of_another_shape_are_refused(emulated: qcompile.Compiled) -> None:
    with pytest.raises(CompileError) as error:
        emulated.emulate(np.zeros((3, 8, 9)))
    assert [d.code for d in error.value.diagnostics] == ["QC201"]


def test_the_report_has_the_keys_that_scripts_read(mlp: qcompile.Compiled) -> None:
    report = mlp.report
    assert check(report) == []
    assert report["model"] and report["target"] == "ultra96"
    assert set(report["totals"]) >= TOTALS_KEYS
    assert len(report["layers"]) == 3
    for layer in report["layers"]:
        assert set(layer) >= LAYER_KEYS
        assert layer["dsp"] == 0 and layer["weight_format"] == "int4"
    assert all(layer["onnx_nodes"] for layer in report["layers"])
    totals = report["totals"]
    assert totals["adders"] == sum(layer["adders"] for layer in report["layers"])
    assert totals["lut"] >= sum(layer["lut"] for layer in report["layers"]) > 0
    assert totals["fps"] == round(totals["clock_mhz"] * 1e6 / totals["ii_cycles"], 1)
    assert totals["ii_cycles"] == 1


def test_the_simulation_gives_what_the_emulator_gives_whatever_the_stalls(
    mlp: qcompile.Compiled, digits: dict[str, np.ndarray]
) -> None:
    needs_simulator()
    images = digits["x_test"][:30]
    wanted = mlp.emulate(images)
    for seed in range(3):
        found = mlp.simulate(images, seed=seed)
        assert (found.shape, found.dtype) == (wanted.shape, wanted.dtype)
        assert (found == wanted).all()


def test_a_verification_fills_the_report_and_measures_what_was_foretold(
    mlp: qcompile.Compiled, digits: dict[str, np.ndarray]
) -> None:
    needs_simulator()
    result = mlp.verify(digits["x_test"], count=16, labels=digits["y_test"])
    assert mlp.report["verify"] == result
    assert (result["samples"], result["rtl_mismatches"]) == (16, 0)
    totals = mlp.report["totals"]
    assert (result["latency_cycles"], result["ii_cycles"]) == (totals["latency_cycles"], totals["ii_cycles"])
    assert result["accuracy_float"] >= 0.965 and result["accuracy_emulator"] >= 0.9
    assert result["reference_max_abs_error"] > 0
    assert check(mlp.report) == []


def written(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in sorted(folder.rglob("*")) if file.is_file()}


def test_two_compiles_write_the_same_bytes(
    mlp: qcompile.Compiled, digits: dict[str, np.ndarray], tmp_path: Path
) -> None:
    first, again = compiled_mlp(digits), compiled_mlp(digits)
    first.write(tmp_path / "first")
    again.write(tmp_path / "again")
    files = written(tmp_path / "first")
    assert files == written(tmp_path / "again")
    assert {"report.json", "report.txt", "golden.txt"} < set(files)
    assert any(name.startswith("rtl/") and name.endswith(".v") for name in files)
    assert json.loads(files["report.json"]) == first.report
    assert mlp.hardware is not None and mlp.hardware.rtl is not None
    assert {f"rtl/{name}": text.encode() for name, text in mlp.hardware.rtl.files.items()}.items() <= files.items()


def test_the_golden_model_in_the_folder_reads_back_as_the_graph(emulated: qcompile.Compiled, tmp_path: Path) -> None:
    emulated.write(tmp_path / "out")
    text = (tmp_path / "out" / "golden.txt").read_text()
    assert parse_graph(text, integer.INTEGER, integer.PARAMETERS) == emulated.integer_graph


def test_a_folder_that_cannot_be_written_is_left_as_it_was(emulated: qcompile.Compiled, tmp_path: Path) -> None:
    (tmp_path / "out").write_text("mine")
    with pytest.raises(CompileError) as error:
        emulated.write(tmp_path / "out")
    assert [d.code for d in error.value.diagnostics] == ["QC504"]
    assert [file.name for file in tmp_path.iterdir()] == ["out"]
    assert (tmp_path / "out").read_text() == "mine"


def test_a_target_that_is_too_small_is_refused_with_the_numbers(digits: dict[str, np.ndarray]) -> None:
    with pytest.raises(CompileError) as error:
        qcompile.compile(MLP, target="icebreaker", calibration=digits["x_calib"], effort=0)
    (diagnostic,) = error.value.diagnostics
    fitting = qcompile.compile(MLP, target="icebreaker", calibration=digits["x_calib"], effort=0, allow_oversize=True)
    report = fitting.report
    largest = max(report["layers"], key=lambda layer: layer["lut"])
    assert not report["fits"]
    assert report["totals"]["lut"] > 5280 == report["available"]["lut"]
    assert (diagnostic.code, diagnostic.where) == ("QC501", "target icebreaker")
    for number in (report["totals"]["lut"], largest["lut"]):
        assert f"{number:,}" in diagnostic.found
    assert largest["name"] in diagnostic.found
    assert "--weights fixed:4 --activations fixed:6" in diagnostic.help and "--allow-oversize" in diagnostic.help


def test_passes_are_shown_in_order_with_graphs_that_are_well_formed(digits: dict[str, np.ndarray]) -> None:
    seen: list[str] = []

    def show(name: str, graph: object) -> None:
        graph.verify()  # type: ignore[attr-defined]
        seen.append(name)

    qcompile.compile(MLP, target=None, calibration=digits["x_calib"], after_pass=show)
    assert seen.index("quantize") < seen.index("integerize") < seen.index("realize_requantize")
