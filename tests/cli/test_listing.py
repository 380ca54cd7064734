"""targets, formats, passes, explain."""

import subprocess
import sys

import pytest
from fake_driver import run

from qcompile import targets
from qcompile.cli.pass_list import known_passes
from qcompile.numerics.formats import FORMATS, parse_format
from qcompile.rules import RULES


def test_targets_lists_all_and_shows_one_with_its_sources(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("targets") == 0
    out = capsys.readouterr().out
    assert [line.split()[0] for line in out.splitlines()[2:-3]] == list(targets.names())
    assert "ultra96          xczu3eg-sbva484-1-i   xcup        70,560       6  141,120     432    360  200\n" in out
    assert "icebreaker *     iCE40UP5K-SG48        ice40        5,280       4    5,280       6      8   24\n" in out
    assert "\nde10-nano        5CSEBA6U23I7          ~cyclonev " in out
    assert run("targets", "icebreaker") == 0
    out = capsys.readouterr().out
    assert "  block RAM   30 blocks (EBR, SB_RAM40_4K) of 4,096 bits; 100% may be filled\n" in out
    assert "  bitstream   12 MHz at pin 35, UART in 6, out 9\n" in out
    assert "    - luts, ffs, brams, dsp: Lattice FPGA-DS-02008" in out
    assert run("targets", "de10-nano") == 0
    assert "  caution     LUTs are those of four inputs" in capsys.readouterr().out


@pytest.mark.parametrize("kind", FORMATS)
def test_every_listed_format_is_one(kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    spelling = FORMATS[kind]
    assert str(parse_format(spelling.example, "")) == spelling.example
    assert run("formats") == 0
    assert f"\n{spelling.written} " in capsys.readouterr().out


def test_passes_lists_every_pass_with_its_levels(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("passes") == 0
    out = capsys.readouterr().out
    for step in known_passes():
        assert f"{step.name} " in out and step.summary
    assert "model -> integer" in out


@pytest.mark.parametrize("code", RULES)
def test_explain_knows_every_code(code: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("explain", code.lower()) == 0
    assert capsys.readouterr().out.startswith(f"{code}: {RULES[code].title}\n\n")


def test_explain_alone_lists_the_codes(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("explain") == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()[2:]] == list(RULES)


def test_the_module_runs_and_a_closed_pipe_is_no_error() -> None:
    done = subprocess.run(
        ["sh", "-c", f"{sys.executable} -m qcompile targets | head -1; echo done"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert (done.stdout.splitlines()[0][:6], done.stdout.splitlines()[1], done.stderr) == ("target", "done", "")


def test_listings_start_without_the_compiler() -> None:
    code = "import sys; from qcompile.cli import main; main(['targets']); sys.exit('onnx' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
