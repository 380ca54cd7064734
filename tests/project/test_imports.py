"""Imports go downward only, and each foreign package stays in its room."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

# Lowest first: a package imports from those before it. A new package gets its place here.
ORDER = (
    "version",
    "rules",
    "errors",
    "templates",
    "targets",
    "numerics",
    "ir",
    "arith",
    "passes",
    "frontend",
    "quantize",
    "emulator",
    "lower",
    "schedule",
    "backends",
    "verify",
    "synth",
    "bitstream",
    "quality",
    "report",
    "summary",
    "output",
    "handover",
    "config",
    "implementations",
    "verification",
    "compiled",
    "driver",
    "explore",
    "cli",
    "__main__",
)
# Where a foreign package may be imported; packages that are not listed may be imported anywhere.
ROOMS = {
    "onnx": ("frontend", "verify"),
    "google": ("frontend",),
    "amaranth": ("backends", "qcompile_hdl"),
    # The scheduler counts cycles with the very scan that the sliding window runs.
    "qcompile_hdl": ("backends", "schedule"),
    "onnxruntime": ("verify", "quantize"),
    "jinja2": ("templates",),
    "numba": ("arith",),
    "llvmlite": ("arith",),
    "networkx": ("arith", "schedule", "lower"),
    "mpmath": ("numerics",),
    "scipy": ("explore",),
    "dask": ("explore",),
    "matplotlib": ("explore",),
}
ANYWHERE = {"numpy"}


def _sources() -> list[Path]:
    return sorted([*(ROOT / "qcompile").rglob("*.py"), *(ROOT / "hdl" / "qcompile_hdl").rglob("*.py")])


def _package(path: Path) -> str:
    """The part of qcompile that ``path`` belongs to, as in ORDER; "" for qcompile itself, and "qcompile_hdl"."""
    if "hdl" in path.relative_to(ROOT).parts:
        return "qcompile_hdl"
    first = path.relative_to(ROOT / "qcompile").parts[0]
    return "" if first == "__init__.py" else first.removesuffix(".py")


def _imports(path: Path) -> Iterator[tuple[int, str]]:
    """Line and dotted name of every import, those inside functions included."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module == "qcompile":
            yield from ((node.lineno, f"qcompile.{alias.name}") for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield node.lineno, node.module


def test_every_package_has_its_place_in_the_order() -> None:
    assert sorted({_package(path) for path in _sources()} - {"", "qcompile_hdl"} - set(ORDER)) == []


def test_imports_go_downward_only() -> None:
    wrong = []
    for path in _sources():
        package = _package(path)
        for line, name in _imports(path):
            other = name.split(".")[1] if name.startswith("qcompile.") else None
            if other is None or other == package or package == "":
                continue
            if package not in ORDER or other not in ORDER or ORDER.index(other) > ORDER.index(package):
                wrong.append(f"{path.relative_to(ROOT)}:{line} imports {name}")
    assert wrong == []


def test_foreign_packages_stay_in_their_rooms() -> None:
    wrong = []
    for path in _sources():
        for line, name in _imports(path):
            foreign = name.split(".")[0]
            if foreign in ANYWHERE or foreign == "qcompile" or foreign in sys.stdlib_module_names:
                continue
            rooms = ROOMS.get(foreign)
            if rooms is None or _package(path) not in rooms:
                wrong.append(f"{path.relative_to(ROOT)}:{line} imports {name}")
    assert wrong == []


def test_no_import_is_relative_beyond_its_own_package() -> None:
    wrong = []
    for path in _sources():
        levels = [node.level for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.ImportFrom)]
        if max(levels, default=0) > 1:
            wrong.append(str(path.relative_to(ROOT)))
    assert wrong == []
