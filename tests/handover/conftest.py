"""One small network, compiled and written once, for every test of what goes with the RTL."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from handover_example import Written, written


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The network is compiled by one test process, not by each."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.xdist_group("handover"))


@pytest.fixture(scope="session")
def block(tmp_path_factory: pytest.TempPathFactory) -> Written:
    """Read only."""
    return written(tmp_path_factory.mktemp("handover") / "build")


@pytest.fixture
def copy(block: Written, tmp_path: Path) -> Path:
    """The output folder, to be changed."""
    return Path(shutil.copytree(block.folder, tmp_path / "build"))


@pytest.fixture
def icarus() -> None:
    if shutil.which("iverilog") is None:
        pytest.skip("iverilog is not installed; Verilator runs the same testbench")
