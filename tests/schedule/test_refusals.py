"""A layer that has no engine is one diagnostic, whatever stands behind it."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto

sys.path.insert(0, str(Path(__file__).parents[1] / "frontend"))

from graphs import make, node

import qcompile
from qcompile.errors import CompileError


def small_convolution():
    constants = {
        "s": np.float32(0.25),
        "z": np.uint8(3),
        "w": np.random.default_rng(0).integers(-7, 8, (2, 2, 3, 3)).astype(np.float32),
    }
    nodes = [
        node("DequantizeLinear", "x s z", "r"),
        node("Conv", "r w", "c", pads=[1, 1, 1, 1], name="stem"),
        node("QuantizeLinear", "c s z", "y"),
    ]
    return make(nodes, {"x": ([1, 2, 4, 4], TensorProto.UINT8)}, ("y", TensorProto.UINT8), constants)


def test_a_rate_that_no_folding_reaches_is_refused_with_the_best_one():
    model = small_convolution()
    best = qcompile.compile(model, target="zcu104", effort=0, clock_mhz=200, fps=200e6 / 21).report["totals"]
    assert (best["ii_cycles"], best["fps"]) == (21, 9523809.5)
    with pytest.raises(CompileError) as caught:
        qcompile.compile(model, target="zcu104", effort=0, clock_mhz=200, fps=10e6)
    (finding,) = caught.value.diagnostics
    assert finding.code == "QC507"
    assert finding.where == "--fps 10,000,000"
    assert finding.found.startswith("layer stem takes 21 cycles a frame")
    assert "9,523,809 frames a second at 200 MHz" in finding.found
    reached = qcompile.compile(model, target="zcu104", effort=0, clock_mhz=200, fps=9523809).report
    assert reached["totals"]["fps"] >= 9523809


def test_a_rate_above_one_frame_a_cycle_is_refused_by_what_the_input_takes():
    with pytest.raises(CompileError) as caught:
        qcompile.compile(small_convolution(), target="zcu104", effort=0, clock_mhz=200, fps=400e6)
    (finding,) = caught.value.diagnostics
    assert (finding.code, finding.where) == ("QC507", "--fps 400,000,000")
