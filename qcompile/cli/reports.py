"""`qcompile report` and `qcompile diff`: what output folders hold, read again."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from qcompile.cli.parser import Parser
from qcompile.errors import fail
from qcompile.output import renew_files
from qcompile.report import check, render_html, render_text, to_json
from qcompile.report.diff import compare, render_diff


def report(words: Sequence[str]) -> int:
    parser = Parser(
        prog="qcompile report",
        description="Print the report of an output folder, and write report.txt and report.html anew.",
    )
    parser.add_argument("folder", type=Path, help="what -o named")
    parser.add_argument("--json", action="store_true", help="print report.json instead of the text, and write nothing")
    parser.add_argument(
        "--formats", metavar="FILE", help="show accuracy by format: the table of `qcompile sweep --csv`"
    )
    args = parser.parse_args(words)
    found = _read(args.folder)
    if args.formats is not None:
        found["formats"] = _format_points(args.formats)
    if args.json:
        sys.stdout.write(to_json(found))
        return 0
    text = render_text(found)
    renewed = {"report.txt": text, "report.html": render_html(found)}
    if args.formats is not None:
        renewed["report.json"] = to_json(found)
    renew_files(args.folder, renewed)
    sys.stdout.write(text)
    return 0


def diff(words: Sequence[str]) -> int:
    parser = Parser(prog="qcompile diff", description="Compare two output folders, layer by layer.")
    parser.add_argument("before", type=Path, help="an output folder")
    parser.add_argument("after", type=Path, help="another one")
    parser.add_argument("--json", action="store_true", help="print the comparison as JSON")
    args = parser.parse_args(words)
    found = compare(_read(args.before), _read(args.after))
    sys.stdout.write(to_json(found) if args.json else render_diff(found, str(args.before), str(args.after)))
    return 0


def _format_points(path: str) -> list[dict[str, Any]]:
    """The rows of a sweep's table; QC520 where it is none."""
    help = "give the file that `qcompile sweep --csv FILE` wrote"
    try:
        with Path(path).open(newline="", encoding="utf-8") as file:
            return [_format_point(row) for row in csv.DictReader(file)]
    except OSError as error:
        raise fail("QC520", path, f"cannot be read: {error.strerror or error}", help) from None
    except KeyError as missing:
        raise fail("QC520", path, f"has no column {missing}", help) from None
    except (TypeError, ValueError) as error:
        raise fail("QC520", path, f"has a figure that is none: {error}", help) from None


def _format_point(row: dict[str, str]) -> dict[str, Any]:
    """Percent become shares."""
    point: dict[str, Any] = {key: row[key] for key in ("weights", "activations")}
    point |= {"lut": int(row["lut"]), "agreement": round(float(row["agreement"]) / 100, 6)}
    return point | ({"accuracy": round(float(row["accuracy"]) / 100, 6)} if row["accuracy"] else {})


def _read(folder: Path) -> dict[str, Any]:
    """The report of an output folder; QC506 where it has none that this version understands."""
    path = folder / "report.json"
    help = "give the folder that `qcompile MODEL -o FOLDER` wrote"
    try:
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise fail("QC506", str(path), f"cannot be read: {error.strerror or error}", help) from None
    except ValueError:
        raise fail("QC506", str(path), "is not JSON", help) from None
    problems = check(found)
    if problems:
        raise fail("QC506", str(path), problems[0], f"{help}, with this version of qcompile")
    return found
