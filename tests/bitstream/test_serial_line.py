"""Boards in Verilator, from pin to pin: samples over the serial line, answers held to the emulator."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pytest

import qcompile
from qcompile.bitstream.build import BAUD, PAUSE_SECONDS, board_sources, names_class
from qcompile.bitstream.pll import find_pll
from qcompile.verify.compiler import find_compiler, run_compiler
from qcompile.verify.vectors import pack
from qcompile.verify.verilator import VERILATE_FLAGS, _flags, _runtime_objects, find_verilator

ROOT = Path(__file__).resolve().parents[2]
CLOCK_MHZ = 12  # of the crystal: no PLL, which Verilator does not know


def simulated(sources: dict[str, str], folder: Path) -> Path:
    """The board and the host of serial_line.cpp as a program."""
    verilator, compiler = find_verilator(), find_compiler()
    for name, text in sources.items():
        (folder / name).write_text(text)
    command = ["--cc", "--top-module", "board", "--prefix", "Vtop", "--Mdir", str(folder), *VERILATE_FLAGS]
    done = verilator.run([*command, *sources], folder)
    assert done.returncode == 0, done.stderr
    units = [*map(str, folder.glob("Vtop*.cpp")), str(Path(__file__).with_name("serial_line.cpp"))]
    runtime = map(str, _runtime_objects(verilator, compiler, False))
    program = folder / "board"
    unneeded = ("-DVL_USER_FINISH", "-DVL_USER_STOP", "-DVL_USER_FATAL")
    flags = [flag for flag in _flags(verilator, False) if flag not in unneeded]
    ends = folder / "ends.cpp"
    ends.write_text("#include <cstdlib>\n" + "".join(f"void vl_{end} {{ std::abort(); }}\n" for end in ENDS))
    run_compiler([*compiler, *flags, f"-I{folder}", "-o", str(program), *units, str(ends), *runtime, "-lpthread"])
    return program


ENDS = (
    "finish(const char*, int, const char*)",
    "stop(const char*, int, const char*)",
    "fatal(const char*, int, const char*, const char*)",
)


@pytest.mark.parametrize("fps", [2_000])
def test_a_board_answers_what_the_emulator_computes_and_the_class(fps: int | None, tmp_path: Path) -> None:
    """Folded, a result is ten beats of one value; unrolled, one beat of ten. A broken-off sample comes first."""
    archive = np.load(ROOT / "examples" / "digits.npz")
    flat = archive["x_calib"].reshape(-1, 64)
    compiled = qcompile.compile(
        ROOT / "examples" / "digits_mlp.onnx",
        target="icebreaker",
        calibration=flat,
        weights="fixed:2",
        activations="fixed:3",
        clock_mhz=CLOCK_MHZ,
        fps=fps,
        allow_oversize=True,
    )
    assert compiled.hardware is not None and compiled.hardware.rtl is not None
    target, design, rtl = compiled.hardware.target, compiled.hardware.design, compiled.hardware.rtl
    source, sink = design.streams
    assert names_class(compiled.integer_graph)
    pll = find_pll(target.family, 12, CLOCK_MHZ)
    sources = {**rtl.files, **board_sources(rtl, sink, target, pll, classifies=True)}
    program = simulated(sources, tmp_path)

    samples = archive["x_test"][:3].reshape(-1, 64)
    node = compiled.emulator.outputs[0].name
    codes = compiled.emulator.encode(samples)
    emulated = compiled.emulator.run(codes)[node].reshape(len(samples), -1)
    result = pack(emulated, sink).reshape(len(samples), -1)
    expected = b"".join(
        row.tobytes() + int(values.argmax()).to_bytes(2, "little") for row, values in zip(result, emulated, strict=True)
    )
    sent = pack(codes, source)
    bit, pause = round(CLOCK_MHZ * 1e6 / BAUD), int(CLOCK_MHZ * 1e6 * PAUSE_SECONDS) + 100
    words = [str(n) for n in (bit, sent[0].size, len(expected) // len(samples), pause)]
    done = subprocess.run([program, *words], input=sent.tobytes(), capture_output=True, check=True)
    assert done.stdout == expected
