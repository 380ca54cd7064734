"""The hardware of a compiled network in forms that run: RTL in Verilator, HLS C++ with exact and native integers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from qcompile.backends import hls as hls_backend
from qcompile.backends.amaranth import Rtl
from qcompile.emulator import Emulator
from qcompile.errors import fail
from qcompile.handover import Block, describe, fingerprint, with_stream_pins
from qcompile.schedule import Design
from qcompile.targets import Target
from qcompile.verify.csim import Csim, Native, build_csim, build_native
from qcompile.verify.simulator import Run, Simulator
from qcompile.verify.vectors import pack, unpack
from qcompile.verify.verilator import build
from qcompile.version import VERSION

Codes = npt.NDArray[np.int64]
Vectors = tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]
"""Input and output transfers of some frames: [frames, beats, bytes]."""


@dataclass(frozen=True)
class Hardware:
    """What exists once there is a target; ``rtl`` is None where the backend wrote none, ``writes_hls`` says
    whether the output folder has C++.
    """

    target: Target
    design: Design
    rtl: Rtl | None
    top: str
    writes_hls: bool

    def rtl_to(self, what: str) -> Rtl:
        """The RTL; QC505 where the backend wrote none, so that there is none to ``what``."""
        if self.rtl is None:
            way_out = "compile with a backend that writes it"
            raise fail("QC505", "backend", f"there is no RTL to {what}", way_out)
        return self.rtl


class Implementations:
    """Each is built when it first runs. Codes go in and come out shaped as the emulator's; QC503 without a tool."""

    def __init__(self, hardware: Hardware, emulator: Emulator, totals: Mapping[str, Any]) -> None:
        self.hardware = hardware
        self._emulator = emulator
        self._totals = totals

    @cached_property
    def hls(self) -> hls_backend.Hls:
        """The HLS project. Every file that becomes hardware is known to multiply nothing at run time."""
        project = hls_backend.emit(self.hardware.design, self.hardware.top, self.hardware.target)
        for file in project.synthesized:
            products = hls_backend.lint_no_runtime_multiplication(project.files[file])
            assert not products, f"{file}: {products}"
        return project

    @property
    def block(self) -> Block:
        """The interface of the RTL: ports, streams, timing."""
        return describe(
            self.hardware.design,
            self.hardware.rtl_to("describe"),
            self.hardware.target,
            self._totals,
            version=VERSION,
            fingerprint=fingerprint(self._emulator.graph),
        )

    def packed(self, codes: npt.NDArray[Any], outputs: npt.NDArray[Any]) -> Vectors:
        source, sink = self.hardware.design.streams
        return pack(codes, source), pack(outputs, sink)

    def run_rtl(self, codes: npt.NDArray[Any], seed: int, stall: float) -> tuple[Codes, Run]:
        """Output codes and the run with its cycle counts; both streams stall at random with a chance of ``stall``."""
        source, sink = self.hardware.design.streams
        beats = pack(codes, source)
        # A folded layer is silent for long.
        patience = 10_000 + 8 * (self._totals["latency_cycles"] + self._totals["ii_cycles"])
        run = self._simulator.run(
            beats, out_beats=sink.beats, frames=len(beats), seed=seed, stall=stall, timeout_cycles=patience
        )
        if not run.tlast_ok:
            raise fail("QC901", "m_axis_tlast", "not on the last beat of a frame", "report this with the model")
        return self._shaped(unpack(run.outputs, sink)), run

    def run_csim(self, codes: npt.NDArray[Any]) -> Codes:
        return self._shaped(unpack(self._csim.run(pack(codes, self.hls.source)), self.hls.sink))

    def run_native(self, codes: npt.NDArray[Any]) -> Codes:
        return self._shaped(self._native.run(codes))

    @cached_property
    def _simulator(self) -> Simulator:
        rtl = self.hardware.rtl_to("simulate")
        files, top = with_stream_pins(self.block, rtl.files)
        return build(files, top, in_width=rtl.in_width, out_width=rtl.out_width)

    @cached_property
    def _csim(self) -> Csim:
        return build_csim(self.hls)

    @cached_property
    def _native(self) -> Native:
        return build_native(self.hls)

    def _shaped(self, codes: Codes) -> Codes:
        """Codes ``[samples, beats, lanes]`` of the output stream in the shape of the emulator's."""
        shape = self._emulator.types[self._emulator.outputs[0].name].shape
        return codes.reshape(len(codes), *shape)
