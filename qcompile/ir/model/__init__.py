"""The model graph: real-valued operations in ONNX's own layout, and quantizers."""

from qcompile.ir.model.base import MODEL, PARAMETERS, Constant, Input, ModelOp, Quantize, Reals, RealType
from qcompile.ir.model.elementwise import Add, Clip, Curve, Div, LeakyRelu, Mul
from qcompile.ir.model.evaluate import evaluate
from qcompile.ir.model.layout import Reshape, Transpose
from qcompile.ir.model.linear import Conv, MatMul
from qcompile.ir.model.pooling import AveragePool, MaxPool
from qcompile.ir.model.reduction import ArgMax, Softmax

__all__ = [
    "MODEL",
    "PARAMETERS",
    "Add",
    "ArgMax",
    "AveragePool",
    "Clip",
    "Constant",
    "Conv",
    "Curve",
    "Div",
    "Input",
    "LeakyRelu",
    "MatMul",
    "MaxPool",
    "ModelOp",
    "Mul",
    "Quantize",
    "RealType",
    "Reals",
    "Reshape",
    "Softmax",
    "Transpose",
    "evaluate",
]
