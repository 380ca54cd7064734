"""Lets the tests of the levels use the conformance suite's cases and networks as graphs."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "conformance"))
