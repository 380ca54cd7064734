"""The files of the hand-over, by their place in the output folder."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from qcompile.backends.amaranth import Pins
from qcompile.handover.block import Block
from qcompile.handover.codec import Codec
from qcompile.handover.integration import integration_files
from qcompile.templates import render

Beats = npt.NDArray[np.uint8]

_BATCH = 3  # frames through the adapter
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
        **(_adapter_testbench(block, inputs, outputs) if block.pins.interface == "axis" else {}),
        **driver_files(block, host),
        **integration_files(block),
    }
    names = {"block": block, "encoder": host.encoder, "decoder": host.decoder, "layers": layers}
    return {**files, "README.md": render("handover/README.md.j2", **names, files=_about(block, files))}


def vector_files(inputs: Beats, outputs: Beats) -> dict[str, str]:
    """Transfers ``[frames, beats, bytes]`` as $readmemh reads them."""
    return {"vectors/input.hex": _hex(inputs), "vectors/output.hex": _hex(outputs)}


def _about(block: Block, files: Iterable[str]) -> list[tuple[str, str]]:
    """What lies where, as the data sheet lists it; only what is among ``files``."""
    name = block.name
    every = {
        f"rtl/{name}_dma.v": "adapter to streams of 32 bits, for a DMA",
        f"tb/{name}_tb.v": "self-checking testbench in Verilog; run by `make -C tb`",
        f"tb/{name}_dma_tb.v": f"the same for the adapter: `make -C tb TOP={name}_dma`",
        f"tb/test_{name}.py": "test in cocotb; run by `make -C tb cocotb`",
        f"driver/{name}.py": "driver in Python, for PYNQ; its codec runs anywhere",
        f"driver/{name}.h": "driver in C, for bare metal",
        f"driver/{name}.c": "its source",
        f"constraints/{name}.xdc": "the clock, for Vivado",
        f"constraints/{name}.sdc": "the clock, for other tools",
        "vivado/build.tcl": f"from here to a bitstream for {block.target.name}, with a DMA",
        "ip/component.xml": "IP-XACT 1685-2014",
        "ip/package_ip.tcl": "packages the block for Vivado's IP catalogue",
        f"litex/{name}.py": "LiteX module with stream endpoints",
        f"{name}.core": "FuseSoC core, with targets sim, lint and synth",
    }
    known = [(file, about) for file, about in every.items() if file in files]
    return [
        (f"rtl/{name}.v", "the top module, and the structure below it"),
        ("rtl/*_datapath.v", "a layer's arithmetic, one line per adder"),
        *known,
        ("vectors/", "frames in and out, one beat a line, for the testbenches"),
        ("golden.txt", "the integer network that the hardware equals bit for bit"),
        ("schedule.json, report.json, report.txt", "lanes of each layer; figures"),
    ]


def _testbench(block: Block, frames: int) -> dict[str, str]:
    run = min(frames, max(2, _SIMULATED_CYCLES // block.interval_cycles))
    streaming = block.pins.interface == "axis"
    test = {f"tb/test_{block.name}.py": render("handover/cocotb.py.j2", block=block, run=run)} if streaming else {}
    return {
        f"tb/{block.name}_tb.v": render("handover/testbench.v.j2", block=block, frames=frames, run=run, prefix=""),
        **test,
        "tb/Makefile": render("handover/Makefile.j2", block=block, adapter=streaming),
    }


def _adapter_testbench(block: Block, inputs: Beats, outputs: Beats) -> dict[str, str]:
    """Of the adapter to 32-bit streams: a batch is one frame of words."""
    batch = min(len(inputs), _BATCH)
    sides = {
        f"vectors/dma_{side}.hex": _hex(_words(beats[:batch], bus.words))
        for side, beats, bus in (("input", inputs, block.input), ("output", outputs, block.output))
    }
    text = render("handover/testbench.v.j2", block=block.adapter(batch), frames=1, run=1, prefix="dma_")
    return {**sides, f"tb/{block.name}_dma_tb.v": text}


def _words(beats: Beats, words: int) -> Beats:
    """``[1, words, 4]`` of ``[frames, beats, bytes]``, each beat in ``words`` words."""
    padded = np.pad(beats, ((0, 0), (0, 0), (0, 4 * words - beats.shape[2])))
    return padded.reshape(1, -1, 4)


def driver_files(block: Block, host: Codec) -> dict[str, str]:
    """The host's side in Python and C."""
    names = {"block": block, "encoder": host.encoder, "decoder": host.decoder}
    return {
        f"driver/{block.name}.py": render("handover/driver.py.j2", **names, **{"class": block.class_name}),
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


def with_stream_pins(block: Block, files: Mapping[str, str]) -> tuple[dict[str, str], str]:
    """The Verilog and its top module with AXI4-Stream pins alone, as the simulator drives them."""
    if block.pins == Pins():
        return dict(files), block.name
    streams = {
        **{f"in_{part}": f"s_axis_t{part}" for part in ("data", "valid", "ready", "last")},
        **{f"out_{part}": f"m_axis_t{part}" for part in ("data", "valid", "ready", "last")},
        "clock": "aclk",
        "enable": "1'b1",
    }
    connections = [
        (name, re.sub(r"^\w+(?=\[|$)", lambda found: streams.get(found[0], found[0]), signal))
        for name, signal in block.connections
    ]
    pad = block.output.bits - block.output.width if block.pins.interface == "parallel" else 0
    text = render("handover/pins.v.j2", block=block, connections=connections, pad=pad)
    top = f"{block.name}_pins"
    return {**files, f"{top}.v": text}, top
