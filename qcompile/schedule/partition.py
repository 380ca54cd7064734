"""Which integer operations make up one layer: an anchor, and the element-by-element operations behind it."""

from __future__ import annotations

from dataclasses import dataclass

from qcompile.ir import integer
from qcompile.ir.graph import Graph, Node, merge_origins

_ELEMENTWISE = (integer.Rescale, integer.RoundSignificand, integer.Thresholds, integer.Lookup, integer.Maximum)


@dataclass(frozen=True)
class Group:
    """Integer nodes that become one module; the last one's value leaves it."""

    nodes: tuple[Node, ...]

    @property
    def result(self) -> str:
        return self.nodes[-1].name

    @property
    def anchor(self) -> Node:
        return self.nodes[0]

    @property
    def operands(self) -> tuple[str, ...]:
        """Values from outside, in the order of first use."""
        inside = {node.name for node in self.nodes}
        return tuple(dict.fromkeys(name for node in self.nodes for name in node.inputs if name not in inside))

    @property
    def origin(self) -> tuple[str, ...]:
        return merge_origins(*(node.origin for node in self.nodes))


def partition(graph: Graph) -> list[Group]:
    """The layers in topological order. Inputs, outputs and reshapes stand alone."""
    group_of: dict[str, int] = {}
    groups: list[list[Node]] = []
    for node in graph.nodes:
        home = _home(graph, node, group_of)
        if home is None:
            home = len(groups)
            groups.append([])
        groups[home].append(node)
        group_of[node.name] = home
    return [part for nodes in groups for part in _with_one_result(graph, nodes)]


def _with_one_result(graph: Graph, nodes: list[Node]) -> list[Group]:
    """The group, or each of its nodes alone where several of its values are needed outside."""
    inside = {node.name for node in nodes}
    leaving = [
        node
        for node in nodes
        if node.name in graph.outputs or any(user.name not in inside for user in graph.users[node.name])
    ]
    return [Group(tuple(nodes))] if len(leaving) <= 1 else [Group((node,)) for node in nodes]


def _home(graph: Graph, node: Node, group_of: dict[str, int]) -> int | None:
    """The group that ``node`` can join: that of all its operands, whose values nobody else needs."""
    one_operand_sum = isinstance(node.op, integer.WeightedSum) and len(node.inputs) == 1
    if not (isinstance(node.op, _ELEMENTWISE) or one_operand_sum):
        return None
    homes = {group_of[name] for name in node.inputs}
    if len(homes) != 1:
        return None
    for name in node.inputs:
        if isinstance(graph.by_name[name].op, integer.Input | integer.Reshape) or name in graph.outputs:
            return None
        if any(not isinstance(user.op, (*_ELEMENTWISE, integer.WeightedSum)) for user in graph.users[name]):
            return None
        if any(not set(user.inputs) <= _siblings(graph, group_of, homes) for user in graph.users[name]):
            return None
    return homes.pop()


def _siblings(graph: Graph, group_of: dict[str, int], homes: set[int]) -> set[str]:
    """Values made inside the groups ``homes``."""
    return {name for name, home in group_of.items() if home in homes}
