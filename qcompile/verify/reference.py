"""The reference: the ONNX file's own outputs, from onnxruntime or, for operators it lacks, from the model graph."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime

from qcompile import frontend
from qcompile.ir.model import evaluate

NEWEST_IR = 13
"""The newest IR version that onnxruntime loads; a model with a newer one runs with its version set to this."""


def reference_outputs(model: Any, samples: npt.NDArray[np.float64]) -> tuple[npt.NDArray[np.float64], str]:
    """The first output ``[samples, *shape]`` and the engine that computed it.

    onnxruntime runs without any graph optimization: those change low bits.
    """
    session = _session(model)
    if session is None:
        imported = frontend.read(model)
        values = evaluate(imported.graph, {imported.inputs[0].node: samples})
        return values[imported.outputs[0].node], "model graph in float64"
    (source,) = session.get_inputs()
    dtype = _DTYPES[source.type]
    rows = [np.asarray(session.run(None, {source.name: s.astype(dtype)})[0], np.float64) for s in samples]
    return np.stack(rows), f"onnxruntime {onnxruntime.__version__}"


def _session(model: Any) -> onnxruntime.InferenceSession | None:
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    loaded = frontend.load_model(model)
    source: Any = str(loaded.path)  # by path it finds weights in files of their own
    if loaded.path is None or loaded.model.ir_version > NEWEST_IR:
        proto = type(loaded.model)()
        proto.CopyFrom(loaded.model)
        proto.ir_version = min(proto.ir_version, NEWEST_IR)
        source = proto.SerializeToString()
    try:
        return onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])
    except Exception:  # onnxruntime raises bare exceptions of its binding for operators that it does not have
        return None


_DTYPES: dict[str, Any] = {
    "tensor(float)": np.float32,
    "tensor(double)": np.float64,
    "tensor(float16)": np.float16,
    "tensor(uint8)": np.uint8,
    "tensor(int8)": np.int8,
    "tensor(uint16)": np.uint16,
    "tensor(int16)": np.int16,
    "tensor(int32)": np.int32,
    "tensor(int64)": np.int64,
}
