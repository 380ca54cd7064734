"""Diagnostics: what a user did that cannot work, where, and a way out. Bugs stay exceptions."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum


class Severity(StrEnum):
    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True)
class Diagnostic:
    """One finding. ``code`` is a rule of `qcompile.rules`; ``where`` names the ONNX node, file or option."""

    code: str
    where: str
    found: str
    help: str
    severity: Severity = Severity.ERROR

    def __str__(self) -> str:
        place = f"{self.where}: " if self.where else ""
        return f"{self.severity}[{self.code}]: {place}{self.found}\n  = help: {self.help}"


class CompileError(Exception):
    """The user's input cannot be compiled; carries every diagnostic found, errors first."""

    def __init__(self, *diagnostics: Diagnostic) -> None:
        self.diagnostics = tuple(sorted(diagnostics, key=lambda d: d.severity is not Severity.ERROR))
        super().__init__("\n".join(map(str, self.diagnostics)))


class Collector:
    """Gathers diagnostics over one stage so that the user sees all of them at once.

    ``error`` records and returns; ``check`` raises `CompileError` if any error was recorded. Identical
    findings are kept once. Warnings stay in ``warnings`` for the report.
    """

    def __init__(self) -> None:
        self._found: dict[Diagnostic, None] = {}

    def error(self, code: str, where: str, found: str, help: str) -> None:
        self._found[Diagnostic(code, where, found, help)] = None

    def warning(self, code: str, where: str, found: str, help: str) -> None:
        self._found[Diagnostic(code, where, found, help, Severity.WARNING)] = None

    def include(self, error: CompileError) -> None:
        self._found.update(dict.fromkeys(error.diagnostics))

    @property
    def diagnostics(self) -> tuple[Diagnostic, ...]:
        return tuple(self._found)

    @property
    def errors(self) -> tuple[Diagnostic, ...]:
        return tuple(d for d in self._found if d.severity is Severity.ERROR)

    @property
    def warnings(self) -> tuple[Diagnostic, ...]:
        return tuple(d for d in self._found if d.severity is Severity.WARNING)

    def check(self) -> None:
        if self.errors:
            raise CompileError(*self.errors)

    @contextmanager
    def collecting(self) -> Iterator[None]:
        """Record a `CompileError` raised inside instead of letting it pass."""
        try:
            yield
        except CompileError as error:
            self.include(error)


def fail(code: str, where: str, found: str, help: str) -> CompileError:
    """A `CompileError` with one diagnostic; the caller raises it."""
    return CompileError(Diagnostic(code, where, found, help))
