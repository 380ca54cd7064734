"""The C++ compiler, and the cache of what it made.

Compiled code is kept in ``$XDG_CACHE_HOME/qcompile`` (``~/.cache/qcompile``; where that is not writable, in the
system's temporary folder).
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from qcompile.errors import fail

KEPT_BUILDS = 100


def find_compiler() -> tuple[str, ...]:
    """The C++ compiler's command: $CXX, g++ or clang++; CompileError QC503 without."""
    chosen = os.environ.get("CXX", "").split()
    for command in ([chosen] if chosen else []) + [["g++"], ["clang++"]]:
        found = shutil.which(command[0])
        if found is not None:
            return (found, *command[1:])
    raise fail(
        "QC503",
        "g++",
        "no C++ compiler is installed, and simulation needs one",
        "install the package g++, on Debian or Ubuntu: sudo apt-get install g++",
    )


def cache_folder() -> Path:
    chosen = os.environ.get("XDG_CACHE_HOME")
    candidates = [Path(chosen) / "qcompile"] if chosen else []
    candidates.append(Path("~/.cache/qcompile").expanduser())
    for folder in candidates:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except (OSError, RuntimeError):
            continue
        if os.access(folder, os.W_OK | os.X_OK):
            return folder
    folder = Path(tempfile.gettempdir()) / f"qcompile-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    return folder


def keep(built: Path, file: Path) -> None:
    """Moves ``built`` into the cache in one step, so that a reader sees all of it or nothing."""
    file.parent.mkdir(parents=True, exist_ok=True)
    handle, partial = tempfile.mkstemp(dir=file.parent, prefix=".partial-")
    os.close(handle)
    shutil.copyfile(built, partial)
    Path(partial).replace(file)


def drop_old_builds(folder: Path) -> None:
    def age(file: Path) -> float:
        try:
            return file.stat().st_mtime
        except FileNotFoundError:
            return 0.0

    for file in sorted(folder.glob("*.so"), key=age, reverse=True)[KEPT_BUILDS:]:
        file.unlink(missing_ok=True)


def compile_all(compiler: tuple[str, ...], flags: Sequence[str], units: Iterable[Path], folder: Path) -> list[Path]:
    jobs = [(unit, folder / f"{unit.stem}.o") for unit in units]
    with ThreadPoolExecutor(max_workers=os.cpu_count() or 1) as pool:
        commands = [[*compiler, *flags, "-c", str(unit), "-o", str(out)] for unit, out in jobs]
        for _ in pool.map(run_compiler, commands):
            pass
    return [out for _, out in jobs]


def run_compiler(command: Sequence[str]) -> None:
    result = subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", check=False
    )
    if result.returncode != 0:
        raise ValueError(f"the C++ compiler failed:\n{result.stderr[:4000]}")


def digest_of(*texts: str) -> str:
    digest = hashlib.sha256()
    for text in texts:
        encoded = text.encode()
        digest.update(len(encoded).to_bytes(8, "little") + encoded)
    return digest.hexdigest()[:32]
