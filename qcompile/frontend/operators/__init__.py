"""One handler per ONNX operator; importing this package fills the table of `qcompile.frontend.registry`."""

from qcompile.frontend.operators import (
    activations,
    cast,
    classify,
    clip,
    elementwise,
    layout,
    linear,
    logic,
    normalize,
    pooling,
    qdq,
    qonnx,
    reduce,
    select,
)

__all__ = [
    "activations",
    "cast",
    "classify",
    "clip",
    "elementwise",
    "layout",
    "linear",
    "logic",
    "normalize",
    "pooling",
    "qdq",
    "qonnx",
    "reduce",
    "select",
]
