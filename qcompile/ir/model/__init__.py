"""The model graph: real-valued operations in ONNX's own layout, and quantizers."""

from qcompile.ir.model.base import MODEL, PARAMETERS, Constant, Input, ModelOp, Quantize, Reals, RealType
from qcompile.ir.model.elementwise import Add, Clip, Curve, Div, Equal, Greater, LeakyRelu, Maximum, Minimum, Mul, Where
from qcompile.ir.model.evaluate import evaluate
from qcompile.ir.model.layout import Concat, Pad, Reshape, Take, Transpose
from qcompile.ir.model.linear import Conv, MatMul
from qcompile.ir.model.pooling import AveragePool, MaxPool
from qcompile.ir.model.reduction import ArgMax, Reduce, Softmax

__all__ = [
    "MODEL",
    "PARAMETERS",
    "Add",
    "ArgMax",
    "AveragePool",
    "Clip",
    "Concat",
    "Constant",
    "Conv",
    "Curve",
    "Div",
    "Equal",
    "Greater",
    "Input",
    "LeakyRelu",
    "MatMul",
    "MaxPool",
    "Maximum",
    "Minimum",
    "ModelOp",
    "Mul",
    "Pad",
    "Quantize",
    "RealType",
    "Reals",
    "Reduce",
    "Reshape",
    "Softmax",
    "Take",
    "Transpose",
    "Where",
    "evaluate",
]
