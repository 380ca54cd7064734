"""What the user sees: diagnostics and progress on stderr, the report on stdout, coloured only on a terminal."""

from __future__ import annotations

import os
import re
import sys
import time
from collections.abc import Iterable, Mapping
from types import TracebackType
from typing import Any, TextIO

from qcompile.errors import Diagnostic, Severity
from qcompile.report import render_text, to_json
from qcompile.report.verdict import verdict_lines

_COLOURS = {Severity.ERROR: "\033[1;31m", Severity.WARNING: "\033[1;33m"}
_ANSWERS = {"yes": "\033[1;32m", "NO": "\033[1;31m"}
_PLAIN, _CLEAR = "\033[0m", "\r\033[K"


def is_terminal(stream: TextIO) -> bool:
    return stream.isatty() and os.environ.get("TERM") != "dumb"


def coloured(stream: TextIO) -> bool:
    """https://no-color.org: any non-empty NO_COLOR turns colours off."""
    return is_terminal(stream) and not os.environ.get("NO_COLOR")


def print_diagnostics(diagnostics: Iterable[Diagnostic]) -> None:
    for diagnostic in diagnostics:
        text = str(diagnostic)
        if coloured(sys.stderr):
            head, bracket, rest = text.partition("]")
            text = f"{_COLOURS[diagnostic.severity]}{head}{bracket}{_PLAIN}{rest}"
        print(text, file=sys.stderr)


def print_report(report: Mapping[str, Any], json: bool, quiet: bool) -> None:
    """As JSON, as the verdict alone, or as the whole text."""
    if json:
        print(to_json(report), end="")
        return
    text = "\n".join(verdict_lines(report)) + "\n" if quiet else render_text(report)
    if coloured(sys.stdout):
        text = re.sub(r"^((?:fits|exact) +)(yes|NO)\b", _in_colour, text, flags=re.MULTILINE)
    print(text, end="")


def _in_colour(found: re.Match[str]) -> str:
    return f"{found[1]}{_ANSWERS[found[2]]}{found[2]}{_PLAIN}"


class Progress:
    """One line per stage; what follows its first word is detail ("lower conv1").

    On a terminal the running stage's line shows detail and percentage; with ``verbose``, seconds stay.
    """

    def __init__(self, quiet: bool, verbose: bool) -> None:
        self._quiet, self._verbose = quiet, verbose
        self._live = is_terminal(sys.stderr)
        self._stage: str | None = None
        self._began = 0.0

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._finish()

    def __call__(self, stage: str, fraction: float | None = None) -> None:
        if self._quiet:
            return
        stage, _, detail = stage.partition(" ")
        if stage != self._stage:
            self._finish()
            self._stage, self._began = stage, time.monotonic()
            if not self._live and not self._verbose:
                print(f"  {stage}", file=sys.stderr, flush=True)
        if self._live:
            percent = "" if fraction is None else f" {fraction:4.0%}"
            print(f"{_CLEAR}  {stage}{percent}{detail and ' '}{detail[:60]}", end="", file=sys.stderr, flush=True)

    def _finish(self) -> None:
        if self._stage is None:
            return
        seconds = f"  {time.monotonic() - self._began:.1f} s" if self._verbose else ""
        if self._live:
            print(f"{_CLEAR}  {self._stage}{seconds}", file=sys.stderr, flush=True)
        elif self._verbose:
            print(f"  {self._stage}{seconds}", file=sys.stderr, flush=True)
        self._stage = None
