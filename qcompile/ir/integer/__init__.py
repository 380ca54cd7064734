"""The integer graph: the golden model. Every operation's ``evaluate`` on exact Python ints is its definition.

Values are integer tensors without a batch axis, channels last: ``[channels]``, ``[rows, channels]`` or
``[rows, columns, channels]``. A type holds the exact span of every channel, so no operation ever wraps.
``evaluate`` takes and gives object arrays of Python ints of one sample.
"""

from qcompile.ir.integer.base import INTEGER, PARAMETERS, IntegerOp, Ints, IntType
from qcompile.ir.integer.boundary import Input, Output
from qcompile.ir.integer.choice import ArgMax, Maximum, MaxPool, Select
from qcompile.ir.integer.linear import Conv, MatMul, Product, SumPool, WeightedSum, Xnor
from qcompile.ir.integer.moves import Concat, Gather, Reshape
from qcompile.ir.integer.scalar import Lookup, Requantize, Rescale, RoundSignificand, Thresholds

__all__ = [
    "INTEGER",
    "PARAMETERS",
    "ArgMax",
    "Concat",
    "Conv",
    "Gather",
    "Input",
    "IntType",
    "IntegerOp",
    "Ints",
    "Lookup",
    "MatMul",
    "MaxPool",
    "Maximum",
    "Output",
    "Product",
    "Requantize",
    "Rescale",
    "Reshape",
    "RoundSignificand",
    "Select",
    "SumPool",
    "Thresholds",
    "WeightedSum",
    "Xnor",
]
