"""Lets the tests of model-level passes build their graphs with tests/quantize/float_networks.py."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "quantize"))
