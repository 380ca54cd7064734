"""A scheduled network: the hardware graph, its layers and their datapaths."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

from qcompile.ir import datapath, hardware
from qcompile.ir.graph import Graph
from qcompile.ir.hardware import Stream
from qcompile.numerics.span import Span


@dataclass(frozen=True)
class Datapath:
    """A datapath graph with the pipeline stage of every node; values that leave a stage are registered.

    Inputs arrive in stage 0, all outputs are registered at the end of stage ``latency - 1``: a result is
    valid ``latency`` enabled cycles after its operands. ``lanes`` names the input nodes in payload order,
    ``outputs`` of the graph the result's. ``longest_ns`` is the longest stage by the target's delay model.
    """

    graph: Graph
    stages: tuple[int, ...]
    latency: int
    longest_ns: float = 0.0

    @cached_property
    def lanes(self) -> tuple[str, ...]:
        return tuple(n.name for n in self.graph.nodes if isinstance(n.op, datapath.Input))

    @cached_property
    def stage_of(self) -> dict[str, int]:
        return {node.name: stage for node, stage in zip(self.graph.nodes, self.stages, strict=True)}

    @cached_property
    def last_read(self) -> dict[str, int]:
        """The last stage that reads each value; ``latency`` for the outputs."""
        last = dict(self.stage_of)
        for node in self.graph.nodes:
            for name in node.inputs:
                last[name] = max(last[name], self.stage_of[node.name])
        last.update(dict.fromkeys(self.graph.outputs, self.latency))
        return last

    @cached_property
    def registers(self) -> int:
        """Flip-flops: width times the boundaries crossed, for every value that is not constant."""
        types = self.graph.types
        return sum(
            types[name].width * (last - self.stage_of[name])
            for name, last in self.last_read.items()
            if types[name].size > 1
        )

    @property
    def adders(self) -> int:
        """Additions of two operands; three are two of them."""
        one = (datapath.ShiftAdd, datapath.AddConstant, datapath.Negate)
        return sum(2 if isinstance(n.op, datapath.AddThree) else isinstance(n.op, one) for n in self.graph.nodes)

    def result_spans(self) -> tuple[Span, ...]:
        return tuple(self.graph.types[name] for name in self.graph.outputs)


@dataclass(frozen=True)
class Layer:
    """One module of the RTL. ``integer_nodes``: the integer operations it implements, in order.

    ``lanes``: operands and results per cycle of a folded layer; None where the layer is unrolled.
    """

    name: str
    engine: str
    integer_nodes: tuple[str, ...]
    origin: tuple[str, ...]
    reason: str
    lanes: tuple[int, int] | None = None


@dataclass(frozen=True)
class Memory:
    """A ROM: ``words`` of ``width`` bits each, unsigned."""

    width: int
    words: tuple[int, ...]


@dataclass(frozen=True)
class Design:
    """What the backends emit. ``graph`` is a hardware graph; its nodes name their ``datapaths`` and ``memories``.

    ``carry_cell``: the target's, for adders of three operands.
    """

    name: str
    graph: Graph
    layers: tuple[Layer, ...]
    datapaths: dict[str, Datapath]
    clock_mhz: float
    memories: dict[str, Memory] = field(default_factory=dict)
    carry_cell: str = ""

    @property
    def streams(self) -> tuple[Stream, Stream]:
        """The frames that enter, and those that leave."""
        (source,) = (n.name for n in self.graph.nodes if isinstance(n.op, hardware.Input))
        return self.graph.types[source], self.graph.types[self.graph.outputs[0]]
