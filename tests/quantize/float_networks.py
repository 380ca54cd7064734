"""Small model graphs for the tests, and what must hold of them once quantized."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from qcompile.ir.array import Array
from qcompile.ir.graph import Graph, Node
from qcompile.ir.model import (
    MODEL,
    Add,
    AveragePool,
    Clip,
    Constant,
    Conv,
    Input,
    MatMul,
    MaxPool,
    ModelOp,
    Quantize,
    Reals,
    Reshape,
    Transpose,
    evaluate,
)
from qcompile.ir.window import Window


class Network:
    """A graph written top down; methods return the new node's name."""

    def __init__(self, shape: tuple[int, ...], seed: int = 0, integer: tuple[int, int] | None = None) -> None:
        self.random = np.random.default_rng(seed)
        self.nodes = [Node("x", Input(shape, integer), (), ("x",))]

    def node(self, name: str, op: ModelOp, *inputs: str) -> str:
        self.nodes.append(Node(name, op, inputs, (f"/{name}",)))
        return name

    def constant(self, name: str, value: Any) -> str:
        self.nodes.append(Node(name, Constant(Array(np.asarray(value, np.float64)))))
        return name

    def add(self, name: str, x: str, value: Any) -> str:
        return self.node(name, Add(), x, self.constant(f"{name}.value", value))

    def conv(self, name: str, x: str, ins: int, outs: int, kernel: int = 3, pad: int = 1, groups: int = 1) -> str:
        weights = self.random.normal(0, 0.4, (outs, ins // groups, kernel, kernel))
        window = Window((kernel, kernel), pads=(pad,) * 4)
        return self.node(name, Conv(window, groups), x, self.constant(f"{name}.weight", weights))

    def dense(self, name: str, x: str, ins: int, outs: int) -> str:
        return self.node(name, MatMul(), x, self.constant(f"{name}.weight", self.random.normal(0, 0.4, (ins, outs))))

    def relu(self, name: str, x: str) -> str:
        return self.node(name, Clip(0.0, None), x)

    def graph(self, *outputs: str) -> Graph:
        return Graph(MODEL, "net", tuple(self.nodes), outputs).verify()


def convolutional(seed: int = 0) -> Graph:
    """conv - bias - ReLU - max pool - conv - bias - ReLU - flatten - dense - bias on [1, 1, 6, 6]."""
    net = Network((1, 1, 6, 6), seed)
    net.add("bias1", net.conv("conv1", "x", 1, 3), net.random.normal(0, 0.2, (3, 1, 1)))
    net.node("pool1", MaxPool(Window((2, 2), (2, 2))), net.relu("relu1", "bias1"))
    net.add("bias2", net.conv("conv2", "pool1", 3, 4), net.random.normal(0, 0.2, (4, 1, 1)))
    net.node("flat", Reshape((1, 36)), net.relu("relu2", "bias2"))
    net.add("logits", net.dense("fc", "flat", 36, 5), net.random.normal(0, 0.2, 5))
    return net.graph("logits")


def residual(seed: int = 0) -> Graph:
    """Two branches that join, one much larger than the other, then global average pooling and a dense layer."""
    net = Network((1, 2, 6, 6), seed)
    net.add("bias0", net.conv("conv0", "x", 2, 4), net.random.normal(0, 0.1, (4, 1, 1)))
    net.relu("relu1", net.conv("conv1", "bias0", 4, 4))
    net.node("joined", Add(), "bias0", "relu1")
    net.relu("relu2", "joined")
    net.node("mean", AveragePool(Window((6, 6))), "relu2")
    net.node("flat", Reshape((1, 4)), "mean")
    net.dense("fc", "flat", 4, 3)
    return net.graph("fc")


def sampled(graph: Graph, count: int = 32, low: float = -1, high: float = 1) -> Reals:
    op = graph.nodes[0].op
    assert isinstance(op, Input)
    return np.random.default_rng(5).uniform(low, high, (count, *op.shape))


def run(graph: Graph, x: Reals) -> Reals:
    return evaluate(graph, {graph.nodes[0].name: x})[graph.outputs[0]]


def operands_off_grid(graph: Graph) -> Iterator[str]:
    """Operands of layers that no quantizer put on a grid."""
    constant = {n.name for n in graph.nodes if isinstance(n.op, Constant)}
    for node in graph.nodes:
        if isinstance(node.op, Quantize) and node.inputs[0] in constant:
            constant.add(node.name)
    for node in graph.nodes:
        joins = isinstance(node.op, Add) and not constant.intersection(node.inputs)
        if not joins and not isinstance(node.op, Conv | MatMul | AveragePool | MaxPool | Reshape | Transpose):
            continue
        for name in node.inputs:
            source = graph.by_name[name]
            while isinstance(source.op, MaxPool | Reshape | Transpose):
                source = graph.by_name[source.inputs[0]]
            if not isinstance(source.op, Quantize):
                yield f"{node.name}: {name}"
