"""The network that the tests of the hand-over share."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

import qcompile

EXAMPLES = Path(__file__).parents[2] / "examples"


@dataclass(frozen=True)
class Written:
    """A compiled network and the output folder that it wrote; ``images`` are what its vectors hold."""

    compiled: qcompile.Compiled
    folder: Path
    images: np.ndarray

    @property
    def name(self) -> str:
        return self.compiled.hardware.top


def written(folder: Path, **options) -> Written:
    """The digits network with three layers, few bits and no search: seconds."""
    with np.load(EXAMPLES / "digits.npz") as arrays:
        images = arrays["x_calib"]
    bits = {"weights": "fixed:3", "activations": "fixed:4", "effort": 0}
    compiled = qcompile.compile(
        EXAMPLES / "digits_mlp.onnx", target="ultra96", calibration=images, **{**bits, **options}
    )
    compiled.write(folder)
    return Written(compiled, folder, images[:16])
