"""What the levels share: operations, nodes, graphs, and their verifier.

A graph is a list of nodes in topological order. Each node applies one operation to earlier nodes, by name.
Types are never stored: an operation computes its result's type from its operands' types, so a graph that
was rewritten cannot carry stale widths.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, ClassVar, TypeVar


class IRError(Exception):
    """A graph that breaks the rules of its level: always a bug of the pass that made it."""


@dataclass(frozen=True)
class Op:
    """Base of every operation. Fields are parameters; ``mnemonic`` is its name in the text form."""

    mnemonic: ClassVar[str]

    def result_type(self, *operands: Any) -> Any:
        """The type of the result; raises `IRError` where the operands do not fit."""
        raise NotImplementedError


@dataclass(frozen=True)
class Node:
    """``name = op(inputs)``. ``origin``: the ONNX nodes it stems from, for diagnostics, reports and RTL."""

    name: str
    op: Op
    inputs: tuple[str, ...] = ()
    origin: tuple[str, ...] = ()


@dataclass(frozen=True)
class Level:
    """A closed set of operations; ``registry`` maps a mnemonic to its class."""

    name: str
    registry: dict[str, type[Op]] = field(default_factory=dict)

    def op(self, cls: type[_OpT]) -> type[_OpT]:
        """Class decorator: the operation belongs to this level."""
        if cls.mnemonic in self.registry:
            raise IRError(f"{self.name}: two operations named {cls.mnemonic}")
        self.registry[cls.mnemonic] = cls
        return cls

    def __hash__(self) -> int:
        return hash(self.name)


_OpT = TypeVar("_OpT", bound=Op)


@dataclass(frozen=True)
class Graph:
    """Nodes in topological order, and the names of those whose values leave the graph."""

    level: Level
    name: str
    nodes: tuple[Node, ...]
    outputs: tuple[str, ...]

    @cached_property
    def by_name(self) -> Mapping[str, Node]:
        return {node.name: node for node in self.nodes}

    @cached_property
    def types(self) -> Mapping[str, Any]:
        """Type of every node's value. Computing it verifies the graph."""
        types: dict[str, Any] = {}
        for node in self.nodes:
            if self.level.registry.get(node.op.mnemonic) is not type(node.op):
                raise IRError(f"{self.level.name} graph: {node.name}: {node.op.mnemonic} belongs to another level")
            if node.name in types:
                raise IRError(f"{self.level.name} graph: {node.name} is defined twice")
            missing = [name for name in node.inputs if name not in types]
            if missing:
                raise IRError(f"{self.level.name} graph: {node.name} uses {missing} before definition")
            try:
                types[node.name] = node.op.result_type(*(types[name] for name in node.inputs))
            except (IRError, TypeError, ValueError) as error:
                raise IRError(f"{self.level.name} graph: {node.name} = {node.op.mnemonic}: {error}") from error
        absent = [name for name in self.outputs if name not in types]
        if absent:
            raise IRError(f"{self.level.name} graph: outputs {absent} are not defined")
        return types

    def verify(self) -> Graph:
        """This graph, proved well-formed; `IRError` otherwise."""
        _ = self.types
        return self

    @cached_property
    def users(self) -> Mapping[str, tuple[Node, ...]]:
        """The nodes that use each value, in order, each once."""
        users: dict[str, list[Node]] = {node.name: [] for node in self.nodes}
        for node in self.nodes:
            for name in dict.fromkeys(node.inputs):
                users[name].append(node)
        return {name: tuple(found) for name, found in users.items()}

    def rewrite(self, step: Callable[[Node], Iterable[Node] | None]) -> Graph:
        """Each node replaced by the nodes that ``step`` gives (None: kept); then dead nodes are dropped."""
        nodes: list[Node] = []
        for node in self.nodes:
            new = step(node)
            nodes.extend((node,) if new is None else new)
        return replace(self, nodes=tuple(nodes)).without_dead_nodes()

    def without_dead_nodes(self) -> Graph:
        """The same graph without the nodes that no output needs; inputs stay."""
        live = set(self.outputs)
        kept: list[Node] = []
        for node in reversed(self.nodes):
            if node.name in live or node.op.mnemonic == "input":
                kept.append(node)
                live.update(node.inputs)
        return replace(self, nodes=tuple(reversed(kept)))


def merge_origins(*origins: tuple[str, ...]) -> tuple[str, ...]:
    """The union, in first-seen order."""
    return tuple(dict.fromkeys(name for origin in origins for name in origin))
