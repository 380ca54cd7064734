"""ruff and mypy have nothing to say, and CI counts a skipped test as a failure."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def _run(*words: str, folder: Path = ROOT, ci: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", *words],
        cwd=folder,
        env={**os.environ, "CI": ci},
        capture_output=True,
        text=True,
        check=False,
    )


def test_ruff_finds_nothing() -> None:
    done = _run("ruff", "check", "--output-format", "concise", ".")
    assert (done.returncode, done.stdout) == (0, "All checks passed!\n"), done.stdout


def test_mypy_in_strict_mode_finds_nothing() -> None:
    done = _run("mypy")
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(("ci", "code"), [("true", 1), ("", 0)])
def test_a_skipped_test_fails_in_ci_only(tmp_path: Path, ci: str, code: int) -> None:
    shutil.copy(ROOT / "tests" / "conftest.py", tmp_path)
    (tmp_path / "test_it.py").write_text(
        "import pytest\n\ndef test_good(): pass\n\ndef test_bare(): pytest.skip('no g++')\n"
    )
    done = _run("pytest", "-q", "-p", "no:cacheprovider", str(tmp_path), folder=tmp_path, ci=ci)
    assert done.returncode == code, done.stdout
    assert ("FAILED in CI, skipped: test_it.py::test_bare: no g++" in done.stdout) == bool(code)
