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


def test_layers_behind_a_move_across_positions_add_no_findings():
    constants = {
        "s": np.float32(0.25),
        "z": np.uint8(3),
        "w": np.random.default_rng(0).integers(-7, 8, (2, 3, 2, 2)).astype(np.float32),
    }
    nodes = [
        node("DequantizeLinear", "x s z", "r"),
        node("ConvTranspose", "r w", "c", strides=[2, 2], name="up"),
        node("QuantizeLinear", "c s z", "y"),
    ]
    built = make(nodes, {"x": ([1, 2, 4, 4], TensorProto.UINT8)}, ("y", TensorProto.UINT8), constants)
    qcompile.compile(built)
    with pytest.raises(CompileError) as caught:
        qcompile.compile(built, target="zcu104")
    (finding,) = caught.value.diagnostics
    assert finding.code == "QC401"
    assert '"up"' in finding.where
