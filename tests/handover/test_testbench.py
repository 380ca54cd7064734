"""The testbenches pass on what was compiled, in every simulator there is, and fail on anything else."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from handover_example import Written

Edit = Callable[[str], str]


def run(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """`make` in ``tb/``, with the tools beside this Python first."""
    tools = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        ["make", "-C", str(folder / "tb"), *words],
        env={**os.environ, "PATH": tools},
        capture_output=True,
        text=True,
        check=False,
    )


def edit(file: Path, change: Edit) -> None:
    text = file.read_text()
    assert change(text) != text
    file.write_text(change(text))


def check_passed(done: subprocess.CompletedProcess[str], block: Written) -> None:
    totals = block.compiled.report["totals"]
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(re.findall(r"^PASS: 16 frames, \d+ cycles$", done.stdout, re.M)) == 2
    assert f"latency {totals['latency_cycles']} cycles, interval {totals['ii_cycles']} cycles" in done.stdout
    assert done.stderr == ""


def test_it_passes_in_icarus_without_a_warning(copy: Path, block: Written, icarus: None) -> None:
    check_passed(run(copy, "icarus"), block)


def test_it_passes_in_verilator_without_a_warning_and_sees_a_wrong_bit(copy: Path, block: Written) -> None:
    check_passed(run(copy, "verilator"), block)
    edit(copy / "vectors" / "output.hex", lambda text: flipped(text, 5))
    done = run(copy, "verilator")
    assert done.returncode != 0
    assert re.search(r"^FAIL: wrong data, cycle \d+, frame 5, beat 0$", done.stdout, re.M)
    assert "FAIL: 1 errors in 16 frames" in done.stdout


def flipped(vectors: str, frame: int) -> str:
    """``vectors`` with the lowest bit of a frame of one beat inverted."""
    lines = vectors.splitlines()
    place = lines.index(f"// frame {frame}") + 1
    lines[place] = lines[place][:-1] + f"{int(lines[place][-1], 16) ^ 1:x}"
    return "\n".join(lines) + "\n"


SLICE = "output_slice_o_payload"
FAULTS: dict[str, tuple[str, Edit]] = {
    "a wrong bit": ("wrong data", lambda top: top.replace("m_axis_tdata = {", "m_axis_tdata = ~{", 1)),
    "a missing last": (
        "misplaced last",
        lambda top: re.sub(r"(assign m_axis_tlast = )", r"\1 1'b0 & ", top),
    ),
    "a beat that does not wait": (
        "a waiting beat",
        lambda top: re.sub(r"(\.o_ready\()m_axis_tready", r"\g<1>1'b1", top),
    ),
    "silence": ("deadlock", lambda top: re.sub(r"(\.i_valid\()s_axis_tvalid", r"\g<1>1'b0", top)),
    "valid in reset": (
        "valid during reset",
        lambda top: top.replace(".o_valid(m_axis_tvalid)", ".o_valid()").replace(
            "assign rst", "assign m_axis_tvalid = ~aresetn;\n  assign rst"
        ),
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_in_the_hardware_is_found(fault: str, copy: Path, block: Written, icarus: None) -> None:
    message, change = FAULTS[fault]
    edit(copy / "rtl" / f"{block.name}.v", change)
    done = run(copy, "icarus")
    assert done.returncode != 0
    assert f"FAIL: {message}" in done.stdout


@pytest.mark.parametrize("file", ["input.hex", "output.hex"])
def test_missing_vectors_are_no_pass(file: str, copy: Path, icarus: None) -> None:
    (copy / "vectors" / file).unlink()
    done = run(copy, "icarus")
    assert done.returncode != 0 and "FAIL: " in done.stdout


@pytest.mark.parametrize("form", ["vcd", "fst"])
def test_waves_are_written_on_request(form: str, copy: Path, block: Written, icarus: None) -> None:
    done = run(copy, "vcd", f"FORMAT={form}", "TOOL=icarus")
    assert done.returncode == 0, done.stderr
    waves = (copy / "tb" / "obj" / f"{block.name}.{form}").read_bytes()
    assert (b"m_axis_tdata" in waves) == (form == "vcd") and len(waves) > 1000


def test_plusargs_choose_frames_seed_and_stalls(copy: Path, icarus: None) -> None:
    cycles = {}
    for words in ("+seed=1", "+seed=2", "+stall=200", "+frames=3"):
        done = run(copy, "icarus", f"ARGS={words}")
        found = re.search(r"^PASS: (\d+) frames, (\d+) cycles", done.stdout, re.M)
        assert done.returncode == 0 and found and int(found[1]) == (3 if "frames" in words else 16)
        cycles[words] = int(found[2])
    assert cycles["+seed=1"] != cycles["+seed=2"] < cycles["+stall=200"]
    assert cycles["+frames=3"] < cycles["+seed=1"]


def test_a_compile_replaces_a_folder_that_was_simulated_in(copy: Path, block: Written, icarus: None) -> None:
    assert run(copy, "icarus").returncode == 0
    block.compiled.write(copy)
    assert not (copy / "tb" / "obj").exists()


def cocotb(folder: Path, name: str, simulator: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(folder / "tb" / f"test_{name}.py")],
        env={**os.environ, "SIM": simulator},
        capture_output=True,
        text=True,
        check=False,
    )


def test_cocotb_passes_in_icarus_and_sees_a_wrong_bit(copy: Path, block: Written, icarus: None) -> None:
    done = cocotb(copy, block.name, "icarus")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.endswith("PASS in icarus\n")
    edit(copy / "vectors" / "output.hex", lambda text: flipped(text, 15))
    done = cocotb(copy, block.name, "icarus")
    assert done.returncode == 1 and "ERROR: Failed 4 of 4 tests" in done.stderr


@pytest.mark.slow
def test_cocotb_passes_in_verilator(copy: Path, block: Written) -> None:
    done = cocotb(copy, block.name, "verilator")
    assert done.returncode == 0 and done.stdout.endswith("PASS in verilator\n"), done.stdout
