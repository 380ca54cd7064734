"""The documentation that the schema is held to."""

from pathlib import Path

import pytest


@pytest.fixture
def docs_report() -> str:
    return (Path(__file__).resolve().parents[2] / "docs" / "report.md").read_text()
