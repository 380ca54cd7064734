"""The hardware graph under construction, and which of its streams carries which integer value."""

from __future__ import annotations

from math import gcd

from qcompile.ir import hardware
from qcompile.ir.graph import Graph, Node
from qcompile.ir.integer import IntType
from qcompile.schedule.design import Datapath, Layer, Memory
from qcompile.schedule.naming import Names
from qcompile.schedule.partition import Group
from qcompile.targets import Target


class Network:
    """Collects hardware nodes. A value travels in words of ``lanes[value]`` channels, channels fastest."""

    def __init__(self, graph: Graph, target: Target, clock_mhz: float) -> None:
        self.graph = graph
        self.types: dict[str, IntType] = dict(graph.types)
        self.target = target
        self.clock_mhz = clock_mhz
        self.names = Names()
        self.nodes: list[Node] = []
        self.streams: dict[str, hardware.Stream] = {}
        self.carrier: dict[str, str] = {}
        self.lanes: dict[str, int] = {}
        self.deficits: dict[str, list[int]] = {}  # per channel, what a stream of sums still lacks
        self.layers: list[Layer] = []
        self.datapaths: dict[str, Datapath] = {}
        self.memories: dict[str, Memory] = {}

    def emit(self, group: Group, op: hardware.HardwareOp, inputs: tuple[str, ...], part: str = "") -> str:
        """A hardware node that from now on carries the group's value."""
        name = f"{group.result}.{part}" if part else group.result
        self._add(name, op, inputs, group.origin)
        self.carrier[group.result] = name
        return name

    def _add(self, name: str, op: hardware.HardwareOp, inputs: tuple[str, ...], origin: tuple[str, ...]) -> None:
        self.streams[name] = op.result_type(*(self.streams[i] for i in inputs))
        self.nodes.append(Node(name, op, inputs, origin))

    def words(self, value: str, lanes: int, layer: str) -> str:
        """The stream of ``value`` in words of ``lanes`` channels, converted where it has others."""
        stream = self.carrier[value]
        common = gcd(self.lanes[value], lanes)
        split, joined = self.lanes[value] // common, lanes // common
        origin = self.graph.by_name[value].origin
        if split > 1:
            narrow = f"{value}.{layer}.distribute"
            self._add(narrow, hardware.Distribute(layer, split), (stream,), origin)
            stream = narrow
        if joined > 1:
            wide = f"{value}.{layer}.collect"
            self._add(wide, hardware.Collect(layer, joined), (stream,), origin)
            stream = wide
        return stream

    def alias(self, value: str, source: str) -> None:
        """``value`` is carried by the very stream of ``source``."""
        self.carrier[value] = self.carrier[source]
        self.lanes[value] = self.lanes[source]
