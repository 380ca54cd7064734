"""Whose fault an exception inside a handler is: the file's, if ONNX's own checker rejects the node as well."""

from __future__ import annotations

from typing import Any

import onnx
import onnx.checker
import onnx.shape_inference

from qcompile.errors import CompileError
from qcompile.frontend.call import Call
from qcompile.frontend.ordering import REEXPORT
from qcompile.frontend.registry import STANDARD
from qcompile.frontend.values import Known, Live


def blame(call: Call, error: Exception) -> CompileError | None:
    """QC107 for a node that is not valid ONNX; None where it is, and ``error`` is a bug of this compiler.

    Operators of other domains have no checker: for them the message of ``error`` is all there is.
    """
    if call.node.domain not in (STANDARD, "ai.onnx"):
        text = str(error).splitlines()[0] if str(error) else type(error).__name__
        return call.refuse("QC107", f"its inputs and attributes do not fit: {text}", REEXPORT)
    try:
        # The inference also gives the results the types that the checker wants to see.
        model = onnx.shape_inference.infer_shapes(_alone(call), check_type=True, strict_mode=True)
        onnx.checker.check_model(model)
    # The checker and the inference have several exception types; any of them is a verdict.
    except Exception as verdict:
        lines = [line for line in str(verdict).splitlines() if line.strip()] or [type(verdict).__name__]
        return call.refuse("QC107", f"is not valid ONNX: {lines[0]}", REEXPORT)
    return None


def _alone(call: Call) -> Any:
    """A model of this node only, with its operands' types, and the values of small constants."""
    inputs, initializers = [], []
    for name, operand in dict(zip(call.node.input, call.operands, strict=True)).items():
        if not isinstance(operand, Known | Live):
            continue
        kind = onnx.helper.np_dtype_to_tensor_dtype(operand.dtype)
        inputs.append(onnx.helper.make_tensor_value_info(name, kind, operand.shape))
        if isinstance(operand, Known) and operand.array.size <= 4096:
            initializers.append(onnx.numpy_helper.from_array(operand.plain(), name))
    outputs = [onnx.ValueInfoProto(name=name) for name in call.node.output if name]
    graph = onnx.helper.make_graph([call.node], "node", inputs, outputs, initializers)
    return onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", call.version)])
