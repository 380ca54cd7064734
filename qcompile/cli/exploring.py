"""`qcompile sweep` and `qcompile allocate`: which formats to take, measured."""

from __future__ import annotations

import csv
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from qcompile import targets as catalogue
from qcompile.cli import arrays
from qcompile.cli.parser import Parser, positive_float, positive_int
from qcompile.cli.terminal import Progress
from qcompile.errors import Collector, fail
from qcompile.explore import Budget, Point, Subject, allocate, format_pairs, pareto, sweep
from qcompile.explore.plot import plot, require_matplotlib
from qcompile.explore.sweep import quality
from qcompile.numerics.formats import parse_format
from qcompile.quantize.options import SCALES
from qcompile.quantize.rounding import ROUNDINGS
from qcompile.report.table import Column, table

_KINDS = ("fixed", "minifloat", "pow2")
_FIELDS = ("weights", "activations", "accuracy", "agreement", "error", "lut", "ff", "bram18", "latency_cycles")
_WEIGHTS, _ACTIVATIONS = "fixed:2,fixed:3,fixed:4,fixed:5,fixed:6,fixed:8", "fixed:3,fixed:4,fixed:5,fixed:6,fixed:8"


def sweep_parser() -> Parser:
    """Everything that the sweep command takes."""
    made = Parser(prog="qcompile sweep", description="Accuracy and cost of a float network in many number formats.")
    _subject_options(made)
    what = made.add_argument_group("points")
    what.add_argument(
        "--kinds",
        metavar="LIST",
        default="fixed,minifloat",
        help="of fixed, minifloat, pow2 (default: fixed,minifloat)",
    )
    what.add_argument("--bits", metavar=("LEAST", "MOST"), type=int, nargs=2, default=(3, 8), help="(default: 3 8)")
    run = made.add_argument_group("how to run")
    run.add_argument("--workers", metavar="N", type=positive_int, default=1, help="processes (default: 1)")
    run.add_argument("--scheduler", metavar="ADDRESS", help="a Dask cluster instead (qcompile[cluster])")
    run.add_argument("--record", metavar="FILE", help="finished points; the same command goes on where it was stopped")
    out = made.add_argument_group("results")
    out.add_argument("--csv", metavar="FILE", help="every point")
    out.add_argument("--plot", metavar="FILE", help=".png or .svg of accuracy over LUTs (qcompile[plot])")
    _show_options(made)
    return made


def allocate_parser() -> Parser:
    """Everything that the allocate command takes."""
    made = Parser(prog="qcompile allocate", description="Number formats layer by layer, by integer programming.")
    _subject_options(made)
    goal = made.add_argument_group("goal, one of them").add_mutually_exclusive_group(required=True)
    goal.add_argument("--budget", metavar="KIND:N", help="luts:N, bytes:N (of weights) or cycles:N (of latency)")
    goal.add_argument("--max-accuracy-loss", metavar="P", type=float, help="fewest LUTs with at most P points less")
    what = made.add_argument_group("choices, from few bits to many")
    what.add_argument("--weights", metavar="LIST", default=_WEIGHTS, help=f"(default: {_WEIGHTS})")
    what.add_argument("--activations", metavar="LIST", default=_ACTIVATIONS, help=f"(default: {_ACTIVATIONS})")
    made.add_argument("-o", "--output", metavar="FILE", help="a qcompile.toml for --config")
    _show_options(made)
    return made


def run_sweep(words: Sequence[str]) -> int:
    """Measure, print, and write what was asked for; the exit code."""
    made = sweep_parser()
    args = made.parse_args(words)
    kinds = args.kinds.split(",")
    unknown = [kind for kind in kinds if kind not in _KINDS]
    if unknown:
        made.error(f"--kinds has no {unknown[0]}; it takes {', '.join(_KINDS)}")
    least, most = args.bits
    if not 2 <= least <= most <= 8:
        made.error("--bits takes two numbers from 2 to 8, the smaller one first")
    if args.plot is not None:
        require_matplotlib()
    subject = _subject(args)
    with Progress(args.quiet, args.verbose) as progress:
        record = None if args.record is None else Path(args.record)
        pairs = format_pairs(kinds, least, most)
        found = sweep(subject, pairs, record, args.workers, args.scheduler, progress)
    points = [result for result in found if isinstance(result, Point)]
    for pair, result in zip(pairs, found, strict=True):
        if isinstance(result, str):
            print(f"note: {pair[0]}/{pair[1]}: {result}", file=sys.stderr)
    front = pareto(points)
    _print_points(points, front)
    if args.csv is not None:
        with Path(args.csv).open("w", newline="", encoding="utf-8") as file:
            rows = csv.DictWriter(file, _FIELDS, extrasaction="ignore", lineterminator="\n")
            rows.writeheader()
            rows.writerows(point.as_json() for point in points)
    if args.plot is not None:
        plot(points, f"{Path(args.model).stem} on {args.target}", Path(args.plot))
    return 0


def run_allocate(words: Sequence[str]) -> int:
    """Allocate, print, and write what was asked for; the exit code."""
    args = allocate_parser().parse_args(words)
    found = Collector()
    budget = None
    with found.collecting():
        budget = None if args.budget is None else Budget.parse(args.budget, "--budget")
    for option in ("weights", "activations"):
        for text in getattr(args, option).split(","):
            with found.collecting():
                parse_format(text, f"--{option}")
    found.check()
    subject = _subject(args)
    with Progress(args.quiet, args.verbose) as progress:
        result = allocate(
            subject, args.weights.split(","), args.activations.split(","), budget, args.max_accuracy_loss, progress
        )
    rows = [
        (name, formats.get("weights", ""), formats.get("activations", "")) for name, formats in result.layers.items()
    ]
    if rows:
        print(table([Column("layer", 40), Column("weights"), Column("activations")], rows, 100))
    else:
        print(f"every layer: weights {result.point.weights}, activations {result.point.activations}")
    print(f"\n{_verdict(result.point)}")
    cheaper = [point for point, cost in result.uniform if cost <= result.cost]
    if cheaper and rows:
        best = max(cheaper, key=lambda point: (quality(point), -point.error))
        print(f"the same everywhere, no dearer: {best.weights}/{best.activations}, {_verdict(best)}")
    if args.output is not None:
        Path(args.output).write_text(result.toml(subject.options), encoding="utf-8")
        print(f"written to {args.output}; compile with --config {args.output}")
    return 0


def _subject_options(made: Parser) -> None:
    made.add_argument("model", metavar="MODEL", help="the ONNX file")
    made.add_argument("--target", metavar="NAME", required=True, help="a target of `qcompile targets`, for the cost")
    on = made.add_argument_group("measured on")
    on.add_argument("--calibrate", metavar="FILE", required=True, help=".npy, .npz or .npz:NAME of typical inputs")
    on.add_argument("--samples", metavar="FILE", help="for the accuracy (default: x_test beside the calibration)")
    on.add_argument("--labels", metavar="FILE", help=".npy, .npz:NAME, or a name in the samples' archive")
    how = made.add_argument_group("quantization, the same for all points")
    how.add_argument("--scales", choices=SCALES, help="(default: pow2)")
    how.add_argument("--weight-rounding", choices=("auto", *ROUNDINGS), default="auto", help="(default: auto)")
    how.add_argument("--equalize", action="store_true", help="weight ranges of neighbouring layers become alike")
    how.add_argument("--smooth", metavar="SHARE", type=float, help="channels of activations get ranges alike")
    how.add_argument("--propagate", metavar="SHARE", type=float, help="weights make up for rounded operands")
    how.add_argument("--effort", type=int, choices=range(4), default=0, help="search for fewer adders (default: 0)")
    how.add_argument("--fps", metavar="N", type=positive_float, help="fold layers as far as N samples a second allow")


def _show_options(made: Parser) -> None:
    show = made.add_argument_group("what to show")
    show.add_argument("-q", "--quiet", action="store_true", help="no progress")
    show.add_argument("-v", "--verbose", action="store_true", help="seconds of every stage")


def _subject(args: Any) -> Subject:
    """What the user named, checked."""
    found = Collector()
    with found.collecting():
        catalogue.get(args.target)
    if not Path(args.model).is_file():
        found.include(fail("QC101", args.model, "there is no such file", "check the path"))
    calibration = samples = labels = None
    with found.collecting():
        calibration = arrays.pick(args.calibrate, arrays.CALIBRATION_NAMES, "--calibrate")
        if args.samples is None:
            samples = arrays.samples_beside(calibration)
        else:
            samples = arrays.pick(args.samples, arrays.SAMPLE_NAMES, "--samples")
        labels = arrays.labels_for(args.labels, samples)
        if labels is not None:
            arrays.check_labels(labels, samples)
    found.check()
    assert calibration is not None
    given = {
        "scales": args.scales,
        "weight_rounding": args.weight_rounding,
        "equalize": args.equalize or None,
        "smooth": args.smooth,
        "propagate": args.propagate,
        "effort": args.effort,
        "fps": args.fps,
    }
    return Subject(
        args.model,
        args.target,
        calibration.values,
        None if samples is None else samples.values,
        None if labels is None else labels.values,
        {key: value for key, value in given.items() if value is not None},
    )


def _verdict(point: Point) -> str:
    accuracy = "" if point.accuracy is None else f"{point.accuracy:.2f} % right, "
    return f"{accuracy}{point.agreement:.2f} % as the float network, error {point.error:.5f}, {point.lut:,} LUTs"


def _print_points(points: Sequence[Point], front: Sequence[Point]) -> None:
    right = [Column(title, right=True) for title in ("right", "as float", "error", "LUT", "FF", "BRAM", "cycles")]
    rows = [
        (
            "*" if point in front else "",
            point.weights,
            point.activations,
            "" if point.accuracy is None else f"{point.accuracy:.2f} %",
            f"{point.agreement:.2f} %",
            f"{point.error:.5f}",
            f"{point.lut:,}",
            f"{point.ff:,}",
            str(point.bram18),
            str(point.latency_cycles),
        )
        for point in points
    ]
    print(table([Column(""), Column("weights"), Column("activations"), *right], rows, 120))
    print("\n* no other point is both cheaper and more accurate")
