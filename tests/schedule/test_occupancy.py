"""When layers work: the report's schedule agrees with its totals, unrolled, folded and with a residual."""

from pathlib import Path
from typing import Any

import pytest

import qcompile

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


@pytest.mark.parametrize("fps", [None, 20_000])
def test_the_busiest_layer_sets_the_interval_and_each_begins_with_its_operands(fps: float | None) -> None:
    report = qcompile.compile(EXAMPLES / "digits_cnn_qdq.onnx", target="ultra96", fps=fps).report
    layers: dict[str, Any] = {layer["name"]: layer for layer in report["layers"]}
    assert max(layer["schedule"]["busy"] for layer in layers.values()) == report["totals"]["ii_cycles"]
    for layer in layers.values():
        own = layer["schedule"]
        first = [layers[name]["schedule"]["first"] for name in layer["inputs"] if name != "input"]
        assert own["start"] >= min(first, default=0)
        assert own["start"] < own["first"] <= own["last"] < report["totals"]["latency_cycles"]
    assert next(iter(layers.values()))["inputs"] == ["input"]
    assert next(iter(layers.values()))["schedule"]["start"] == 0
