"""Where a float network gets quantizers: decided from the structure alone."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

import numpy as np

from qcompile.ir.graph import Graph, Node, merge_origins
from qcompile.ir.model import (
    Add,
    ArgMax,
    AveragePool,
    Clip,
    Constant,
    Conv,
    Curve,
    Div,
    Input,
    LeakyRelu,
    MatMul,
    MaxPool,
    Mul,
    Quantize,
    Reshape,
    Softmax,
    Transpose,
)
from qcompile.numerics.curves import CURVES

LAYOUT = MaxPool | Reshape | Transpose
"""Operations whose result lies on the grid of their operand."""
HOST = Softmax | ArgMax


@dataclass(frozen=True)
class Place:
    """A quantizer goes behind node ``end``.

    ``owner`` is the layer whose result it rounds (convolution, matrix product, join, pool, input), and
    ``steps`` the element-by-element nodes behind it, the last one being ``end``. ``output``: the value only
    leaves the network, through layout, pooling, softmax and argmax at most. ``non_negative``: provably.
    ``curved``: it is the argument of functions that rise and fall, which become tables of every code.
    """

    end: str
    owner: Node
    steps: tuple[Node, ...]
    output: bool
    non_negative: bool
    curved: bool = False

    @property
    def layer_names(self) -> tuple[str, ...]:
        """The names by which a user may mean this layer."""
        nodes = (self.owner, *self.steps)
        return merge_origins(*(node.origin for node in nodes), tuple(node.name for node in nodes))


class _State(Enum):
    CONSTANT = "constant"
    ON_GRID = "on a grid"
    OPEN = "a real number, not quantized yet"
    ON_HOST = "computed behind the hardware, from a softmax or argmax"


def find_places(graph: Graph) -> dict[str, Place]:
    """Every place that needs a quantizer, by the node it goes behind, in graph order.

    Layers need operands on grids. A layer's result stays open through the element-by-element nodes behind it
    (bias, activation) as long as each is its only reader, so that one rounding covers them all; the grid
    comes before pooling and layout, so that hardware moves few bits. Inputs are quantized at once, and so are
    arguments of functions that rise and fall: of an accumulator, these would need an entry for every value.
    """
    return _Placement(graph).find()


def constants_of(graph: Graph) -> frozenset[str]:
    """Constants, quantized or not."""
    found: set[str] = set()
    for node in graph.nodes:
        if isinstance(node.op, Constant) or (isinstance(node.op, Quantize) and node.inputs[0] in found):
            found.add(node.name)
    return frozenset(found)


def weights_position(graph: Graph, node: Node, constants: frozenset[str]) -> int | None:
    """Which operand of a convolution or matrix product is its weights; None where there are none."""
    if not isinstance(node.op, Conv | MatMul):
        return None
    held = [name in constants for name in node.inputs]
    return held.index(True) if held.count(True) == 1 else None


class _Placement:
    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.constants = constants_of(graph)
        self.state: dict[str, _State] = {}
        self.chains: dict[str, tuple[Node, tuple[Node, ...]]] = {}
        self.wanted: set[str] = set()
        self.outputs = _only_outputs(graph)
        self.non_negative = _non_negative(graph)

    def find(self) -> dict[str, Place]:
        for node in self.graph.nodes:
            self.state[node.name] = self.visit(node)
        for name in self.graph.outputs:
            self.need(name)
        return {node.name: self.place(node.name) for node in self.graph.nodes if node.name in self.wanted}

    def place(self, name: str) -> Place:
        owner, steps = self.chains[name]
        curved = all(_rises_and_falls(user) for user in self.graph.users[name]) and bool(self.graph.users[name])
        return Place(name, owner, steps, name in self.outputs, name in self.non_negative, curved)

    def need(self, name: str) -> None:
        if self.state[name] is _State.OPEN:
            self.wanted.add(name)

    def visit(self, node: Node) -> _State:
        match node.op:
            case Constant():
                return _State.CONSTANT
            case Quantize():
                return _State.CONSTANT if node.name in self.constants else _State.ON_GRID
            case Input():
                self.chains[node.name] = (node, ())
                if _quantized_anyway(self.graph, node):
                    return _State.ON_GRID
                self.wanted.add(node.name)
                return _State.OPEN
            case MaxPool() | Reshape() | Transpose():
                self.need(node.inputs[0])
                return _State.ON_HOST if self.state[node.inputs[0]] is _State.ON_HOST else _State.ON_GRID
            case Softmax() | ArgMax():
                self.need(node.inputs[0])
                return _State.ON_HOST
            case Add() | Mul() | Div() | Clip() | LeakyRelu() | Curve():
                return self.element_by_element(node)
        for name in node.inputs:
            self.need(name)
        self.chains[node.name] = (node, ())
        return _State.OPEN

    def element_by_element(self, node: Node) -> _State:
        computed = [name for name in node.inputs if name not in self.constants]
        if len(computed) == 1 and self.extends(computed[0]) and not _rises_and_falls(node):
            owner, steps = self.chains[computed[0]]
            self.chains[node.name] = (owner, (*steps, node))
            return _State.OPEN
        for name in computed:
            self.need(name)
        self.chains[node.name] = (node, ())
        return _State.OPEN

    def extends(self, name: str) -> bool:
        """Whether rounding ``name`` can wait for its only reader."""
        open_still = self.state[name] is _State.OPEN and name not in self.wanted
        return open_still and len(self.graph.users[name]) == 1 and name not in self.graph.outputs


def _rises_and_falls(node: Node) -> bool:
    return isinstance(node.op, Curve) and not CURVES[node.op.function].ascends


def _quantized_anyway(graph: Graph, node: Node) -> bool:
    users = graph.users[node.name]
    return bool(users) and all(isinstance(user.op, Quantize) for user in users)


def _only_outputs(graph: Graph) -> frozenset[str]:
    """Values that only leave the network, as results."""
    found: set[str] = set()
    for node in reversed(graph.nodes):
        users = graph.users[node.name]
        leaves = bool(users) or node.name in graph.outputs
        if leaves and all(u.name in found and isinstance(u.op, LAYOUT | HOST) for u in users):
            found.add(node.name)
    return frozenset(found)


def _non_negative(graph: Graph) -> frozenset[str]:
    """Values that cannot be negative, whatever the input."""
    found: set[str] = set()
    for node in graph.nodes:
        operands = [name in found for name in node.inputs]
        match node.op:
            case Constant(value=value):
                held = bool(np.all(value.values >= 0))
            case Input(integer=limits):
                held = limits is not None and limits[0] >= 0
            case Clip(low=low):
                held = (low is not None and low >= 0) or operands[0]
            case Curve(function=function):
                held = function in ("sigmoid", "exp")
            case Softmax() | ArgMax():
                held = True
            case Quantize(quantizer=q):
                held = operands[0] or (q.low is not None and q.low >= max(q.zero_point))
            case Conv() | MatMul() | Add() | Mul() | Div():
                held = all(operands)
            case AveragePool() | MaxPool() | Reshape() | Transpose() | LeakyRelu():
                held = operands[0]
            case _:
                held = False
        if held:
            found.add(node.name)
    return frozenset(found)
