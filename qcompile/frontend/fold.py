"""Computes nodes whose inputs are all known, with ONNX's own reference implementation."""

from __future__ import annotations

import warnings

import numpy as np
import onnx
from onnx.reference import ReferenceEvaluator

from qcompile.frontend.call import Call
from qcompile.frontend.values import Known, Value

UNREPEATABLE = frozenset(
    ("RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike", "Multinomial", "Bernoulli")
)
"""Operators whose result is another one each time: never constants."""


def fold(call: Call) -> tuple[Value, ...]:
    """The results of ``call`` on known operands, in the types and roundings of ONNX; QC107 where it fails."""
    feeds = {}
    for name, operand in zip(call.node.input, call.operands, strict=True):
        if isinstance(operand, Known):
            feeds[name] = operand.plain()
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            node = onnx.NodeProto()
            node.CopyFrom(call.node)
            results = ReferenceEvaluator(node, opsets={call.node.domain: call.version}).run(None, feeds)
    # The reference raises whatever its NumPy code happens to raise; to the user it is all one.
    except Exception as error:
        raise call.refuse(
            "QC107",
            f"cannot be computed from its constants: {type(error).__name__}: {str(error).splitlines()[0]}",
            "check the file with onnx.checker.check_model(model, full_check=True) and export it again",
        ) from None
    return tuple(
        Known(np.asarray(result), name or call.name, np.asarray(result).dtype, origin=(call.name,))
        for name, result in zip(call.node.output, results, strict=True)
    )
