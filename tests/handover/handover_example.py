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


def written(folder: Path, model: str = "digits_mlp", **options) -> Written:
    """A network for digits with few bits, compiled without search and written: seconds."""
    with np.load(EXAMPLES / "digits.npz") as arrays:
        images = arrays["x_calib"]
    quantized = "qdq" in model
    bits = {} if quantized else {"weights": "fixed:3", "activations": "fixed:4"}
    compiled = qcompile.compile(
        EXAMPLES / f"{model}.onnx", target="ultra96", calibration=images, **{"effort": 0, **bits, **options}
    )
    compiled.write(folder)
    return Written(compiled, folder, images[:16])
