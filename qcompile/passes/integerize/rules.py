"""Which rule each model operation has; an operation without one is QC102."""

from __future__ import annotations

import numpy as np

from qcompile.ir import model
from qcompile.ir.graph import Node
from qcompile.passes.integerize import choosing, layout, linear, padding, pointwise, pooling, quantizing
from qcompile.passes.integerize.builder import Builder, Rule, Value
from qcompile.passes.integerize.carried import Known, Raw


def _input(build: Builder, node: Node) -> Value:
    shape = node.op.shape  # type: ignore[attr-defined]
    return Raw(node, np.arange(int(np.prod(shape))).reshape(shape), origin=node.origin)


def _constant(build: Builder, node: Node) -> Value:
    return Known(np.asarray(node.op.value.values, np.float64))  # type: ignore[attr-defined]


RULES: dict[type, Rule] = {
    model.Input: _input,
    model.Constant: _constant,
    model.Quantize: quantizing.quantize,
    model.Conv: linear.conv,
    model.MatMul: linear.matmul,
    model.Add: pointwise.add,
    model.Mul: pointwise.multiply,
    model.Div: pointwise.divide,
    model.Clip: pointwise.clip,
    model.LeakyRelu: pointwise.leaky_relu,
    model.Curve: pointwise.curve,
    model.Maximum: choosing.maximum,
    model.Minimum: choosing.minimum,
    model.Greater: choosing.greater,
    model.Equal: choosing.equal,
    model.Where: choosing.where,
    model.MaxPool: pooling.max_pool,
    model.AveragePool: pooling.average_pool,
    model.Reduce: pooling.reduce,
    model.ArgMax: pooling.argmax,
    model.Softmax: pooling.softmax,
    model.Reshape: layout.reshape,
    model.Transpose: layout.transpose,
    model.Take: layout.take,
    model.Concat: layout.concat,
    model.Pad: padding.pad,
}
