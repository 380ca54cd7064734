"""Lets the backends' tests use the conformance suite's networks."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "conformance"))
