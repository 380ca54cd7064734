"""The files of the hand-over, by their place in the output folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from qcompile.handover.block import Block
from qcompile.handover.codec import Codec
from qcompile.templates import render

Beats = npt.NDArray[np.uint8]

_SIMULATED_CYCLES = 100_000  # what a simulator without compiler does in seconds


def handover_files(
    block: Block, host: Codec, layers: Sequence[Mapping[str, Any]], inputs: Beats, outputs: Beats
) -> dict[str, str]:
    """Everything but ``rtl/``. ``layers`` are those of report.json; ``inputs`` and ``outputs`` ``[frames, beats,
    bytes]`` are the golden vectors.
    """
    files = {
        **vector_files(inputs, outputs),
        **_testbench(block, len(inputs)),
        **driver_files(block, host),
    }
    names = {"block": block, "encoder": host.encoder, "decoder": host.decoder, "layers": layers}
    return {**files, "README.md": render("handover/README.md.j2", **names, files=_about(block.name))}


def _about(name: str) -> list[tuple[str, str]]:
    """What lies where, as the data sheet lists it."""
    return [
        (f"rtl/{name}.v", "the top module, and the structure below it"),
        ("rtl/*_datapath.v", "a layer's arithmetic, one line per adder"),
        (f"tb/{name}_tb.v", "self-checking testbench in Verilog; run by `make -C tb`"),
        (f"tb/test_{name}.py", "test in cocotb; run by `make -C tb cocotb`"),
        ("vectors/", "frames in and out, one beat a line, for both"),
        (f"driver/{name}.py", "driver in Python, for PYNQ; its codec runs anywhere"),
        (f"driver/{name}.h, driver/{name}.c", "the same in C, for bare metal"),
        ("golden.txt", "the integer network that the hardware equals bit for bit"),
        ("schedule.json, report.json, report.txt", "lanes of each layer; figures"),
    ]


def vector_files(inputs: Beats, outputs: Beats) -> dict[str, str]:
    """Transfers ``[frames, beats, bytes]`` as $readmemh reads them."""
    return {"vectors/input.hex": _hex(inputs), "vectors/output.hex": _hex(outputs)}


def _testbench(block: Block, frames: int) -> dict[str, str]:
    run = min(frames, max(2, _SIMULATED_CYCLES // block.interval_cycles))
    return {
        f"tb/{block.name}_tb.v": render("handover/testbench.v.j2", block=block, frames=frames, run=run),
        f"tb/test_{block.name}.py": render("handover/cocotb.py.j2", block=block, run=run),
        "tb/Makefile": render("handover/Makefile.j2", block=block),
    }


def driver_files(block: Block, host: Codec) -> dict[str, str]:
    """The host's side in Python and C."""
    names = {"block": block, "encoder": host.encoder, "decoder": host.decoder}
    camel = "".join(part.capitalize() for part in block.name.split("_"))
    return {
        f"driver/{block.name}.py": render("handover/driver.py.j2", **names, **{"class": camel}),
        f"driver/{block.name}.h": render("handover/driver.h.j2", **names),
        f"driver/{block.name}.c": render("handover/driver.c.j2", **names),
    }


def _hex(beats: Beats) -> str:
    """One line per beat, most significant byte first; a comment before each frame."""
    lines = []
    for frame, rows in enumerate(beats):
        lines.append(f"// frame {frame}")
        lines.extend(bytes(row[::-1]).hex() for row in rows)
    return "\n".join(lines) + "\n"
