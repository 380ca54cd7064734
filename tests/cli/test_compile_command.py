"""`qcompile MODEL`: what reaches the compiler, what is printed where, and exit codes."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from fake_driver import FakeCompiled, FakeDriver, run

from qcompile.errors import CompileError, Diagnostic


def _made(driver: FakeDriver) -> FakeCompiled:
    assert driver.made is not None
    return driver.made


def test_only_what_was_given_reaches_the_compiler(driver: FakeDriver) -> None:
    assert run("net.onnx", "--target", "ultra96") == 0
    assert _made(driver).model == "net.onnx"
    assert _made(driver).options == {"target": "ultra96", "backend": "amaranth", "allow_oversize": False}


def test_every_option_reaches_the_compiler(driver: FakeDriver, archive: Path) -> None:
    words = "net.onnx --target pynq-z2 --weights fixed:4 --activations fixed:6 --config q.toml --name net"
    words += " --clock 80 --fps 1000 --fold --effort 2 --allow-oversize"
    words += " --interface parallel --status axi-lite --clock-enable"
    assert run(*words.split(), "--calibrate", str(archive), "--synth", "-o", "out") == 0
    options = dict(_made(driver).options)
    assert options.pop("calibration").shape == (4, 2)
    assert options == {
        "target": "pynq-z2",
        "weights": "fixed:4",
        "activations": "fixed:6",
        "config": "q.toml",
        "name": "net",
        "clock_mhz": 80.0,
        "fps": 1000.0,
        "fold": True,
        "backend": "amaranth",
        "interface": "parallel",
        "status": "axi-lite",
        "clock_enable": True,
        "allow_oversize": True,
        "effort": 2,
    }
    assert _made(driver).synthesized
    assert (Path("out") / "report.json").exists()


def test_target_none_stops_at_the_integer_graph(driver: FakeDriver) -> None:
    assert run("net.onnx", "--target", "none") == 0
    assert _made(driver).options["target"] is None


def test_verification_takes_test_samples_and_labels_beside_the_calibration(driver: FakeDriver, archive: Path) -> None:
    assert run("net.onnx", "--target", "ultra96", "--calibrate", str(archive), "--verify", "2", "--seed", "5") == 0
    verified = _made(driver).verified
    assert verified is not None
    assert verified["samples"].tolist() == np.ones((3, 2)).tolist()
    assert (verified["labels"].tolist(), verified["count"], verified["seed"]) == ([0, 1, 1], 2, 5)


def test_the_result_goes_to_stdout_and_the_rest_to_stderr(
    driver: FakeDriver, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("net.onnx", "--target", "ultra96", "--verify", "3") == 0
    out, err = capsys.readouterr()
    assert out.startswith("net for ultra96\n\nexact     yes: RTL and emulator agree bit for bit on 3 samples\n")
    assert out.endswith("\nwritten to build, to read: build/report.html\n")
    assert err == (
        "  import\n  lower\n  verify\n  write\nwarning[QC202]: x: synthetic inputs\n  = help: give --calibrate\n"
    )
    assert "\033" not in out + err


def test_quiet_prints_the_verdict_alone(driver: FakeDriver, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("net.onnx", "--target", "ultra96", "--verify", "3", "-q") == 0
    out, err = capsys.readouterr()
    assert out == (
        "exact     yes: RTL and emulator agree bit for bit on 3 samples\n"
        "error     at most 0.5 against the ONNX model on 3 samples\n"
        "speed     200,000,000 samples/s at 200 MHz; latency 4 cycles (20 ns), one sample every 1\n"
    )
    assert err == "warning[QC202]: x: synthetic inputs\n  = help: give --calibrate\n"


def test_json_prints_the_report_and_nothing_else(driver: FakeDriver, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("net.onnx", "--target", "ultra96", "--json") == 0
    out, err = capsys.readouterr()
    assert json.loads(out) == _made(driver).report
    assert out == Path("build/report.json").read_text()
    assert err.startswith("  import\n")


def test_graphs_are_printed_after_the_passes_that_were_named(
    driver: FakeDriver, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("--print-ir-after", "integerize", "--print-ir-after", "fold_affine")
    assert run("net.onnx", "--target", "none", "-q", *words) == 0
    out, err = capsys.readouterr()
    assert out.startswith('// after integerize\ninteger graph "net"\n')
    assert err.startswith("note: fold_affine did not run for this model\n")


def test_a_mismatch_is_an_error_and_writes_nothing(
    driver: FakeDriver, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(FakeCompiled, "mismatches", 1)
    assert run("net.onnx", "--target", "ultra96", "--verify", "3") == 1
    assert "error[QC901]: net: RTL and emulator differ on 1 samples\n" in capsys.readouterr().err
    assert not Path("build").exists()


def test_diagnostics_of_the_compiler_are_printed_and_exit_with_1(
    driver: FakeDriver, capsys: pytest.CaptureFixture[str]
) -> None:
    driver.error = CompileError(Diagnostic("QC104", "/stem/Conv_3", "dilations [2, 2]", "export with 1"))
    assert run("net.onnx", "--target", "ultra96") == 1
    out, err = capsys.readouterr()
    assert (out, err) == (
        "",
        "  import\n  lower\nerror[QC104]: /stem/Conv_3: dilations [2, 2]\n  = help: export with 1\n",
    )
    assert not Path("build").exists()


def test_a_bug_shows_its_traceback_and_says_that_it_is_one(
    driver: FakeDriver, capsys: pytest.CaptureFixture[str]
) -> None:
    driver.error = AssertionError("lost a bit")
    assert run("net.onnx", "--target", "ultra96") == 3
    err = capsys.readouterr().err
    assert "AssertionError: lost a bit\n\nThis is a bug in qcompile 0.1.0, not in your model" in err


def test_an_interrupt_leaves_no_folder_and_no_traceback(driver: FakeDriver, capsys: pytest.CaptureFixture[str]) -> None:
    driver.error = KeyboardInterrupt()
    assert run("net.onnx", "--target", "ultra96") == 130
    assert capsys.readouterr().err.endswith("\nqcompile: interrupted; the output folder is as it was before\n")
    assert not Path("build").exists()


def test_colours_and_a_live_line_are_for_terminals_without_no_color(
    driver: FakeDriver, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert run("net.onnx", "--target", "ultra96") == 0
    err = capsys.readouterr().err
    assert "\r\033[K  lower  50% conv" in err and "\033[1;33mwarning[QC202]\033[0m: x" in err
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    monkeypatch.setenv("NO_COLOR", "1")
    assert run("net.onnx", "--target", "ultra96") == 0
    assert "\nwarning[QC202]: x" in capsys.readouterr().err


def test_the_verdict_is_coloured_on_a_terminal_alone(
    driver: FakeDriver, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert run("net.onnx", "--target", "ultra96", "--verify", "3") == 0
    assert "\nexact     \033[1;32myes\033[0m: RTL and emulator" in capsys.readouterr().out
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    assert run("net.onnx", "--target", "ultra96", "--json") == 0
    assert "\033" not in capsys.readouterr().out
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    monkeypatch.setenv("NO_COLOR", "1")
    assert run("net.onnx", "--target", "ultra96", "--verify", "3") == 0
    assert "\033" not in capsys.readouterr().out


def test_names_beyond_the_terminals_encoding_are_escaped(tmp_path: Path) -> None:
    script = (
        "import sys; sys.path.insert(0, sys.argv.pop(1)); from fake_driver import FakeDriver;"
        "from qcompile.cli import main;"
        "from qcompile.errors import CompileError, Diagnostic; sys.modules['qcompile.driver'] = fake = FakeDriver();"
        "fake.error = CompileError(Diagnostic('QC104', 'Größe', 'x', 'y')); sys.exit(main())"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(Path(__file__).parent), "net.onnx", "--target", "ultra96"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, "error[QC104]: Gr\\xf6\\xdfe: x" in done.stderr) == (1, True), done.stderr
