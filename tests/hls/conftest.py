"""Cases and models of other test folders, and one library of all conformance networks."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
sys.path += [str(TESTS / folder) for folder in ("conformance", "schedule")]


@pytest.fixture(scope="session", autouse=True)
def compiler() -> None:
    """Skips all of these tests where no C++ compiler is installed."""
    from qcompile.errors import CompileError
    from qcompile.verify.compiler import find_compiler

    try:
        find_compiler()
    except CompileError as error:
        pytest.skip(str(error))
