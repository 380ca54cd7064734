"""Small ONNX graphs for the tests, and their reference results from onnxruntime."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from qcompile.frontend import Imported, read
from qcompile.ir import model

F32 = TensorProto.FLOAT
SHARED = Path(os.environ.get("QCOMPILE_SHARED", Path(__file__).parents[2].parent / "shared"))


def shared_model(name):
    path = SHARED / "models" / name
    if not path.exists():
        pytest.skip(f"{name} is not in the folder of public models (QCOMPILE_SHARED)")
    return path


def make(nodes, inputs, outputs, constants=None, opset=13, ir_version=8, extra_domains=()):
    """A model; ``inputs``: name to shape (float32) or (shape, type); ``outputs``: name or (name, type)."""

    def declared(name, spec):
        shape, kind = (
            spec
            if isinstance(spec, tuple) and isinstance(spec[1], int) and isinstance(spec[0], (list, tuple))
            else (spec, F32)
        )
        return helper.make_tensor_value_info(name, kind, shape)

    graph = helper.make_graph(
        nodes,
        "test",
        [declared(name, spec) for name, spec in inputs.items()],
        [
            helper.make_tensor_value_info(*(o if isinstance(o, tuple) else (o, F32)), None)
            for o in ([outputs] if isinstance(outputs, str | tuple) else outputs)
        ],
        [
            value if isinstance(value, onnx.TensorProto) else numpy_helper.from_array(np.asarray(value), name)
            for name, value in (constants or {}).items()
        ],
    )
    opsets = [helper.make_opsetid("", opset), *(helper.make_opsetid(d, 1) for d in extra_domains)]
    built = helper.make_model(graph, opset_imports=opsets, ir_version=ir_version)
    return built


def node(op, inputs, outputs="y", name=None, domain="", **attributes):
    """A node; inputs and outputs are written as words in one string."""
    return helper.make_node(op, inputs.split(" "), outputs.split(" "), name=name, domain=domain, **attributes)


def evaluated(imported: Imported, *arrays):
    """The outputs of the model graph on one sample per input."""
    feeds = {i.node: np.asarray(a, np.float64)[None] for i, a in zip(imported.inputs, arrays, strict=True)}
    values = model.evaluate(imported.graph, feeds)
    return [values[o.node][0] for o in imported.outputs]


def reference(built, *arrays):
    """onnxruntime's outputs without any graph optimization."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 3
    session = ort.InferenceSession(built.SerializeToString(), options)
    return session.run(None, {i.name: a for i, a in zip(session.get_inputs(), arrays, strict=True)})


def agrees(built, *arrays, tolerance=1e-5):
    """Reads ``built`` and compares with onnxruntime, relative to the largest output; returns what was read."""
    imported = read(built)
    for found, wanted, output in zip(
        evaluated(imported, *arrays), reference(built, *arrays), imported.outputs, strict=True
    ):
        wanted = np.asarray(wanted, np.float64)
        assert found.shape == wanted.shape == output.shape
        assert np.abs(found - wanted).max(initial=0) <= tolerance * max(1e-30, np.abs(wanted).max(initial=0))
    return imported


def kinds(imported):
    """Mnemonics of the graph's nodes, constants left out."""
    return [n.op.mnemonic for n in imported.graph.nodes if not isinstance(n.op, model.Constant)]


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)
