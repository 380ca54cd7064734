"""Random networks and options: the simulated RTL is the emulator, bit for bit, and as fast as the report says."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from qcompile.errors import CompileError
from qcompile.verify.verilator import find_compiler, find_verilator

_FILE = Path(__file__).resolve().parents[2] / "benchmarks" / "fuzz.py"
_SPEC = importlib.util.spec_from_file_location("fuzz", _FILE)
assert _SPEC is not None and _SPEC.loader is not None
fuzz = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(fuzz)


@pytest.fixture(autouse=True)
def simulator() -> None:
    try:
        find_verilator(), find_compiler()
    except CompileError as error:
        pytest.skip(str(error))


# A table behind a stream wider than its index; a threshold bank without levels; padding at a frame's start; weights
# that are all -1 or 0, and a PReLU of the input; products of two computed tensors.
@pytest.mark.parametrize("seed", [5, 9, 10, 416, 735])
def test_a_random_network_is_exact(seed: int) -> None:
    verdict, reason, _ = fuzz.check(seed)
    assert verdict in ("exact", "exact, near"), reason


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(100, 140))
def test_another_random_network_is_exact_or_refused_by_a_diagnostic(seed: int) -> None:
    verdict, reason, _ = fuzz.check(seed)
    assert verdict in ("exact", "exact, near") or verdict.startswith("QC"), reason
