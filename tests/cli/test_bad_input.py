"""Bad input from end to end: a diagnostic, exit code 1, no traceback, and nothing half-written."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from fake_driver import run
from onnx import TensorProto, helper, numpy_helper

ROOT = Path(__file__).resolve().parents[2]
MODEL = ROOT / "examples" / "digits_mlp.onnx"


def _network(node: onnx.NodeProto, weights: dict[str, np.ndarray], inputs: list[int | str]) -> bytes:
    graph = helper.make_graph(
        [node],
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, inputs)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(array.astype(np.float32), name) for name, array in weights.items()],
    )
    opsets = [helper.make_opsetid("", 17)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8).SerializeToString()


def _nan_weights() -> bytes:
    weights = np.ones((4, 2))
    weights[1, 1] = np.nan
    return _network(helper.make_node("MatMul", ["x", "w"], ["y"], name="fc"), {"w": weights}, [1, 4])


def _unsupported() -> bytes:
    return _network(helper.make_node("Det", ["x"], ["y"], name="odd"), {}, [1, 4, 4])


def _unknown_shape() -> bytes:
    weights = {"w": np.ones((2, 3, 3, 3))}
    node = helper.make_node("Conv", ["x", "w"], ["y"], name="conv")
    return _network(node, weights, [1, 3, "height", "width"])


BAD_MODELS: dict[str, tuple[Callable[[], bytes], str]] = {
    "truncated": (lambda: MODEL.read_bytes()[:1000], "QC101"),
    "empty": (lambda: b"", "QC101"),
    "text": (lambda: b"hello, this is not a network\n", "QC101"),
    "zip": (lambda: b"PK\x03\x04" + bytes(100), "QC101"),
    "unsupported": (_unsupported, "QC102"),
    "shape": (_unknown_shape, "QC103"),
    "nan": (_nan_weights, "QC106"),
}


def _errors(capsys: pytest.CaptureFixture[str]) -> list[str]:
    out, err = capsys.readouterr()
    assert "Traceback" not in err and out == ""
    return [line for line in err.splitlines() if line.startswith("error")]


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("kind", BAD_MODELS)
def test_a_bad_model_is_a_diagnostic_and_leaves_nothing(kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    make, code = BAD_MODELS[kind]
    Path("net.onnx").write_bytes(make())
    assert run("net.onnx", "--target", "ultra96") == 1
    errors = _errors(capsys)
    assert errors and all(line.startswith(f"error[{code}]: ") for line in errors), errors
    assert [path.name for path in Path().iterdir()] == ["net.onnx"]


def test_a_model_that_is_not_there_is_a_diagnostic(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("nowhere.onnx", "--target", "ultra96") == 1
    assert _errors(capsys) == ["error[QC101]: nowhere.onnx: cannot be read: No such file or directory"]


def test_a_folder_is_no_model(capsys: pytest.CaptureFixture[str]) -> None:
    Path("net").mkdir()
    assert run("net", "--target", "ultra96") == 1
    assert _errors(capsys) == ["error[QC101]: net: is a folder"]


@pytest.mark.parametrize(
    ("array", "error"),
    [
        (np.zeros((5, 3)), 'error[QC201]: input "image": the array has shape [5, 3]'),
        (
            np.full((5, 8, 8), np.nan),
            'error[QC201]: input "image": the array holds 320 values that are NaN or infinite',
        ),
        (np.zeros((0, 8, 8)), 'error[QC201]: input "image": the array holds no sample'),
        (np.full((5, 8, 8), "a"), 'error[QC201]: input "image": the array has type <U1'),
    ],
)
def test_calibration_that_does_not_fit_is_a_diagnostic(
    array: np.ndarray, error: str, capsys: pytest.CaptureFixture[str]
) -> None:
    np.save("x.npy", array)
    assert run(str(MODEL), "--target", "ultra96", "--calibrate", "x.npy") == 1
    assert _errors(capsys) == [error]
    assert not Path("build").exists()


@pytest.mark.parametrize(
    ("words", "errors"),
    [
        ("--weights fixd:4", ["error[QC203]: weights: format 'fixd:4' is not understood"]),
        ("--weights fixed:99", ["error[QC203]: weights: format 'fixed:99' is not understood"]),
    ],
)
def test_a_format_that_does_not_exist_is_a_diagnostic(
    words: str, errors: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(str(MODEL), "--target", "ultra96", *words.split()) == 1
    assert _errors(capsys) == errors


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ('[quantize]\nweihgts = "fixed:4"\n', 'error[QC204]: q.toml: [quantize]: there is no key "weihgts"'),
        ('[layers."nope"]\nweights = "fixed:4"\n', "error[QC204]: "),
        ("[quantize\n", "error[QC505]: q.toml: is not TOML: "),
        ('[target]\nclock_mhz = "fast"\n', "error[QC505]: q.toml: [target] clock_mhz: 'fast' is not understood"),
    ],
)
def test_a_configuration_with_a_mistake_is_a_diagnostic(
    text: str, error: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("q.toml").write_text(text)
    assert run(str(MODEL), "--target", "ultra96", "--config", "q.toml") == 1
    assert [line[: len(error)] for line in _errors(capsys)] == [error]
    assert not Path("build").exists()
