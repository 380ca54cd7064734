"""One handler per ONNX operator; importing this package fills the table of `qcompile.frontend.registry`."""

from qcompile.frontend.operators import (
    classify,
    elementwise,
    layout,
    linear,
    normalize,
    pooling,
    qdq,
)

__all__ = ["classify", "elementwise", "layout", "linear", "normalize", "pooling", "qdq"]
