"""`qcompile MODEL --target NAME`: from the words of the command line to the output folder."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from qcompile import targets as catalogue
from qcompile.bitstream.toolchain import require_tools
from qcompile.cli import arrays
from qcompile.cli.parser import Parser, did_you_mean, positive_float, positive_int
from qcompile.cli.pass_list import known_passes
from qcompile.cli.terminal import Progress, print_diagnostics, print_report
from qcompile.errors import Collector, fail
from qcompile.ir.graph import Graph
from qcompile.ir.text import print_graph
from qcompile.output import check_folder
from qcompile.quantize.options import MULTIPLY, SCALES, SYNTHETIC
from qcompile.quantize.rounding import ROUNDINGS
from qcompile.synth import require_yosys
from qcompile.verify.verilator import find_compiler, find_verilator
from qcompile.version import VERSION

_EPILOG = """other commands:
  qcompile targets [NAME]    the targets, or one with the sources of its figures
  qcompile formats           what --weights and --activations take
  qcompile passes            what --print-ir-after takes
  qcompile explain [CODE]    what a diagnostic such as QC301 means
  qcompile report FOLDER     print the report of an output folder, and render it anew
  qcompile diff A B          what changed between two output folders
  qcompile estimate MODEL    what a design would cost, without writing it
  qcompile sweep MODEL       accuracy and cost in many formats
  qcompile allocate MODEL    formats layer by layer within a budget

exit code: 0 done, 1 diagnostics, 2 wrong usage, 3 a bug in qcompile
"""


def parser() -> Parser:
    """Everything that the compile command takes."""
    made = Parser(
        prog="qcompile", description="Compile a trained ONNX network to multiplier-free hardware.", epilog=_EPILOG
    )
    made.add_argument("model", metavar="MODEL", help="the ONNX file")
    made.add_argument("--version", action="version", version=f"qcompile {VERSION}")
    to = design_options(made)
    to.add_argument("-o", "--output", metavar="FOLDER", default="build", help="output folder (default: build)")
    to.add_argument(
        "--backend",
        choices=("amaranth", "hls", "both"),
        default="amaranth",
        help="write Verilog (amaranth), HLS C++ (hls) or both (default: amaranth)",
    )
    to.add_argument(
        "--interface",
        choices=("axis", "parallel"),
        default="axis",
        help="pins: AXI4-Stream, or a port per value without registers (default: axis)",
    )
    to.add_argument("--status", choices=("axi-lite",), help="status registers: idle, frame counts, hash of the network")
    to.add_argument("--clock-enable", action="store_true", help="a pin aclken that freezes the block")
    to.add_argument("--allow-oversize", action="store_true", help="write the design even if it does not fit")
    format_options(made)
    check = made.add_argument_group("checks")
    check.add_argument("--verify", metavar="N", type=positive_int, help="simulate N samples and compare, bit for bit")
    check.add_argument("--samples", metavar="FILE", help="what to verify on (default: x_test beside the calibration)")
    check.add_argument("--labels", metavar="FILE", help=".npy, .npz:NAME, or a name in the samples' archive")
    check.add_argument("--seed", metavar="N", type=int, default=0, help="of the random back-pressure (default: 0)")
    check.add_argument(
        "--emulator", choices=("numpy", "native"), default="numpy", help="native: the HLS C++ compiled for this machine"
    )
    check.add_argument("--synth", action="store_true", help="measure the resources with Yosys (qcompile[synth])")
    check.add_argument(
        "--bitstream", action="store_true", help="place, route and pack for the board (qcompile[bitstream])"
    )
    show = made.add_argument_group("what to show")
    show.add_argument("--print-ir-after", metavar="PASS", action="append", default=[], help="print the graph; or: all")
    show.add_argument("--json", action="store_true", help="print report.json instead of the text")
    show.add_argument("-q", "--quiet", action="store_true", help="no progress, only the verdict")
    show.add_argument("-v", "--verbose", action="store_true", help="seconds of every stage")
    return made


def design_options(made: Parser) -> Any:
    """What `qcompile MODEL` and `qcompile estimate` both take to choose a design; the group, for more."""
    to = made.add_argument_group("what to build")
    to.add_argument("--target", metavar="NAME", help="a target of `qcompile targets`; none: no hardware, emulator only")
    to.add_argument("--name", help="name of the top module (default: the file's name)")
    to.add_argument("--clock", metavar="MHZ", type=positive_float, help="clock to build for (default: the target's)")
    to.add_argument("--fps", metavar="N", type=positive_float, help="fold layers as far as N samples a second allow")
    to.add_argument("--schedule", metavar="FILE", help="an edited schedule.json: lanes of the layers that it names")
    to.add_argument("--fold", action="store_true", help="fold layers only as far as the target makes necessary")
    return to


def format_options(made: Parser) -> None:
    """Number formats, and what they are found with."""
    how = made.add_argument_group("formats")
    how.add_argument("--weights", metavar="FORMAT", help="format of the weights, as in fixed:4 (default: fixed:8)")
    how.add_argument("--activations", metavar="FORMAT", help="format of the activations (default: fixed:8)")
    how.add_argument(
        "--formats",
        choices=("auto", "as-is"),
        help="auto: bipolar, ternary, power-of-two and few-level weights keep their grid (default: auto)",
    )
    how.add_argument(
        "--residuals", metavar="FORMAT", help="round what a quantized file leaves real between its quantizers"
    )
    how.add_argument("--constants", metavar="FORMAT", help="round the constants that such results are computed with")
    how.add_argument("--scales", choices=SCALES, help="pow2: rescaling is a shift (default: pow2)")
    how.add_argument("--weight-rounding", choices=("auto", *ROUNDINGS), help="how weights are rounded (default: auto)")
    how.add_argument("--multiply", choices=MULTIPLY, help="how layers multiply minifloats (default: exact)")
    how.add_argument("--adder-slack", metavar="SHARE", type=float, help="more error where that saves adders, as in 0.1")
    how.add_argument("--equalize", action="store_true", help="weight ranges of neighbouring layers become alike")
    how.add_argument(
        "--smooth",
        metavar="SHARE",
        type=float,
        help="channels of activations get ranges alike (default: 1 where a format has at most 6 bits, else 0)",
    )
    how.add_argument(
        "--propagate",
        metavar="SHARE",
        type=float,
        help="weights make up for rounded operands (default: 1 where a format has at most 6 bits, else 0)",
    )
    how.add_argument("--calibrate", metavar="FILE", help=".npy, .npz or .npz:NAME of typical inputs")
    how.add_argument("--synthetic", choices=SYNTHETIC, help="samples where there are none (default: uniform)")
    how.add_argument("--input-format", metavar="FORMAT", help="grid of an input that a quantized file leaves real")
    how.add_argument(
        "--input-range", metavar=("LOW", "HIGH"), type=float, nargs=2, help="where the input lies (default: 0 1)"
    )
    how.add_argument("--effort", type=int, choices=range(4), help="search for fewer adders, 0 to 3 (default: 1)")
    how.add_argument("--config", metavar="FILE", help="qcompile.toml with formats per layer and more")


def run(words: Sequence[str], commands: Sequence[str]) -> int:
    """Compile, verify, write and print; the exit code."""
    made = parser()
    if not words:
        made.print_help(sys.stderr)
        return 2
    args = made.parse_args(words)
    _check_usage(made, args, commands)
    found = Collector()
    options = chosen_options(args, found)
    calibration = samples = labels = None
    with found.collecting():
        if args.calibrate is not None:
            calibration = arrays.pick(args.calibrate, arrays.CALIBRATION_NAMES, "--calibrate")
            options["calibration"] = calibration.values
        samples, labels = _verification(args, calibration)
    with found.collecting():
        check_folder(args.output)
    _check_tools(args, found)
    found.check()
    # Here, because it loads onnx, onnxruntime and numba: seconds that a mistyped option should not take.
    from qcompile.driver import compile as compile_model

    printer = _Printer(args.print_ir_after)
    with Progress(args.quiet, args.verbose) as progress:
        compiled = compile_model(args.model, **options, after_pass=printer, progress=progress)
        if args.verify:
            progress("verify")
            values = None if samples is None else samples.values
            compiled.verify(values, count=args.verify, labels=None if labels is None else labels.values, seed=args.seed)
        if args.synth:
            progress("synthesize")
            compiled.synthesize()
        if args.bitstream:
            compiled.bitstream(progress)
        progress("write")
        _refuse_mismatch(compiled.report)
        compiled.write(args.output)
    printer.note_missed()
    print_diagnostics(compiled.warnings)
    print_report(compiled.report, args.json, args.quiet)
    if not (args.json or args.quiet):
        print(f"\nwritten to {args.output}, to read: {Path(args.output) / 'report.html'}")
    return 0


def _check_usage(made: Parser, args: Any, commands: Sequence[str]) -> None:
    """What argparse cannot see; exits with 2."""
    if not Path(args.model).exists():
        near = get_close_matches(args.model, commands, n=1)
        if near:
            made.error(f"there is no file {args.model}; did you mean `qcompile {near[0]}`?")
    if args.target is None and args.config is None:
        made.error("--target is missing: give one of `qcompile targets`, or --target none for the emulator only")
    known = ("all", *(step.name for step in known_passes()))
    for name in args.print_ir_after:
        if name not in known:
            made.error(f"there is no pass {name}{did_you_mean(name, known)} (`qcompile passes` lists them)")
    if args.synth and args.target == "none":
        made.error("--synth measures hardware, and --target none builds none")
    if args.synth and args.backend == "hls":
        made.error("--synth measures RTL, and --backend hls writes none: take --backend both")
    if args.bitstream and args.target == "none":
        made.error("--bitstream is for a board, and --target none builds no hardware")
    if args.bitstream and args.backend == "hls":
        made.error("--bitstream routes RTL, and --backend hls writes none: take --backend both")
    needing = {"--samples": args.samples, "--labels": args.labels}
    for option, value in needing.items():
        if value is not None and not args.verify:
            made.error(f"{option} is for --verify N, which is missing")


def _check_tools(args: Any, found: Collector) -> None:
    """Programs that a later stage runs: minutes of compiling should not end in their absence."""
    if args.verify and args.target != "none":
        for find in (find_compiler,) if args.backend == "hls" else (find_verilator, find_compiler):
            with found.collecting():
                find()
    if args.synth:
        with found.collecting():
            require_yosys()
    if args.bitstream and args.target in catalogue.names():
        with found.collecting():
            require_tools(catalogue.get(args.target))


def chosen_options(args: Any, found: Collector) -> dict[str, Any]:
    """Keyword arguments of `driver.compile`; what the user did not give is left out, for the configuration."""
    given: dict[str, Any] = {
        "target": args.target,
        "weights": args.weights,
        "activations": args.activations,
        "formats": args.formats,
        "scales": args.scales,
        "weight_rounding": args.weight_rounding,
        "multiply": args.multiply,
        "adder_slack": args.adder_slack,
        "equalize": args.equalize or None,
        "smooth": args.smooth,
        "propagate": args.propagate,
        "residuals": args.residuals,
        "constants": args.constants,
        "config": args.config,
        "synthetic": args.synthetic,
        "input_format": args.input_format,
        "input_range": args.input_range,
        "name": args.name,
        "clock_mhz": args.clock,
        "fps": args.fps,
        "fold": args.fold or None,
        "schedule_file": args.schedule,
        "backend": args.backend,
        "interface": None if args.interface == "axis" else args.interface,
        "status": args.status,
        "clock_enable": args.clock_enable or None,
        "emulator": None if args.emulator == "numpy" else args.emulator,
        "allow_oversize": args.allow_oversize,
        "effort": args.effort,
    }
    options = {key: value for key, value in given.items() if value is not None}
    if args.target == "none":
        options["target"] = None
    elif args.target is not None:
        with found.collecting():
            catalogue.get(args.target)
    return options


def _verification(args: Any, calibration: arrays.Picked | None) -> tuple[arrays.Picked | None, arrays.Picked | None]:
    """Samples and labels of --verify; None where there are none."""
    if not args.verify:
        return None, None
    if args.samples is not None:
        samples = arrays.pick(args.samples, arrays.SAMPLE_NAMES, "--samples")
    elif calibration is not None:
        samples = arrays.samples_beside(calibration)
    elif args.labels is not None:
        raise fail(
            "QC205", f"--labels {args.labels}", "there are no samples", "give them with --samples or --calibrate"
        )
    else:
        return None, None
    labels = arrays.labels_for(args.labels, samples)
    if labels is not None:
        arrays.check_labels(labels, samples)
    return samples, labels


class _Printer:
    """Prints the graph after the passes in ``names``."""

    def __init__(self, names: Sequence[str]) -> None:
        self._names = names
        self._seen = {"all"}

    def __call__(self, name: str, graph: Graph) -> None:
        self._seen.add(name)
        if name in self._names or "all" in self._names:
            print(f"// after {name}\n{print_graph(graph, arrays=False)}", flush=True)

    def note_missed(self) -> None:
        """Say which of them this model did not need, lest silence looks like an empty graph."""
        for name in self._names:
            if name not in self._seen:
                print(f"note: {name} did not run for this model", file=sys.stderr)


def _refuse_mismatch(report: Mapping[str, Any]) -> None:
    """QC901 where RTL or HLS C++ is not what the emulator says: such a folder must not appear."""
    for what, name in (("rtl", "RTL"), ("csim", "csim"), ("native", "native emulator")):
        mismatches = report.get("verify", {}).get(f"{what}_mismatches")
        if mismatches:
            raise fail(
                "QC901",
                str(report["model"]),
                f"{name} and emulator differ on {mismatches} samples",
                "report this bug with the model; nothing was written",
            )
