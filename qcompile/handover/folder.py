"""The files of the hand-over, by their place in the output folder."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from qcompile.handover.block import Block
from qcompile.templates import render

Beats = npt.NDArray[np.uint8]

_SIMULATED_CYCLES = 100_000  # what a simulator without compiler does in seconds


def handover_files(block: Block, inputs: Beats, outputs: Beats) -> dict[str, str]:
    """Everything but ``rtl/``. ``inputs`` and ``outputs`` ``[frames, beats, bytes]`` are the golden vectors."""
    return {**vector_files(inputs, outputs), **_testbench(block, len(inputs))}


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


def _hex(beats: Beats) -> str:
    """One line per beat, most significant byte first; a comment before each frame."""
    lines = []
    for frame, rows in enumerate(beats):
        lines.append(f"// frame {frame}")
        lines.extend(bytes(row[::-1]).hex() for row in rows)
    return "\n".join(lines) + "\n"
