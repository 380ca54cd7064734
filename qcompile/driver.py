"""From an ONNX file to everything the user asked for: the one place that knows the whole order of work."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from qcompile import frontend, targets
from qcompile.backends import hls as hls_backend
from qcompile.backends.amaranth import Rtl, emit
from qcompile.config import load_config
from qcompile.emulator import Emulator
from qcompile.errors import Collector, CompileError, Diagnostic, fail
from qcompile.ir import integer
from qcompile.ir.graph import Graph
from qcompile.ir.text import print_graph
from qcompile.lower.build import Effort
from qcompile.output import write_folder
from qcompile.passes.carry_signs_as_bits import CarrySignsAsBits
from qcompile.passes.integerize import Integerize
from qcompile.passes.manager import PassManager
from qcompile.passes.quantize_inputs import QuantizeInputs
from qcompile.passes.realize_requantize import RealizeRequantize
from qcompile.passes.shorten_sums import ShortenSums
from qcompile.quantize import TIDY, as_samples, checked_samples, quantize
from qcompile.report import render_text, to_json
from qcompile.schedule import Design, read_schedule, schedule, schedule_fastest, schedule_text
from qcompile.schedule.naming import identifier
from qcompile.summary import design_report, emulator_report
from qcompile.synth import lint_no_multiplier, prove_no_multiplier, synth
from qcompile.targets import Target
from qcompile.verify.csim import Csim, Native, build_csim, build_native
from qcompile.verify.simulator import Simulator
from qcompile.verify.vectors import pack, unpack
from qcompile.verify.verilator import build

_VECTOR_SAMPLES = 16  # in the HLS testbench where nothing was verified

Floats = npt.NDArray[np.float64]
Progress = Callable[[str, float | None], None]

BACKENDS = ("amaranth", "hls", "both")
EMULATORS = ("numpy", "native")
DEFAULT_SAMPLES = 64
"""Samples of a verification for which none are given."""


def compile(
    model: Any,
    *,
    target: str | None = None,
    calibration: npt.NDArray[Any] | None = None,
    labels: npt.NDArray[Any] | None = None,
    weights: str | None = None,
    activations: str | None = None,
    config: str | os.PathLike[str] | None = None,
    name: str | None = None,
    clock_mhz: float | None = None,
    backend: str = "amaranth",
    emulator: str = "numpy",
    allow_oversize: bool = False,
    fps: float | None = None,
    fold: bool = False,
    schedule_file: str | os.PathLike[str] | None = None,
    effort: int = 1,
    after_pass: Callable[[str, Graph], None] = lambda name, graph: None,
    progress: Progress = lambda stage, done: None,
    **options: Any,
) -> Compiled:
    """Compile ``model`` (a path or an ``onnx.ModelProto``) for ``target``; None stops at the integer graph.

    ``calibration`` holds samples ``[n, *input shape]``; ``weights`` and ``activations`` are formats
    (``fixed:8``, the default); ``options`` are further keys of qcompile.toml's ``[quantize]``. ``effort`` is
    the optimizer's, 0 to 3. Layers are unrolled unless ``fps`` asks for a rate (then they are folded as far as
    it allows) or ``fold`` for the highest rate that fits; ``schedule_file`` (an edited schedule.json)
    overrules both for the layers it names. ``labels`` are those of ``calibration``, used by
    `Compiled.verify`. ``backend`` is what is written and verified: Verilog (amaranth), HLS C++ (hls) or both.
    ``emulator`` runs `Compiled.emulate`: numpy, or native (the HLS C++ compiled for this machine).
    Raises `CompileError` with every diagnostic found; with ``allow_oversize`` a design that
    does not fit is no error.
    """
    if backend not in BACKENDS:
        raise fail("QC505", "backend", f"{backend!r} is not a backend", f"write one of {', '.join(BACKENDS)}")
    if emulator not in EMULATORS:
        raise fail("QC505", "emulator", f"{emulator!r} is not an emulator", f"write one of {', '.join(EMULATORS)}")
    found = Collector()
    given = {
        "weights": weights,
        "activations": activations,
        "target": target,
        "clock_mhz": clock_mhz,
        "fps": fps,
        **options,
    }
    chosen = load_config(None if config is None else Path(config), given | options, found)
    board = None if chosen.target is None else targets.get(chosen.target)
    manager = PassManager(after_pass)
    progress("import", None)
    imported = frontend.read(model, found)
    graph = frontend.single_input(imported, found)
    if not imported.quantized:
        progress("quantize", None)
        graph = quantize(graph, calibration, chosen.quantize, found, manager)
        after_pass("quantize", graph)
    elif chosen.quantize.input_format is not None:
        low, high = chosen.quantize.input_range
        onto_grid = QuantizeInputs(chosen.quantize.input_format, (Fraction(low), Fraction(high)))
        graph = manager.run(graph, (onto_grid,))
    progress("integerize", None)
    meaning = manager.run(graph, (*TIDY, Integerize(), ShortenSums()))
    golden = manager.run(meaning, (RealizeRequantize(), CarrySignsAsBits()))
    top = identifier(name or imported.graph.name).lower()
    compiled = Compiled(model, golden, found.warnings, calibration, labels, emulator_report(imported.graph.name))
    if board is None:
        return compiled
    clock = chosen.clock_mhz or board.clock_mhz
    design = _scheduled(golden, board, clock, Effort(effort), chosen.fps, fold, schedule_file, progress)
    report = design_report(design, golden, meaning, board, top)
    after_pass("schedule", design.graph)
    if not report["fits"] and not allow_oversize:
        raise CompileError(_too_large(report, board))
    progress("emit", None)
    rtl = None if backend == "hls" else emit(design, top)
    for file, text in ({} if rtl is None else rtl.files).items():
        multipliers = lint_no_multiplier(text)
        assert not multipliers, f"{file}: {multipliers}"
    compiled.report = {**report, **{k: v for k, v in compiled.report.items() if k == "warnings"}}
    compiled.hardware = Hardware(board, design, rtl, top)
    compiled._emulator_kind = emulator
    if backend != "amaranth":
        compiled._writes_hls = True
        compiled.hls()
    return compiled


def _scheduled(
    golden: Graph,
    board: Target,
    clock: float,
    effort: Effort,
    fps: float | None,
    fold: bool,
    schedule_file: str | os.PathLike[str] | None,
    progress: Progress,
) -> Design:
    def show(layer: str, done: float) -> None:
        progress(f"lower {layer}", done)

    choices = None if schedule_file is None else read_schedule(schedule_file)
    if fold and fps is None and choices is None:
        return schedule_fastest(golden, board, clock, effort, show)
    cycles = None if fps is None else max(1, int(clock * 1e6 / fps))
    return schedule(golden, board, clock, effort, show, cycles, choices)


def _too_large(report: Mapping[str, Any], target: Target) -> Diagnostic:
    largest = max(report["layers"], key=lambda layer: layer["lut"])
    nodes = ", ".join(f'"{n}"' for n in largest["onnx_nodes"]) or largest["name"]
    return Diagnostic(
        "QC501",
        f"target {target.name}",
        f"{'; '.join(report['excess'])}. The largest layer is {largest['name']} ({nodes}): {largest['lut']:,} LUTs",
        "give fewer bits (as in --weights fixed:4 --activations fixed:6), or fewer for that layer in qcompile.toml, "
        "fold the layers onto fewer lanes (--fold, or --fps N), take a larger target (`qcompile targets`), or look at "
        "the design anyway with --allow-oversize",
    )


@dataclass(frozen=True)
class Hardware:
    """What exists once there is a target; ``rtl`` is None where the backend is hls alone."""

    target: Target
    design: Design
    rtl: Rtl | None
    top: str


class Compiled:
    """A compiled network. ``integer_graph`` is the golden model, ``report`` what report.json holds."""

    def __init__(
        self,
        model: Any,
        golden: Graph,
        warnings: tuple[Diagnostic, ...],
        calibration: npt.NDArray[Any] | None,
        labels: npt.NDArray[Any] | None,
        report: dict[str, Any],
    ) -> None:
        self.integer_graph = golden
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
        self._labels = labels
        self._simulator: Simulator | None = None
        self._hls: hls_backend.Hls | None = None
        self._csim: Csim | None = None
        self._native: Native | None = None
        self._vectors: tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]] | None = None

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
        return _alone({node.name: _in_onnx_order(node.op, codes[node.name]) for node in self.emulator.outputs})

    def _decoded(self, codes: Mapping[str, Any]) -> Any:
        return _alone({node.name: self.emulator.decode(node, codes[node.name]) for node in self.emulator.outputs})

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
            self._simulator = build(rtl.files, rtl.top, in_width=rtl.in_width, out_width=rtl.out_width)
        return self.hardware, self._simulator

    def _run_rtl(self, codes: npt.NDArray[Any], seed: int, stall: float) -> tuple[npt.NDArray[np.int64], Any]:
        """Output codes (shaped as the emulator's) and the run with its cycle counts."""
        hardware, simulator = self._built()
        graph = hardware.design.graph
        source = next(n.name for n in graph.nodes if n.op.mnemonic == "input")
        sink = graph.outputs[0]
        beats = pack(codes, graph.types[source])
        totals = self.report["totals"]
        patience = 10_000 + 8 * (totals["latency_cycles"] + totals["ii_cycles"])  # a folded layer is silent for long
        run = simulator.run(
            beats,
            out_beats=graph.types[sink].beats,
            frames=len(beats),
            seed=seed,
            stall=stall,
            timeout_cycles=patience,
        )
        if not run.tlast_ok:
            raise fail("QC901", "m_axis_tlast", "not on the last beat of a frame", "report this with the model")
        self._vectors = (beats, run.outputs)
        return self._shaped(unpack(run.outputs, graph.types[sink])), run

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
        if self.hardware is not None and self.hardware.rtl is not None:
            rtl, _ = self._run_rtl(codes[:count], seed, 0.25)
            wrong = (rtl != emulated[:count]).reshape(len(rtl), -1).any(axis=1)
            vectors = self._vectors
            _, run = self._run_rtl(codes[: max(2, min(count, 8))], seed, 0.0)
            self._vectors = vectors
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

    def _golden_vectors(self) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
        """A few samples and what the emulator makes of them, as transfers."""
        x, _ = self._verification(None, None, _VECTOR_SAMPLES)
        codes = self.emulator.encode(x[:_VECTOR_SAMPLES])
        outputs = self.emulator.run(codes)[self.emulator.outputs[0].name]
        project = self.hls()
        return pack(codes, project.source), pack(outputs, project.sink)

    def write(self, folder: str | os.PathLike[str]) -> None:
        """The output folder: complete or not at all, the same bytes for the same compile."""
        files: dict[str, str | bytes] = {
            "report.json": to_json(self.report),
            "report.txt": render_text(self.report),
            "golden.txt": print_graph(self.integer_graph),
        }
        if self.hardware is not None:
            files["schedule.json"] = schedule_text(self.hardware.design)
        if self.hardware is not None and self.hardware.rtl is not None:
            files |= {f"rtl/{name}": text for name, text in self.hardware.rtl.files.items()}
            if self._vectors is not None:
                files |= {f"vectors/{name}": text for name, text in _vector_files(*self._vectors).items()}
        if self._writes_hls:
            vectors = _vector_files(*(self._vectors or self._golden_vectors()))
            project = self.hls().files | {f"vectors/{name}": text for name, text in vectors.items()}
            files |= {f"hls/{name}": text for name, text in project.items()}
        write_folder(folder, files)


def _compared(what: str, outputs: npt.NDArray[Any], emulated: npt.NDArray[Any]) -> dict[str, int]:
    """Samples of ``outputs``, and how many of them have other bits than the emulator's first ones."""
    wrong = (outputs != emulated[: len(outputs)]).reshape(len(outputs), -1).any(axis=1)
    return {f"{what}_mismatches": int(wrong.sum()), f"{what}_samples": len(outputs)}


def _vector_files(inputs: npt.NDArray[np.uint8], outputs: npt.NDArray[np.uint8]) -> dict[str, str]:
    return {"input.hex": _hex(inputs), "output.hex": _hex(outputs)}


def _alone(values: dict[str, Any]) -> Any:
    return next(iter(values.values())) if len(values) == 1 else values


def _in_onnx_order(op: Any, codes: npt.NDArray[Any]) -> npt.NDArray[Any]:
    return codes.reshape(len(codes), -1)[:, op.order.values.ravel()].reshape(-1, *op.onnx_shape)


def _accuracy(outputs: Floats, labels: npt.NDArray[Any]) -> float:
    """Share of samples whose largest output (or, with a single one, the output itself) is the label."""
    flat = outputs.reshape(len(outputs), -1)
    classes = flat[:, 0] if flat.shape[1] == 1 else flat.argmax(axis=1)
    return float((classes == labels).mean())


def _hex(beats: npt.NDArray[np.uint8]) -> str:
    """One line per beat, most significant byte first, as $readmemh reads it; a comment before each frame."""
    lines = []
    for frame, rows in enumerate(beats):
        lines.append(f"// frame {frame}")
        lines.extend(bytes(row[::-1]).hex() for row in rows)
    return "\n".join(lines) + "\n"
