"""A stand-in for the compiler, so that the command line's own work is tested in milliseconds."""

from __future__ import annotations

from collections.abc import Mapping
from types import ModuleType
from typing import Any

from qcompile.cli import main
from qcompile.errors import Diagnostic, Severity
from qcompile.ir.graph import Graph
from qcompile.ir.integer import INTEGER
from qcompile.output import write_folder
from qcompile.report import SCHEMA_VERSION, to_json

TOTALS = {"adders": 3, "lut": 40, "ff": 50, "bram18": 0, "dsp": 0, "latency_cycles": 4, "ii_cycles": 1}


class FakeCompiled:
    """Remembers how it was asked; ``report`` is a small one."""

    def __init__(self, model: str, options: Mapping[str, Any]) -> None:
        self.model, self.options = model, options
        self.verified: dict[str, Any] | None = None
        self.synthesized = False
        self.warnings = (Diagnostic("QC202", "x", "synthetic inputs", "give --calibrate", Severity.WARNING),)
        self.report: dict[str, Any] = {
            "schema_version": SCHEMA_VERSION,
            "qcompile": "0.1.0",
            "model": "net",
            "target": options.get("target"),
            "layers": [],
            "totals": {**TOTALS, "fps": 2e8, "clock_mhz": 200.0},
        }

    def verify(self, samples: Any, *, count: int, labels: Any, seed: int) -> dict[str, Any]:
        self.verified = {"samples": samples, "count": count, "labels": labels, "seed": seed}
        self.report["verify"] = {"samples": count, "rtl_mismatches": self.mismatches, "reference_max_abs_error": 0.5}
        return self.report["verify"]

    mismatches = 0

    def synthesize(self) -> None:
        self.synthesized = True

    def write(self, folder: str) -> None:
        write_folder(folder, {"report.json": to_json(self.report)})


class FakeDriver(ModuleType):
    """`qcompile.driver`; ``made`` is what the last compile gave, ``error`` what it raises instead."""

    def __init__(self) -> None:
        super().__init__("qcompile.driver")
        self.made: FakeCompiled | None = None
        self.error: BaseException | None = None

    def compile(self, model: str, *, after_pass: Any, progress: Any, **options: Any) -> FakeCompiled:
        progress("import", None)
        progress("lower conv", 0.5)
        after_pass("integerize", Graph(INTEGER, "net", (), ()))
        if self.error is not None:
            raise self.error
        self.made = FakeCompiled(model, options)
        return self.made

    def estimate(self, model: str, *, progress: Any, **options: Any) -> dict[str, Any]:
        return self.compile(model, after_pass=lambda name, graph: None, progress=progress, **options).report


def run(*words: str) -> int:
    """The exit code of a command, SystemExit included."""
    try:
        return main(words)
    except SystemExit as leaving:
        return int(leaving.code or 0)
