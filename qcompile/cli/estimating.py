"""`qcompile estimate MODEL --target NAME`: what a design would cost and how fast it would be, in seconds."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from qcompile.cli import arrays, compiling
from qcompile.cli.compiling import chosen_options, design_options, format_options
from qcompile.cli.parser import Parser
from qcompile.cli.terminal import Progress, print_report
from qcompile.errors import Collector

_IMPLIED = {"allow_oversize", "backend"}  # an estimate writes nothing, and says itself what does not fit


def parser() -> Parser:
    """Everything that the estimate command takes."""
    made = Parser(
        prog="qcompile estimate",
        description="Estimate what a network costs on a target and how fast it is, without writing anything.",
    )
    made.add_argument("model", metavar="MODEL", help="the ONNX file")
    design_options(made)
    format_options(made)
    show = made.add_argument_group("what to show")
    show.add_argument("--json", action="store_true", help="print the report as JSON")
    show.add_argument("-q", "--quiet", action="store_true", help="no progress, only the verdict")
    show.add_argument("-v", "--verbose", action="store_true", help="seconds of every stage")
    own = {action.dest for action in made._actions}
    others = [action for action in compiling.parser()._actions if action.dest not in own | {"version"}]
    made.set_defaults(**{action.dest: action.default for action in others})
    return made


def estimate(words: Sequence[str]) -> int:
    """Print the estimate; the exit code."""
    made = parser()
    args = made.parse_args(words)
    if args.target == "none" or (args.target is None and args.config is None):
        made.error("--target is missing: give one of `qcompile targets`")
    found = Collector()
    options = {key: value for key, value in chosen_options(args, found).items() if key not in _IMPLIED}
    with found.collecting():
        if args.calibrate is not None:
            options["calibration"] = arrays.pick(args.calibrate, arrays.CALIBRATION_NAMES, "--calibrate").values
    found.check()
    # Here, because it loads onnx, onnxruntime and numba: seconds that a mistyped option should not take.
    from qcompile.driver import estimate as estimated

    with Progress(args.quiet, args.verbose) as progress:
        report = estimated(args.model, **options, progress=progress)
    for notice in report.get("warnings", ()):
        print(f"warning[{notice['code']}]: {notice['where']}: {notice['found']}", file=sys.stderr)
    print_report(report, args.json, args.quiet)
    return 0
