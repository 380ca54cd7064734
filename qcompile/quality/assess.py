"""The report's part on quantization: every layer's codes and error on real samples."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from qcompile.ir.graph import Graph
from qcompile.passes.manager import PassManager
from qcompile.quality.layers import layer_quality
from qcompile.quality.reference import without_rounding
from qcompile.quantize.post_training import PREPARE

SAMPLES = 64
_PRODUCTS = 1_000_000_000  # that both networks may compute; fewer samples of larger ones


@dataclass(frozen=True)
class Networks:
    """The model graph before and after quantization; ``original`` None: the file was quantized already."""

    original: Graph | None
    quantized: Graph

    @property
    def reference(self) -> tuple[Graph, str]:
        """What the quantized network is compared with, and its name in the report."""
        if self.original is None:
            return without_rounding(self.quantized), "the same network without rounding its data"
        return PassManager().run(self.original, PREPARE), "the float network"


def assess(
    report: dict[str, Any], networks: Networks, results: Mapping[str, str], samples: npt.NDArray[Any], source: str
) -> None:
    """Fills ``quality`` and the layers' ``sqnr_db`` and ``activations``.

    ``results`` names the value that leaves each layer. Of ``samples`` evenly spread ones are used; ``source`` says
    what they are.
    """
    reference, name = networks.reference
    products = sum(layer.get("macs", 0) for layer in report["layers"])
    count = min(SAMPLES, len(samples), max(2, _PRODUCTS // max(1, products)))
    chosen = np.asarray(samples)[:: -(-len(samples) // count)]
    found = layer_quality(reference, networks.quantized, results, chosen)
    report["quality"] = {"samples": len(chosen), "source": source, "reference": name}
    for layer in report["layers"]:
        quality = found.get(layer["name"])
        if quality is None:
            continue
        layer["sqnr_db"] = quality.sqnr_db
        if quality.activations is not None:
            layer["activations"] = quality.activations
