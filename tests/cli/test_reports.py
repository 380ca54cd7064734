"""report, diff and estimate."""

import hashlib
import json
from pathlib import Path

import pytest
from fake_driver import FakeCompiled, FakeDriver, run

from qcompile.cli.compiling import parser as compile_parser
from qcompile.cli.estimating import parser as estimate_parser


def test_report_prints_what_the_compile_printed(driver: FakeDriver, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("net.onnx", "--target", "ultra96", "-o", "out") == 0
    printed = capsys.readouterr().out
    assert run("report", "out") == 0
    assert printed == capsys.readouterr().out + "\nwritten to out, to read: out/report.html\n"


def test_report_renders_both_anew_and_the_sums_say_so(driver: FakeDriver, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("net.onnx", "--target", "ultra96", "-o", "out") == 0
    assert run("report", "out") == 0
    out = Path("out")
    assert out.joinpath("report.html").read_text().startswith("<!doctype html>")
    assert "net for ultra96\n" in out.joinpath("report.txt").read_text()
    sums = dict(reversed(line.split("  ")) for line in out.joinpath("SHA256SUMS").read_text().splitlines())
    assert sums == {
        name: hashlib.sha256(out.joinpath(name).read_bytes()).hexdigest()
        for name in ("report.html", "report.json", "report.txt")
    }
    assert run("net.onnx", "--target", "ultra96", "-o", "out") == 0  # the folder is still known as ours


def test_report_json_prints_the_file_and_writes_nothing(driver: FakeDriver, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("net.onnx", "--target", "ultra96", "-o", "out") == 0
    capsys.readouterr()
    assert run("report", "out", "--json") == 0
    assert capsys.readouterr().out == Path("out/report.json").read_text()
    assert not Path("out/report.html").exists()


SWEEP = "weights,activations,accuracy,agreement,error,lut\nfixed:4,fixed:6,95.25,97.5,0.1,4321\n"


def test_report_takes_a_sweep_and_keeps_it(driver: FakeDriver, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("net.onnx", "--target", "ultra96", "-o", "out") == 0
    Path("sweep.csv").write_text(SWEEP)
    assert run("report", "out", "--formats", "sweep.csv") == 0
    point = {"weights": "fixed:4", "activations": "fixed:6", "lut": 4321, "agreement": 0.975, "accuracy": 0.9525}
    assert json.loads(Path("out/report.json").read_text())["formats"] == [point]
    assert run("report", "out") == 0
    assert "95.25%" in Path("out/report.html").read_text()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "cannot be read: No such file or directory"),
        (SWEEP.replace("agreement", "agreed"), "has no column 'agreement'"),
        (SWEEP.replace("4321", "many"), "has a figure that is none: invalid literal for int() with base 10: 'many'"),
    ],
)
def test_a_sweep_that_is_none_is_a_diagnostic(
    content: str | None, message: str, driver: FakeDriver, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("net.onnx", "--target", "ultra96", "-o", "out", "-q") == 0
    if content is not None:
        Path("sweep.csv").write_text(content)
    capsys.readouterr()
    assert run("report", "out", "--formats", "sweep.csv") == 1
    assert capsys.readouterr().err == (
        f"error[QC520]: sweep.csv: {message}\n  = help: give the file that `qcompile sweep --csv FILE` wrote\n"
    )


@pytest.mark.parametrize("command", [("report",), ("diff", "good")])
@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "cannot be read: No such file or directory"),
        ("{", "is not JSON"),
        ("{}", "report.schema_version is missing"),
    ],
)
def test_a_folder_without_a_report_is_a_diagnostic(
    command: tuple[str, ...],
    content: str | None,
    message: str,
    driver: FakeDriver,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run("net.onnx", "--target", "ultra96", "-o", "good", "-q") == 0
    if content is not None:
        (tmp_path / "report.json").write_text(content)
    capsys.readouterr()
    assert run(*command, str(tmp_path)) == 1
    assert capsys.readouterr().err.startswith(f"error[QC506]: {tmp_path / 'report.json'}: {message}\n")


def test_diff_compares_two_folders_as_text_and_as_json(
    driver: FakeDriver, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("net.onnx", "--target", "ultra96", "-o", "a") == 0
    assert run("net.onnx", "--target", "pynq-z2", "--verify", "2", "-o", "b") == 0
    capsys.readouterr()
    assert run("diff", "a", "b") == 0
    out = capsys.readouterr().out
    assert out.startswith("a -> b\n\ntarget    ultra96 -> pynq-z2\n")
    assert run("diff", "a", "b", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["target"] == ["ultra96", "pynq-z2"]
    assert found["verify"] == {"reference_max_abs_error": [None, 0.5], "rtl_mismatches": [None, 0]}


def test_estimate_prints_the_report_and_writes_nothing(
    driver: FakeDriver, archive: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = sorted(Path().iterdir())
    words = "net.onnx --target ultra96 --fps 1000 --weights fixed:4 --clock 100 --effort 0"
    assert run("estimate", *words.split(), "--calibrate", str(archive)) == 0
    out, err = capsys.readouterr()
    assert out.startswith("net for ultra96\n\nexact     not checked")
    assert err == "  import\n  lower\n"
    assert isinstance(driver.made, FakeCompiled)
    options = dict(driver.made.options)
    assert options.pop("calibration").shape == (4, 2)
    chosen = {"target": "ultra96", "fps": 1000.0, "weights": "fixed:4", "clock_mhz": 100.0, "effort": 0}
    assert options | chosen == options and not {"backend", "allow_oversize"} & options.keys()
    assert sorted(Path().iterdir()) == before


def test_estimate_prints_the_verdict_alone_or_json(driver: FakeDriver, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("estimate", "net.onnx", "--target", "ultra96", "-q") == 0
    out, err = capsys.readouterr()
    assert (len(out.splitlines()), err) == (2, "")
    assert run("estimate", "net.onnx", "--target", "ultra96", "--json") == 0
    assert json.loads(capsys.readouterr().out)["totals"]["lut"] == 40


@pytest.mark.parametrize("words", [[], ["--target", "none"]])
def test_an_estimate_needs_a_target(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run("estimate", "net.onnx", *words) == 2
    assert "--target is missing" in capsys.readouterr().err


def test_an_estimate_takes_every_option_that_chooses_the_design() -> None:
    formats = next(group for group in compile_parser()._action_groups if group.title == "formats")
    choosing = {name for action in formats._group_actions for name in action.option_strings}
    choosing |= {"--target", "--name", "--clock", "--fps", "--fold", "--schedule"}
    options = {name for action in estimate_parser()._actions for name in action.option_strings}
    assert choosing <= options
    assert options <= {name for action in compile_parser()._actions for name in action.option_strings}
