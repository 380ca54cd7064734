"""A compiled network: emulate, simulate, verify, synthesize, write."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from qcompile.backends import hls as hls_backend
from qcompile.backends.amaranth import Rtl
from qcompile.bitstream.build import Bitstream, names_class
from qcompile.bitstream.build import build as build_bitstream
from qcompile.bitstream.summary import bitstream_report
from qcompile.emulator import Emulator
from qcompile.errors import Diagnostic, fail
from qcompile.handover import (
    Block,
    Codec,
    codec,
    describe,
    fingerprint,
    handover_files,
    vector_files,
    with_stream_pins,
)
from qcompile.ir import integer
from qcompile.ir.graph import Graph
from qcompile.ir.text import print_graph
from qcompile.output import write_folder
from qcompile.quality import Networks, assess
from qcompile.quantize import as_samples, checked_samples
from qcompile.report import render_html, render_text, to_json
from qcompile.schedule import Design, schedule_text
from qcompile.synth import prove_no_multiplier, synth
from qcompile.targets import Target
from qcompile.verify.csim import Csim, Native, build_csim, build_native
from qcompile.verify.simulator import Simulator
from qcompile.verify.vectors import pack, unpack
from qcompile.verify.verilator import build
from qcompile.version import VERSION

_VECTOR_SAMPLES = 16  # in the testbenches where nothing was verified

Floats = npt.NDArray[np.float64]
Vectors = tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]

DEFAULT_SAMPLES = 64
"""Samples of a verification for which none are given."""


@dataclass(frozen=True)
class Hardware:
    """What exists once there is a target; ``rtl`` is None where the backend is hls alone."""

    target: Target
    design: Design
    rtl: Rtl | None
    top: str


class Compiled:
    """A compiled network. ``integer_graph`` is the golden model, ``outputs`` are the ONNX outputs' names, ``report``
    is what report.json holds.
    """

    def __init__(
        self,
        model: Any,
        golden: Graph,
        warnings: tuple[Diagnostic, ...],
        calibration: npt.NDArray[Any] | None,
        labels: npt.NDArray[Any] | None,
        report: dict[str, Any],
        outputs: tuple[str, ...],
    ) -> None:
        self.integer_graph = golden
        self.outputs = outputs
        self.warnings = warnings
        self.report = report
        self.hardware: Hardware | None = None
        self._writes_hls = False
        self._emulator_kind = "numpy"
        self.emulator = Emulator(golden)
        if warnings:
            notices = [{"code": w.code, "where": w.where, "found": w.found, "help": w.help} for w in warnings]
            self.report["warnings"] = notices
        self._model = model
        self._calibration = calibration
        self._verified_on: Floats | None = None
        self._networks: Networks | None = None
        self._exactly: Emulator | None = None
        self._product = ""
        self._labels = labels
        self._simulator: Simulator | None = None
        self._hls: hls_backend.Hls | None = None
        self._csim: Csim | None = None
        self._native: Native | None = None
        self._vectors: Vectors | None = None
        self._bitstream: Bitstream | None = None

    @property
    def input_shape(self) -> tuple[int, ...]:
        """The ONNX input's shape, batch 1 included."""
        op = self.emulator.inputs[0].op
        assert isinstance(op, integer.Input)
        return op.onnx_shape

    def _samples(self, x: npt.ArrayLike) -> Floats:
        return as_samples(np.asarray(x), self.input_shape, "samples")

    def _encoded(self, x: npt.ArrayLike) -> npt.NDArray[Any]:
        return self.emulator.encode(checked_samples(np.asarray(x), self.input_shape, "samples"))

    def emulate(self, x: npt.ArrayLike) -> Any:
        """Real outputs ``[samples, *ONNX shape]`` by the bit-exact emulator; a dict by name where there are several."""
        if self._emulator_kind == "native" and self.hardware is not None:
            return self.native(x)
        return self._decoded(self.emulator.run(self._encoded(x)))

    def emulate_codes(self, x: npt.ArrayLike) -> Any:
        """Integer output codes, in ONNX's order, before any softmax on the host; as `emulate` otherwise."""
        codes = self.emulator.run(self._encoded(x))
        nodes = self.emulator.outputs
        return self._named([_in_onnx_order(node.op, codes[node.name]) for node in nodes])

    def _decoded(self, codes: Mapping[str, Any]) -> Any:
        return self._named([self.emulator.decode(node, codes[node.name]) for node in self.emulator.outputs])

    def _named(self, values: list[Any]) -> Any:
        """The only output, or all of them by their ONNX names."""
        return values[0] if len(values) == 1 else dict(zip(self.outputs, values, strict=True))

    def simulate(self, x: npt.ArrayLike, seed: int = 0) -> Any:
        """As `emulate`, by the RTL in Verilator, with random back-pressure on both streams from ``seed``."""
        (node,) = self.emulator.outputs
        return self.emulator.decode(node, self._run_rtl(self._encoded(x), seed, 0.25)[0])

    # HLS C++ ------------------------------------------------------------------------------------------

    def hls(self) -> hls_backend.Hls:
        """The HLS project. Every file that becomes hardware is known to multiply nothing at run time."""
        if self.hardware is None:
            raise fail("QC505", "target", "there is no hardware to write as C++", "compile with a target")
        if self._hls is None:
            self._hls = hls_backend.emit(self.hardware.design, self.hardware.top, self.hardware.target)
            for file in self._hls.synthesized:
                products = hls_backend.lint_no_runtime_multiplication(self._hls.files[file])
                assert not products, f"{file}: {products}"
        return self._hls

    def csim(self, x: npt.ArrayLike) -> Any:
        """As `emulate`, by the HLS C++ with exact types, through its AXI4-Stream; QC503 without a C++ compiler."""
        (node,) = self.emulator.outputs
        return self.emulator.decode(node, self._run_csim(self._encoded(x)))

    def native(self, x: npt.ArrayLike) -> Any:
        """As `emulate`, by the HLS C++ with the processor's integers, many samples at a time; QC503 as `csim`."""
        (node,) = self.emulator.outputs
        return self.emulator.decode(node, self._run_native(self._encoded(x)))

    def _run_csim(self, codes: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
        """Output codes, shaped as the emulator's."""
        project = self.hls()
        if self._csim is None:
            self._csim = build_csim(project)
        return self._shaped(unpack(self._csim.run(pack(codes, project.source)), project.sink))

    def _run_native(self, codes: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
        """Output codes, shaped as the emulator's."""
        if self._native is None:
            self._native = build_native(self.hls())
        return self._shaped(self._native.run(codes))

    def _shaped(self, codes: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Codes ``[samples, beats, lanes]`` of the output stream in the shape of the emulator's."""
        shape = self.emulator.types[self.emulator.outputs[0].name].shape
        return codes.reshape(len(codes), *shape)

    # RTL ----------------------------------------------------------------------------------------------

    def _built(self) -> tuple[Hardware, Simulator]:
        if self.hardware is None or self.hardware.rtl is None:
            raise fail(
                "QC505", "target", "there is no RTL to simulate", "compile with a target, and a backend with RTL"
            )
        rtl = self.hardware.rtl
        if self._simulator is None:
            files, top = with_stream_pins(self._block(), rtl.files)
            self._simulator = build(files, top, in_width=rtl.in_width, out_width=rtl.out_width)
        return self.hardware, self._simulator

    def _run_rtl(self, codes: npt.NDArray[Any], seed: int, stall: float) -> tuple[npt.NDArray[np.int64], Any]:
        """Output codes (shaped as the emulator's) and the run with its cycle counts."""
        hardware, simulator = self._built()
        source, sink = hardware.design.streams
        beats = pack(codes, source)
        totals = self.report["totals"]
        patience = 10_000 + 8 * (totals["latency_cycles"] + totals["ii_cycles"])  # a folded layer is silent for long
        run = simulator.run(
            beats,
            out_beats=sink.beats,
            frames=len(beats),
            seed=seed,
            stall=stall,
            timeout_cycles=patience,
        )
        if not run.tlast_ok:
            raise fail("QC901", "m_axis_tlast", "not on the last beat of a frame", "report this with the model")
        return self._shaped(unpack(run.outputs, sink)), run

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
        x, y = self._verification(samples, labels, count)
        if samples is not None:
            self._verified_on = x
        node = self.emulator.outputs[0]
        everything = x if y is not None else x[:count]
        codes = self.emulator.encode(everything)
        emulated = self.emulator.run(codes)[node.name]
        real = self.emulator.decode(node, emulated)
        reference, engine = self._reference(everything)
        result: dict[str, Any] = {
            "samples": int(min(count, len(x))),
            "rtl_mismatches": None,
            "reference_max_abs_error": float(np.abs(real - reference).max()),
            "reference": engine,
        }
        if self._exactly is not None:
            result |= self._against_exact_products(everything, real)
        if self.hardware is not None:
            self._vectors = self._packed(codes[:count], emulated[:count])
        if self.hardware is not None and self.hardware.rtl is not None:
            rtl, _ = self._run_rtl(codes[:count], seed, 0.25)
            wrong = (rtl != emulated[:count]).reshape(len(rtl), -1).any(axis=1)
            _, run = self._run_rtl(codes[: max(2, min(count, 8))], seed, 0.0)
            result |= {
                "rtl_mismatches": int(wrong.sum()),
                "rtl_samples": len(rtl),
                "latency_cycles": int(run.frame_latency_cycles),
                "seed": seed,
            }
            if run.ii_cycles is not None:
                result["ii_cycles"] = int(run.ii_cycles)
        if self._writes_hls:
            result |= _compared("csim", self._run_csim(codes[:count]), emulated)
        if self._emulator_kind == "native" and self.hardware is not None:
            result |= _compared("native", self._run_native(codes), emulated)
        if y is not None:
            result["accuracy_samples"] = len(y)
            result["accuracy_float"] = _accuracy(reference, y)
            result["accuracy_emulator"] = _accuracy(real, y)
        self.report["verify"] = result
        return result

    def _against_exact_products(self, x: Floats, real: Floats) -> dict[str, Any]:
        """How far the results of approximate products are from those of exact ones."""
        assert self._exactly is not None
        node = self._exactly.outputs[0]
        exact = self._exactly.decode(node, self._exactly.run(self._exactly.encode(x))[node.name])
        return {
            "product": self._product,
            "product_values": int(real.size),
            "product_differences": int((real != exact).sum()),
            "product_largest_difference": float(np.abs(real - exact).max()),
        }

    def assess(self) -> None:
        """How the layers use their grids, and what error each leaves: fills the report's ``quality`` and its layers'.

        On the samples of a verification, else on the calibration data; `write` does it where it was not done.
        """
        x, source = self._verified_on, "verification"
        if x is None and self._calibration is not None:
            x, source = self._samples(self._calibration), "calibration"
        if x is None or self._networks is None or self.hardware is None:
            return
        results = {layer.name: layer.integer_nodes[-1] for layer in self.hardware.design.layers}
        assess(self.report, self._networks, results, x, source)

    def _verification(
        self, samples: npt.ArrayLike | None, labels: npt.ArrayLike | None, count: int
    ) -> tuple[Floats, npt.NDArray[Any] | None]:
        if samples is not None:
            x, y = self._samples(samples), labels
        elif self._calibration is not None:
            x, y = self._samples(self._calibration), self._labels if labels is None else labels
        else:
            source = self.emulator.inputs[0]
            op = source.op
            assert isinstance(op, integer.Input) and op.quantizer.low is not None and op.quantizer.high is not None
            shape = (count, *op.order.shape)
            codes = np.random.default_rng(0).integers(op.quantizer.low, op.quantizer.high + 1, shape)
            arranged = op.quantizer.values(codes)
            scale, offset = float(op.affine.scale[0]), float(op.affine.offset[0])
            flat = np.empty((count, arranged[0].size))
            flat[:, op.order.values.ravel()] = ((arranged - offset) / scale).reshape(count, -1)
            x, y = flat.reshape(count, *op.onnx_shape), None
        if y is not None and len(np.asarray(y)) != len(x):
            raise fail("QC205", "labels", f"{len(np.asarray(y))} labels for {len(x)} samples", "give one per sample")
        return x, None if y is None else np.asarray(y)

    def _reference(self, x: Floats) -> tuple[Floats, str]:
        """The file's own outputs: in onnxruntime, or in the model graph where that has no such operators."""
        from qcompile.verify.reference import reference_outputs

        return reference_outputs(self._model, x)

    def synthesize(self) -> dict[str, Any]:
        """Resources measured by Yosys, and the proof that no cell multiplies; fills ``report["synth"]``."""
        hardware = self.hardware
        if hardware is None or hardware.rtl is None:
            raise fail(
                "QC505", "synth", "there is no RTL to synthesize", "compile with a target, and a backend with RTL"
            )
        rtl = hardware.rtl
        prove_no_multiplier(rtl.files, rtl.top)
        keep = [f"{rtl.top}_core_{layer.name}" for layer in hardware.design.layers]
        self.report["synth"] = synth(rtl.files, rtl.top, hardware.target, keep)
        return dict(self.report["synth"])

    def bitstream(self, progress: Callable[[str], None] = lambda stage: None) -> dict[str, Any]:
        """Places and routes the network behind a serial line; fills ``report["bitstream"]``, and `write` adds the
        folder ``bitstream``. Minutes for large designs.
        """
        hardware = self.hardware
        if hardware is None or hardware.rtl is None:
            raise fail(
                "QC505", "bitstream", "there is no RTL to route", "compile with a target, and a backend with RTL"
            )
        design = hardware.design
        layers = {layer.name: layer.origin for layer in design.layers}
        self._bitstream = build_bitstream(
            hardware.rtl,
            design.streams[1],
            hardware.target,
            design.clock_mhz,
            layers,
            classifies=names_class(self.integer_graph),
            progress=progress,
        )
        self.report["bitstream"] = bitstream_report(self._bitstream, layers)
        return dict(self.report["bitstream"])

    def _golden_vectors(self) -> Vectors:
        """What was verified, else a few samples, as transfers, and what the emulator makes of them."""
        if self._vectors is None:
            x, _ = self._verification(None, None, _VECTOR_SAMPLES)
            codes = self.emulator.encode(x[:_VECTOR_SAMPLES])
            self._vectors = self._packed(codes, self.emulator.run(codes)[self.emulator.outputs[0].name])
        return self._vectors

    def _packed(self, codes: npt.NDArray[Any], outputs: npt.NDArray[Any]) -> Vectors:
        assert self.hardware is not None
        source, sink = self.hardware.design.streams
        return pack(codes, source), pack(outputs, sink)

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
        if self.hardware is not None:
            files |= self._hardware_files(self.hardware)
        if self._bitstream is not None:
            files |= {f"bitstream/{name}": content for name, content in self._bitstream.files.items()}
        write_folder(folder, files)

    def _hardware_files(self, hardware: Hardware) -> dict[str, str]:
        files = {"schedule.json": schedule_text(hardware.design)}
        vectors = self._golden_vectors()
        if hardware.rtl is not None:
            files |= {f"rtl/{name}": text for name, text in hardware.rtl.files.items()}
            files |= handover_files(self._block(), self._codec(), self.report["layers"], *vectors)
        if self._writes_hls:
            project = self.hls().files | vector_files(*vectors)
            files |= {f"hls/{name}": text for name, text in project.items()}
        return files

    def _codec(self) -> Codec:
        source, sink = self.emulator.inputs[0].op, self.emulator.outputs[0].op
        assert isinstance(source, integer.Input) and isinstance(sink, integer.Output)
        return codec(source, sink, self.outputs[0])

    def _block(self) -> Block:
        """The interface of the RTL: ports, streams, timing."""
        hardware = self.hardware
        assert hardware is not None and hardware.rtl is not None
        return describe(
            hardware.design,
            hardware.rtl,
            hardware.target,
            self.report["totals"],
            version=VERSION,
            fingerprint=fingerprint(self.integer_graph),
        )


def _compared(what: str, outputs: npt.NDArray[Any], emulated: npt.NDArray[Any]) -> dict[str, int]:
    """Samples of ``outputs``, and how many of them have other bits than the emulator's first ones."""
    wrong = (outputs != emulated[: len(outputs)]).reshape(len(outputs), -1).any(axis=1)
    return {f"{what}_mismatches": int(wrong.sum()), f"{what}_samples": len(outputs)}


def _in_onnx_order(op: Any, codes: npt.NDArray[Any]) -> npt.NDArray[Any]:
    return codes.reshape(len(codes), -1)[:, op.order.values.ravel()].reshape(-1, *op.onnx_shape)


def _accuracy(outputs: Floats, labels: npt.NDArray[Any]) -> float:
    """Share of samples whose largest output (or, with a single one, the output itself) is the label."""
    flat = outputs.reshape(len(outputs), -1)
    classes = flat[:, 0] if flat.shape[1] == 1 else flat.argmax(axis=1)
    return float((classes == labels).mean())
