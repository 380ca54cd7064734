"""Runs passes in order, verifies the graph after each, and shows it where asked."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import ClassVar, Protocol

from qcompile.ir.graph import Graph, Level


class Pass(Protocol):
    """A pure rewrite. Fields of the (frozen) class are its options.

    ``requires`` and ``ensures`` are the levels of the graph that goes in and comes out. ``name`` is the verb
    that `--print-ir-after` takes; the first line of the class docstring says what the pass does.
    """

    name: ClassVar[str]
    requires: ClassVar[Level]
    ensures: ClassVar[Level]

    def run(self, graph: Graph) -> Graph: ...


@dataclass(frozen=True)
class PassManager:
    """``after`` is called with each pass's name and its result (printing, progress)."""

    after: Callable[[str, Graph], None] = lambda name, graph: None

    def run(self, graph: Graph, passes: Iterable[Pass]) -> Graph:
        """The graph after all ``passes``; a pass that breaks its promise raises `IRError` or AssertionError."""
        for step in passes:
            assert graph.level is step.requires, f"{step.name} needs a {step.requires.name} graph"
            graph = step.run(graph).verify()
            assert graph.level is step.ensures, f"{step.name} must give a {step.ensures.name} graph"
            self.after(step.name, graph)
        return graph
