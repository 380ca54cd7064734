"""A datapath graph under construction: lanes in, named operations, lanes out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from qcompile import arith
from qcompile.ir import datapath
from qcompile.ir.datapath import DatapathOp
from qcompile.ir.graph import Graph, Node
from qcompile.numerics.span import Span


class Term(NamedTuple):
    """The value ``±(node << shift)``; consumers fold shift and sign into what they do anyway."""

    node: str
    shift: int = 0
    negate: bool = False


Lanes = list[Term]


@dataclass(frozen=True)
class Effort:
    """How hard the adder graph optimizer works (`qcompile.arith.optimize`), and its seed."""

    level: int = 1
    seed: int = 0


class Builder:
    """Collects datapath nodes; types are known as soon as a node is added."""

    def __init__(self, name: str, effort: Effort) -> None:
        self.name = name
        self.effort = effort
        self.nodes: list[Node] = []
        self.spans: dict[str, Span] = {}
        self._counts: dict[str, int] = {}

    def add(self, stem: str, op: DatapathOp, *inputs: str) -> str:
        """A new node, named ``stem`` or, where that is taken or ends in an underscore, numbered."""
        count = self._counts.get(stem, 0)
        name = f"{stem}{count}" if count or stem[-1:] == "_" else stem
        while name in self.spans:
            count += 1
            name = f"{stem}{count}"
        self._counts[stem] = count + 1
        self.spans[name] = op.result_type(*(self.spans[i] for i in inputs))
        self.nodes.append(Node(name, op, inputs))
        return name

    def value(self, term: Term, stem: str) -> str:
        """The node that holds exactly ``term``."""
        node = term.node
        if term.shift:
            node = self.add(f"{stem}_scaled_", datapath.ShiftLeft(term.shift), node)
        if term.negate:
            node = self.add(f"{stem}_minus_", datapath.Negate(), node)
        return node

    def span(self, term: Term) -> Span:
        span = self.spans[term.node].scaled(1 << term.shift)
        return -span if term.negate else span

    def constant(self, value: int) -> Term:
        return Term(self.add("constant_", datapath.Constant(value)))

    def product(self, matrix: list[list[int]], lanes: Lanes, stem: str) -> Lanes:
        """``lanes @ matrix`` ([in][out]) as a shared adder graph."""
        rows = tuple(
            tuple((-w if lane.negate else w) << lane.shift for w in row)
            for row, lane in zip(matrix, lanes, strict=True)
        )
        sources = [lane.node for lane in lanes]
        graph = _adder_graph(rows, tuple((self.spans[s].low, self.spans[s].high) for s in sources), self.effort)
        for node, (low, high) in zip(graph.nodes, graph.ranges[graph.inputs :], strict=True):
            op = datapath.ShiftAdd(node.left_shift, node.right_shift, node.subtract, Span(low, high))
            sources.append(self.add(f"{stem}_", op, sources[node.left], sources[node.right]))
        result: Lanes = []
        for output in graph.outputs:
            if output.source is None:
                result.append(self.constant(0))
            else:
                result.append(Term(sources[output.source], output.shift, output.negate))
        return result

    def scaled(self, term: Term, factor: int, stem: str) -> Term:
        """``factor * term``."""
        if factor == 0:
            return self.constant(0)
        sign = (factor < 0) != term.negate
        magnitude = abs(factor)
        zeros = (magnitude & -magnitude).bit_length() - 1
        if magnitude >> zeros == 1:
            return Term(term.node, term.shift + zeros, sign)
        (scaled,) = self.product([[magnitude >> zeros]], [Term(term.node)], stem)
        return Term(scaled.node, scaled.shift + term.shift + zeros, scaled.negate != sign)

    def finish(self, outputs: Sequence[str]) -> Graph:
        return Graph(datapath.DATAPATH, self.name, tuple(self.nodes), tuple(outputs)).without_dead_nodes()


@lru_cache(maxsize=64)
def _adder_graph(
    rows: tuple[tuple[int, ...], ...], ranges: tuple[tuple[int, int], ...], effort: Effort
) -> arith.AdderGraph:
    """Kept, because a search for a schedule builds the same layers again and again."""
    return arith.optimize(rows, ranges, effort=effort.level, seed=effort.seed)
