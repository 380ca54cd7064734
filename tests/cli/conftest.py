"""Fixtures of the command line tests."""

import sys
from pathlib import Path

import numpy as np
import pytest
from fake_driver import FakeDriver


@pytest.fixture
def driver(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> FakeDriver:
    """The fake in place of the real one, in an empty current folder."""
    fake = FakeDriver()
    monkeypatch.setitem(sys.modules, "qcompile.driver", fake)
    monkeypatch.chdir(tmp_path)
    return fake


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """`data.npz` with calibration data, test samples and their labels."""
    path = tmp_path / "data.npz"
    arrays = {"x_calib": np.zeros((4, 2)), "x_test": np.ones((3, 2)), "y_test": np.array([0, 1, 1])}
    np.savez(path, **arrays)
    return path
