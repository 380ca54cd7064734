"""From an ONNX file to everything the user asked for: the one place that knows the whole order of work."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any

import numpy.typing as npt

from qcompile import arith, frontend, targets
from qcompile.backends.amaranth import INTERFACES, Pins, emit
from qcompile.compiled import Compiled
from qcompile.config import Config, load_config
from qcompile.emulator import Emulator
from qcompile.errors import Collector, CompileError, Diagnostic, fail
from qcompile.handover import fingerprint
from qcompile.implementations import Hardware
from qcompile.ir import hardware
from qcompile.ir.graph import Graph
from qcompile.lower.build import Effort
from qcompile.numerics.products import Product
from qcompile.passes.carry_signs_as_bits import CarrySignsAsBits
from qcompile.passes.integerize import Integerize
from qcompile.passes.manager import PassManager
from qcompile.passes.quantize_inputs import QuantizeInputs
from qcompile.passes.realize_requantize import RealizeRequantize
from qcompile.passes.round_residuals import check_width
from qcompile.passes.shorten_sums import ShortenSums
from qcompile.quality import Networks
from qcompile.quantize import TIDY, quantize
from qcompile.quantize.distillation import distill
from qcompile.schedule import Design, read_schedule, schedule, schedule_fastest
from qcompile.schedule.naming import identifier
from qcompile.schedule.trace import slowest
from qcompile.summary import design_report, emulator_report
from qcompile.synth import lint_no_multiplier
from qcompile.targets import Target
from qcompile.verification import Approximation

Progress = Callable[[str, float | None], None]

BACKENDS = ("amaranth", "hls", "both")
NO_BACKEND = "none"
"""Nothing is written: the estimate alone."""
EMULATORS = ("numpy", "native")


def compile(
    model: Any,
    *,
    target: str | None = None,
    calibration: npt.NDArray[Any] | None = None,
    labels: npt.NDArray[Any] | None = None,
    weights: str | None = None,
    activations: str | None = None,
    residuals: str | None = None,
    constants: str | None = None,
    config: str | os.PathLike[str] | None = None,
    name: str | None = None,
    clock_mhz: float | None = None,
    backend: str = "amaranth",
    interface: str = "axis",
    status: str | None = None,
    clock_enable: bool = False,
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
    (``fixed:8``, the default). ``residuals`` and ``constants`` (as ``fixed:16:7``) round what a quantized file
    computes in floats between its quantizers; None keeps it exact. ``options`` are further keys of
    qcompile.toml's ``[quantize]``. ``effort`` is the optimizer's, 0 to 3. Layers are unrolled unless ``fps`` asks
    for a rate (then they are folded as far as it allows) or ``fold`` for the highest rate that fits;
    ``schedule_file`` (an edited schedule.json) overrules both for the layers it names. ``labels`` are those of
    ``calibration``, used by `Compiled.verify`. ``backend`` is what is written and verified: Verilog (amaranth),
    HLS C++ (hls) or both. ``interface``, ``status`` and ``clock_enable`` say what the Verilog's pins are like
    (docs/handover.md). ``emulator`` runs `Compiled.emulate`: numpy, or native (the HLS C++ compiled for this
    machine).
    Raises `CompileError` with every diagnostic found; with ``allow_oversize`` a design that
    does not fit is no error.
    """
    if backend not in (*BACKENDS, NO_BACKEND):
        raise fail("QC505", "backend", f"{backend!r} is not a backend", f"write one of {', '.join(BACKENDS)}")
    if emulator not in EMULATORS:
        raise fail("QC505", "emulator", f"{emulator!r} is not an emulator", f"write one of {', '.join(EMULATORS)}")
    pins = _pins(interface, status, clock_enable, backend)
    found = Collector()
    given = {
        "weights": weights,
        "activations": activations,
        "residuals": residuals,
        "constants": constants,
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
    graph = original = frontend.single_input(imported, found)
    if not imported.quantized:
        progress("quantize", None)
        typical = calibration
        if calibration is None and chosen.quantize.synthetic == "statistics":
            typical = distill(graph, imported.statistics, *chosen.quantize.input_range)
        graph = quantize(graph, typical, chosen.quantize, found, manager)
        after_pass("quantize", graph)
    elif chosen.quantize.input_format is not None:
        low, high = chosen.quantize.input_range
        onto_grid = QuantizeInputs(chosen.quantize.input_format, (Fraction(low), Fraction(high)))
        graph = manager.run(graph, (onto_grid,))
    rounded = None
    if chosen.residuals is not None:
        rounded = chosen.residuals.summary(graph, imported.quantized)
        graph = manager.run(graph, (chosen.residuals,))
    progress("integerize", None)
    quantized = manager.run(graph, TIDY)
    product = Product(chosen.quantize.multiply)
    meaning = manager.run(quantized, (Integerize(product),))
    golden = manager.run(meaning, (ShortenSums(), RealizeRequantize(), CarrySignsAsBits()))
    if board is not None and imported.quantized and rounded is None:
        check_width(quantized, golden, found)
    top = identifier(name or imported.graph.name).lower()
    names = tuple(output.name for output in imported.outputs)
    approximation = None
    if product is not Product.EXACT:
        exact = PassManager().run(quantized, (Integerize(), ShortenSums(), RealizeRequantize()))
        approximation = Approximation(str(product), Emulator(exact))
    noted: dict[str, Any] = {} if rounded is None else {"residuals": rounded}
    network = partial(
        Compiled,
        model,
        golden,
        outputs=names,
        calibration=calibration,
        labels=labels,
        networks=Networks(None if imported.quantized else original, quantized),
        approximation=approximation,
    )
    if board is None:
        return network(emulator_report(imported.graph.name) | noted, warnings=found.warnings)
    clock = chosen.clock_mhz or board.clock_mhz
    design = _scheduled(golden, board, clock, Effort(effort), chosen.fps, fold, schedule_file, progress)
    report = design_report(design, golden, meaning, board, top, registered=pins.interface == "axis")
    after_pass("schedule", design.graph)
    if not report["fits"] and not allow_oversize:
        raise CompileError(_too_large(report, board))
    if backend != NO_BACKEND:
        progress("emit", None)
    rtl = None if backend in ("hls", NO_BACKEND) else emit(design, top, pins, fingerprint(golden))
    for file, text in ({} if rtl is None else rtl.files).items():
        multipliers = lint_no_multiplier(text)
        assert not multipliers, f"{file}: {multipliers}"
    report |= {"asked": _asked(chosen, imported.quantized, fold)} | noted
    made = Hardware(board, design, rtl, top, writes_hls=backend in ("hls", "both"))
    compiled = network(report, warnings=found.warnings, hardware=made, native=emulator == "native")
    if made.writes_hls:
        compiled.hls()  # what cannot be written is said now
    return compiled


def _pins(interface: str, status: str | None, clock_enable: bool, backend: str) -> Pins:
    if interface not in INTERFACES:
        raise fail("QC505", "interface", f"{interface!r} is not an interface", f"write one of {', '.join(INTERFACES)}")
    if status not in (None, "axi-lite"):
        raise fail("QC505", "status", f"{status!r} is not understood", 'write "axi-lite", or nothing')
    pins = Pins(interface, status is not None, clock_enable)
    if pins != Pins() and backend in ("hls", "both"):
        raise fail(
            "QC510",
            f"backend {backend}",
            "HLS C++ has AXI4-Stream pins and no others",
            "leave out --interface, --status and --clock-enable, or take --backend amaranth",
        )
    return pins


def estimate(model: Any, **options: Any) -> dict[str, Any]:
    """The report of `compile` with the same arguments, without writing any hardware: what a design would cost.

    A design that does not fit is an answer here, and no error.
    """
    return compile(model, backend=NO_BACKEND, allow_oversize=True, **options).report


def _asked(chosen: Config, quantized: bool, fold: bool) -> dict[str, str]:
    """The user's choices, the defaults among the formats included, as the report shows them."""
    formats = {"weights": str(chosen.quantize.weights), "activations": str(chosen.quantize.activations)}
    rate = {} if chosen.fps is None else {"fps": f"{chosen.fps:,.15g}"}
    folding = {"fold": "as far as the target makes necessary"} if fold else {}
    return ({} if quantized else formats) | rate | folding


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
        first = "" if arith.kernels_ready() else " (first time here: compiles the optimizer)"
        progress(f"lower {layer}{first}", done)

    choices = None if schedule_file is None else read_schedule(schedule_file)
    if fold and fps is None and choices is None:
        return schedule_fastest(golden, board, clock, effort, show)
    cycles = None if fps is None else int(clock * 1e6 / fps)
    design = schedule(golden, board, clock, effort, show, None if cycles is None else max(1, cycles), choices)
    node, needed = slowest(design.graph)
    if cycles is not None and needed > cycles:
        raise CompileError(_too_slow(design, node, needed, fps))
    return design


def _too_slow(design: Design, node: str, cycles: int, fps: float | None) -> Diagnostic:
    op = design.graph.by_name[node].op
    assert isinstance(op, hardware.HardwareOp)
    who = f"layer {op.layer}" if op.layer else "the input, with one position a cycle,"
    best = int(design.clock_mhz * 1e6 / cycles)
    return Diagnostic(
        "QC507",
        f"--fps {fps:,.15g}",
        f"{who} takes {cycles:,} cycles a frame, unrolled or on as many lanes as it has: {best:,} frames a second "
        f"at {design.clock_mhz:g} MHz",
        f"ask for --fps {best} or fewer, or raise --clock",
    )


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
