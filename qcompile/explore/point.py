"""One compile of a network with certain formats: what it costs, and what accuracy is left."""

from __future__ import annotations

import hashlib
import json
import tempfile
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Subject:
    """What is compiled and what it is measured on.

    ``options`` are arguments of `qcompile.compile` that all points share. Accuracy is measured on ``samples`` with
    ``labels``, the error on the calibration data.
    """

    model: str
    target: str
    calibration: Array
    samples: Array | None = None
    labels: Array | None = None
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def digest(self) -> str:
        """Changes with everything that a point's result depends on, besides its formats."""
        found = hashlib.sha256(Path(self.model).read_bytes())
        found.update(json.dumps([self.target, dict(self.options)], sort_keys=True, default=str).encode())
        for array in (self.calibration, self.samples, self.labels):
            if array is not None:
                found.update(f"{array.shape}{array.dtype}".encode() + np.ascontiguousarray(array).tobytes())
        return found.hexdigest()[:16]


@dataclass(frozen=True)
class Point:
    """The result for one choice of formats.

    ``accuracy``: of the labels, in percent (None without labels); ``agreement``: of the float network's classes, in
    percent; ``error``: mean squared difference from the float network's results, in units of their variance, both on
    the calibration data. ``layers``: for each layer of the hardware its ONNX nodes, LUTs and latency in cycles.
    """

    weights: str
    activations: str
    lut: int
    ff: int
    bram18: int
    latency_cycles: int
    accuracy: float | None
    agreement: float
    error: float
    seconds: float
    layers: list[dict[str, Any]] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        return {key: value for key, value in asdict(self).items() if key != "layers"}


def measure(
    subject: Subject,
    weights: str,
    activations: str,
    layers: Mapping[str, Mapping[str, str]] | None = None,
    hardware: bool = True,
) -> Point:
    """Compile ``subject`` with these formats, and those of ``layers`` by ONNX node, as in `qcompile.toml`.

    Without ``hardware`` only accuracy is measured. CompileError where it cannot be compiled.
    """
    # Here, because it loads onnx and numba, which a worker should do once, in its own process.
    from qcompile.driver import compile as compile_model

    began = time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "qcompile.toml"
        config.write_text(layers_toml(layers or {}), encoding="utf-8")
        compiled = compile_model(
            subject.model,
            target=subject.target if hardware else None,
            calibration=subject.calibration,
            weights=weights,
            activations=activations,
            config=config,
            allow_oversize=True,
            backend="none",
            **{"effort": 0, **subject.options},
        )
    real = float_results(subject.model, subject.calibration)
    found = _flat(compiled.emulate(subject.calibration))
    accuracy = None
    if subject.samples is not None and subject.labels is not None:
        classes = _flat(compiled.emulate(subject.samples)).argmax(axis=1)
        accuracy = 100 * float((classes == subject.labels.reshape(-1)).mean())
    report: Mapping[str, Any] = compiled.report if hardware else {}
    totals = report.get("totals", {})
    details = [
        {key: layer[key] for key in ("name", "onnx_nodes", "lut", "latency_cycles")}
        for layer in report.get("layers", ())
    ]
    return Point(
        weights,
        activations,
        lut=int(totals.get("lut", 0)),
        ff=int(totals.get("ff", 0)),
        bram18=int(totals.get("bram18", 0)),
        latency_cycles=sum(int(layer["latency_cycles"] or 0) for layer in details),
        accuracy=accuracy,
        agreement=100 * float((found.argmax(axis=1) == real.argmax(axis=1)).mean()),
        error=float(np.square(found - real).mean() / max(real.var(), 1e-30)),
        seconds=round(time.process_time() - began, 2),
        layers=details,
    )


def layers_toml(layers: Mapping[str, Mapping[str, str]]) -> str:
    """Formats by layer as tables of `qcompile.toml`."""
    tables = []
    for name, formats in layers.items():
        lines = [f"{key} = {json.dumps(value)}" for key, value in formats.items()]
        tables.append(f"[layers.{json.dumps(name)}]\n" + "\n".join(lines) + "\n")
    return "\n".join(tables)


def float_results(model: str, samples: Array) -> npt.NDArray[np.float64]:
    """The float network's results [n, values] for ``samples``."""
    from qcompile.errors import Collector
    from qcompile.frontend import read
    from qcompile.ir.model import Input, evaluate
    from qcompile.quantize import as_samples

    key = (str(Path(model).resolve()), samples.shape, hash(np.ascontiguousarray(samples).tobytes()))
    if key not in _RESULTS:
        graph = read(model, Collector()).graph
        node = next(node for node in graph.nodes if isinstance(node.op, Input))
        assert isinstance(node.op, Input)
        x = as_samples(samples, node.op.shape, model)
        parts = [evaluate(graph, {node.name: x[i : i + 64]})[graph.outputs[0]] for i in range(0, len(x), 64)]
        _RESULTS.clear()
        _RESULTS[key] = _flat(np.concatenate(parts))
    return _RESULTS[key]


_RESULTS: dict[Any, npt.NDArray[np.float64]] = {}
"""The results of the last network: every point of a sweep asks for the same."""


def _flat(results: Any) -> npt.NDArray[np.float64]:
    first = next(iter(results.values())) if isinstance(results, dict) else results
    return np.asarray(first, np.float64).reshape(len(first), -1)
