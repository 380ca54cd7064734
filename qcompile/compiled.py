"""A compiled network: emulate, simulate, verify, synthesize, write."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from qcompile.backends.hls import Hls
from qcompile.bitstream.build import Bitstream, names_class
from qcompile.bitstream.build import build as build_bitstream
from qcompile.bitstream.summary import bitstream_report
from qcompile.emulator import Emulator
from qcompile.errors import Diagnostic, fail
from qcompile.handover import Block, codec, handover_files, vector_files
from qcompile.implementations import Hardware, Implementations, Vectors
from qcompile.ir import integer
from qcompile.ir.graph import Graph
from qcompile.ir.text import print_graph
from qcompile.output import write_folder
from qcompile.quality import Networks, assess
from qcompile.quantize import as_samples, checked_samples
from qcompile.report import render_html, render_text, to_json
from qcompile.schedule import schedule_text
from qcompile.synth import prove_no_multiplier, synth
from qcompile.verification import Approximation, Floats, Verifier, checked_labels, random_samples

_VECTOR_SAMPLES = 16  # in the testbenches where nothing was verified

DEFAULT_SAMPLES = 64
"""Samples of a verification for which none are given."""


class Compiled:
    """A compiled network. ``integer_graph`` is the golden model, ``outputs`` are the ONNX outputs' names, ``report``
    is what report.json holds, ``hardware`` is None without a target.
    """

    def __init__(
        self,
        model: Any,
        golden: Graph,
        report: dict[str, Any],
        *,
        outputs: tuple[str, ...],
        warnings: tuple[Diagnostic, ...],
        calibration: npt.NDArray[Any] | None,
        labels: npt.NDArray[Any] | None,
        networks: Networks,
        approximation: Approximation | None,
        hardware: Hardware | None = None,
        native: bool = False,
    ) -> None:
        self.integer_graph = golden
        self.outputs = outputs
        self.warnings = warnings
        self.report = report
        if warnings:
            notices = [{"code": w.code, "where": w.where, "found": w.found, "help": w.help} for w in warnings]
            self.report["warnings"] = notices
        self.hardware = hardware
        self.emulator = Emulator(golden)
        self._runs = None if hardware is None else Implementations(hardware, self.emulator, report["totals"])
        self._native = native and hardware is not None
        self._verifier = Verifier(model, self.emulator, self._runs, self._native, approximation)
        self._calibration = calibration
        self._labels = labels
        self._networks = networks
        self._verified_on: Floats | None = None
        self._vectors: Vectors | None = None
        self._bitstream: Bitstream | None = None

    @property
    def input_shape(self) -> tuple[int, ...]:
        """The ONNX input's shape, batch 1 included."""
        op = self.emulator.inputs[0].op
        assert isinstance(op, integer.Input)
        return op.onnx_shape

    def emulate(self, x: npt.ArrayLike) -> Any:
        """Real outputs ``[samples, *ONNX shape]`` by the bit-exact emulator; a dict by name where there are several."""
        if self._native:
            return self.native(x)
        return self._decoded(self.emulator.run(self._encoded(x)))

    def emulate_codes(self, x: npt.ArrayLike) -> Any:
        """Integer output codes, in ONNX's order, before any softmax on the host; as `emulate` otherwise."""
        codes = self.emulator.run(self._encoded(x))
        nodes = self.emulator.outputs
        return self._named([_in_onnx_order(node.op, codes[node.name]) for node in nodes])

    def simulate(self, x: npt.ArrayLike, seed: int = 0) -> Any:
        """As `emulate`, by the RTL in Verilator, with random back-pressure on both streams from ``seed``."""
        return self._decoded_output(self._implementations("simulate").run_rtl(self._encoded(x), seed, 0.25)[0])

    def hls(self) -> Hls:
        """The HLS project. Every file that becomes hardware is known to multiply nothing at run time."""
        return self._implementations("write as C++").hls

    def csim(self, x: npt.ArrayLike) -> Any:
        """As `emulate`, by the HLS C++ with exact types, through its AXI4-Stream; QC503 without a C++ compiler."""
        return self._decoded_output(self._implementations("write as C++").run_csim(self._encoded(x)))

    def native(self, x: npt.ArrayLike) -> Any:
        """As `emulate`, by the HLS C++ with the processor's integers, many samples at a time; QC503 as `csim`."""
        return self._decoded_output(self._implementations("write as C++").run_native(self._encoded(x)))

    def verify(
        self,
        samples: npt.ArrayLike | None = None,
        *,
        count: int = DEFAULT_SAMPLES,
        labels: npt.ArrayLike | None = None,
        seed: int = 0,
    ) -> dict[str, Any]:
        """Reference, emulator and (with a target) RTL on the first ``count`` samples; fills ``report["verify"]``.

        Without ``samples`` the calibration data are used, else random codes. Accuracy needs ``labels``, and is
        that of all samples given, not of the simulated ones alone.
        """
        if samples is not None:
            x, found = self._samples(samples), labels
            self._verified_on = x
        else:
            x, found = self._typical(count), self._labels if labels is None else labels
        if samples is None and self._calibration is None:
            found = None  # nobody knows what random samples are
        self.report["verify"] = self._verifier.run(x, checked_labels(found, x), count, seed)
        self._vectors = self._transfers(x[:count])
        result: dict[str, Any] = self.report["verify"]
        return result

    @property
    def block(self) -> Block:
        """Ports, streams and timing of the RTL: what the texts for the hardware team are rendered from."""
        return self._implementations("describe").block

    def assess(self) -> None:
        """How the layers use their grids, and what error each leaves: fills the report's ``quality`` and its layers'.

        On the samples of a verification, else on the calibration data; `write` does it where it was not done.
        """
        x, source = self._verified_on, "verification"
        if x is None and self._calibration is not None:
            x, source = self._samples(self._calibration), "calibration"
        if x is None or self.hardware is None:
            return
        results = {layer.name: layer.integer_nodes[-1] for layer in self.hardware.design.layers}
        assess(self.report, self._networks, results, x, source)

    def synthesize(self) -> dict[str, Any]:
        """Resources measured by Yosys, and the proof that no cell multiplies; fills ``report["synth"]``."""
        hardware = self._hardware("synthesize")
        rtl = hardware.rtl_to("synthesize")
        prove_no_multiplier(rtl.files, rtl.top)
        keep = [f"{rtl.top}_core_{layer.name}" for layer in hardware.design.layers]
        self.report["synth"] = synth(rtl.files, rtl.top, hardware.target, keep)
        return dict(self.report["synth"])

    def bitstream(self, progress: Callable[[str], None] = lambda stage: None) -> dict[str, Any]:
        """Places and routes the network behind a serial line; fills ``report["bitstream"]``, and `write` adds the
        folder ``bitstream``. Minutes for large designs.
        """
        hardware = self._hardware("route")
        layers = {layer.name: layer.origin for layer in hardware.design.layers}
        self._bitstream = build_bitstream(
            hardware.rtl_to("route"),
            hardware.design.streams[1],
            hardware.target,
            hardware.design.clock_mhz,
            layers,
            classifies=names_class(self.integer_graph),
            progress=progress,
        )
        self.report["bitstream"] = bitstream_report(self._bitstream, layers)
        return dict(self.report["bitstream"])

    def write(self, folder: str | os.PathLike[str]) -> None:
        """The output folder: complete or not at all, the same bytes for the same compile."""
        if "quality" not in self.report:
            self.assess()
        files: dict[str, str | bytes] = {
            "report.json": to_json(self.report),
            "report.txt": render_text(self.report),
            "report.html": render_html(self.report),
            "golden.txt": print_graph(self.integer_graph),
        }
        if self._runs is not None:
            files |= self._hardware_files(self._runs)
        if self._bitstream is not None:
            files |= {f"bitstream/{name}": content for name, content in self._bitstream.files.items()}
        write_folder(folder, files)

    def _hardware_files(self, runs: Implementations) -> dict[str, str]:
        files = {"schedule.json": schedule_text(runs.hardware.design)}
        vectors = self._vectors or self._transfers(self._typical(_VECTOR_SAMPLES)[:_VECTOR_SAMPLES])
        assert vectors is not None
        if runs.hardware.rtl is not None:
            source, sink = self.emulator.inputs[0].op, self.emulator.outputs[0].op
            assert isinstance(source, integer.Input) and isinstance(sink, integer.Output)
            files |= {f"rtl/{name}": text for name, text in runs.hardware.rtl.files.items()}
            files |= handover_files(runs.block, codec(source, sink, self.outputs[0]), self.report["layers"], *vectors)
        if runs.hardware.writes_hls:
            project = runs.hls.files | vector_files(*vectors)
            files |= {f"hls/{name}": text for name, text in project.items()}
        return files

    def _hardware(self, what: str) -> Hardware:
        """QC505 where there is none to ``what``."""
        return self._implementations(what).hardware

    def _implementations(self, what: str) -> Implementations:
        if self._runs is None:
            raise fail("QC505", "target", f"there is no hardware to {what}", "compile with a target")
        return self._runs

    def _samples(self, x: npt.ArrayLike) -> Floats:
        return as_samples(np.asarray(x), self.input_shape, "samples")

    def _typical(self, count: int) -> Floats:
        """The calibration data, else ``count`` random samples."""
        if self._calibration is None:
            return random_samples(self.emulator, count)
        return self._samples(self._calibration)

    def _transfers(self, x: Floats) -> Vectors | None:
        """Samples as input transfers, and what the emulator makes of them as output transfers."""
        if self._runs is None:
            return None
        codes = self.emulator.encode(x)
        return self._runs.packed(codes, self.emulator.run(codes)[self.emulator.outputs[0].name])

    def _encoded(self, x: npt.ArrayLike) -> npt.NDArray[Any]:
        return self.emulator.encode(checked_samples(np.asarray(x), self.input_shape, "samples"))

    def _decoded(self, codes: Mapping[str, Any]) -> Any:
        return self._named([self.emulator.decode(node, codes[node.name]) for node in self.emulator.outputs])

    def _decoded_output(self, codes: npt.NDArray[Any]) -> Any:
        (node,) = self.emulator.outputs
        return self.emulator.decode(node, codes)

    def _named(self, values: list[Any]) -> Any:
        """The only output, or all of them by their ONNX names."""
        return values[0] if len(values) == 1 else dict(zip(self.outputs, values, strict=True))


def _in_onnx_order(op: Any, codes: npt.NDArray[Any]) -> npt.NDArray[Any]:
    return codes.reshape(len(codes), -1)[:, op.order.values.ravel()].reshape(-1, *op.onnx_shape)
