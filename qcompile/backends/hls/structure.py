"""What the templates need to know of a design's streams: a view of the hardware graph, layer by layer."""

from __future__ import annotations

from dataclasses import dataclass, replace

from qcompile.backends.hls.datapath import Beat, beat_names
from qcompile.backends.hls.naming import cpp_name
from qcompile.ir import hardware
from qcompile.ir.graph import Node
from qcompile.ir.hardware import HardwareOp
from qcompile.numerics.span import Span, union
from qcompile.schedule.design import Design, Layer
from qcompile.schedule.naming import identifier
from qcompile.schedule.trace import reorder_scan
from qcompile.templates import environment
from qcompile_hdl.reorder_scan import ReorderScan

_LEAST_DEPTH = 2  # of a stream: the tool's default
STREAM_OPS = (hardware.Fifo, hardware.RegisterSlice)
"""Operations that are properties of a stream; all others are calls."""


@dataclass(frozen=True)
class StreamView:
    """A stream as an argument or a variable."""

    type: str
    name: str
    depth: int = _LEAST_DEPTH


@dataclass(frozen=True)
class Call:
    """A statement of a dataflow region. ``kind``: component, fork or layer."""

    kind: str
    op: HardwareOp | None = None
    layer: str = ""
    name: str = ""
    sources: tuple[str, ...] = ()
    result: str = ""
    streams: tuple[str, ...] = ()
    beats: int = 0
    beats_in: int = 0
    beats_out: int = 0
    scan: ReorderScan | None = None


@dataclass(frozen=True)
class Body:
    streams: tuple[StreamView, ...]
    calls: tuple[Call, ...]


@dataclass(frozen=True)
class DatapathView:
    """The class whose ``apply`` is a datapath; ``key`` is its name in the design, ``memory`` that of its ROM."""

    key: str
    name: str
    operands: tuple[Beat, ...]
    result: str
    memory: str | None = None


@dataclass(frozen=True)
class EngineView:
    """The class that a folded engine runs: its two datapaths, the type of the sums between them."""

    partial: DatapathView
    finish: DatapathView
    sums: str
    combine: str


@dataclass(frozen=True)
class LayerView:
    """One function. ``padding`` is the code of all padded lanes, None where they differ."""

    name: str
    about: tuple[str, ...]
    arguments: tuple[StreamView, ...]
    body: Body
    window: hardware.SlidingWindow | hardware.FoldedWindow | None
    padding: int | None
    datapaths: tuple[DatapathView, ...]
    engine: EngineView | None


@dataclass(frozen=True)
class BeatType:
    name: str
    code: Span
    lanes: int


@dataclass(frozen=True)
class _Edge:
    """A use of ``value`` by an operand of ``user``, through stream operations that ask for ``depth``."""

    value: str
    user: str
    operand: int
    depth: int


def about(layer: Layer) -> tuple[str, ...]:
    nodes = ", ".join(layer.origin) or "no ONNX node of its own"
    return (f"Layer {layer.name} implements {nodes}.", f"Engine: {layer.engine} ({layer.reason}).")


def _parts(nodes: list[Node]) -> dict[str, str]:
    """Unique names of a layer's components: what stands behind the value's name, numbered where it repeats."""
    parts: dict[str, str] = {}
    for node in nodes:
        stem = identifier(node.name.rpartition(".")[2])
        taken = sum(part.rstrip("0123456789") == stem for part in parts.values())
        parts[node.name] = f"{stem}{taken}" if taken else stem
    return parts


class Structure:
    """Names and types of everything between the datapaths of ``design``."""

    def __init__(self, design: Design) -> None:
        self.design = design
        self.graph = design.graph
        self.components = environment().get_template("hls/hardware.cpp.j2").module
        self.layer_of = {layer.name: cpp_name(layer.name) for layer in design.layers}
        self.edges = self._edges()
        self.users: dict[str, list[_Edge]] = {}
        for edge in self.edges:
            self.users.setdefault(edge.value, []).append(edge)
        self.of_layer: dict[str, list[Node]] = {}
        for node in self.graph.nodes:
            if not isinstance(node.op, (hardware.Input, hardware.Output, *STREAM_OPS)):
                self.of_layer.setdefault(self._layer(node), []).append(node)
        self.part_of = {name: part for nodes in self.of_layer.values() for name, part in _parts(nodes).items()}
        (self.source,) = (n for n in self.graph.nodes if isinstance(n.op, hardware.Input))
        self.sink = next(edge.value for edge in self.edges if edge.user == self.graph.outputs[0])
        self.types = {n.name: self._type_name(n) for n in self.graph.nodes if not isinstance(n.op, STREAM_OPS)}

    # The graph without its stream operations --------------------------------------------------------------

    def _layer(self, node: Node) -> str:
        assert isinstance(node.op, HardwareOp)
        return node.op.mnemonic if isinstance(node.op, hardware.Input | hardware.Output) else node.op.layer

    def _edges(self) -> list[_Edge]:
        edges = []
        for node in self.graph.nodes:
            if isinstance(node.op, STREAM_OPS):
                continue
            for operand, name in enumerate(node.inputs):
                depth = _LEAST_DEPTH
                while isinstance(op := self.graph.by_name[name].op, STREAM_OPS):
                    depth = max(depth, int(str(getattr(self.components, op.mnemonic)(op))))
                    (name,) = self.graph.by_name[name].inputs
                edges.append(_Edge(name, node.name, operand, depth))
        return edges

    def _leaves(self, node: Node) -> bool:
        """Whether another layer uses the node's value."""
        return any(self._crosses(edge) for edge in self.users[node.name])

    def _type_name(self, node: Node) -> str:
        match node.op:
            case hardware.Input():
                return "input_t"
            case hardware.Output():
                return ""
        layer = self.layer_of[self._layer(node)]
        return f"{layer}_t" if self._leaves(node) else f"{layer}_{self.part_of[node.name]}_t"

    def beat_types(self) -> list[BeatType]:
        result = []
        for node in self.graph.nodes:
            if self.types.get(node.name):
                lanes = self.graph.types[node.name].lanes
                result.append(BeatType(self.types[node.name], union(lanes), len(lanes)))
            if isinstance(node.op, hardware.FoldedEngine):
                layer, op = self.layer_of[node.op.layer], node.op
                partial = self.design.datapaths[op.partial].result_spans()
                result.append(BeatType(f"{layer}_partial_t", union(partial), len(partial)))
                result.append(BeatType(f"{layer}_sums_t", union(op.accumulators), len(op.accumulators)))
        return result

    # Functions --------------------------------------------------------------------------------------------

    def _branches(self, node: Node, stem: str, edges: list[_Edge]) -> tuple[list[StreamView], list[Call], list[str]]:
        """``(streams, forks, what each edge reads)`` of the node's value: stream ``stem``, or copies of it."""
        kind = self.types[node.name]
        if len(edges) == 1:
            return [StreamView(kind, stem, edges[0].depth)], [], [stem]
        copies = [f"{stem}_{k}" for k in range(len(edges))]
        streams = [StreamView(kind, name, edge.depth) for name, edge in zip(copies, edges, strict=True)]
        fork = Call("fork", streams=(stem, *copies), beats=self.graph.types[node.name].beats)
        return [StreamView(kind, stem), *streams], [fork], copies

    def layers(self) -> list[LayerView]:
        described = {layer.name: about(layer) for layer in self.design.layers}
        return [self._layer_view(name, nodes, described[name]) for name, nodes in self.of_layer.items()]

    def _layer_view(self, name: str, nodes: list[Node], described: tuple[str, ...]) -> LayerView:
        streams: list[StreamView] = []
        calls: list[Call] = []
        reads: dict[tuple[str, int], str] = {}
        outside = self._outside(nodes)
        arguments = []
        for edge, stream in zip(outside, beat_names(len(outside)), strict=True):
            arguments.append(StreamView(self.types[edge.value], stream))
            reads[edge.user, edge.operand] = stream
        for node in nodes:
            leaves = self._leaves(node)
            stem = "y" if leaves else f"{self.part_of[node.name]}_out"
            sources = tuple(reads[node.name, k] for k in range(len(node.inputs)))
            calls.append(self._component(node, sources, stem))
            if leaves:
                arguments.append(StreamView(self.types[node.name], stem))
                continue
            edges = self.users[node.name]
            made, forks, branches = self._branches(node, stem, edges)
            streams += made
            calls += forks
            reads |= {(edge.user, edge.operand): branch for edge, branch in zip(edges, branches, strict=True)}
        windows = [n.op for n in nodes if isinstance(n.op, hardware.SlidingWindow | hardware.FoldedWindow)]
        engine = next((self._engine(n) for n in nodes if isinstance(n.op, hardware.FoldedEngine)), None)
        fill = set(windows[0].fill) if windows and windows[0].window.padded else {0}
        return LayerView(
            self.layer_of[name],
            described,
            tuple(arguments),
            Body(tuple(streams), tuple(calls)),
            windows[0] if windows else None,
            fill.pop() if len(fill) == 1 else None,
            (*(self._datapath(n) for n in nodes if isinstance(n.op, hardware.Pipeline)), *self._halves(engine)),
            engine,
        )

    def _outside(self, nodes: list[Node]) -> list[_Edge]:
        """The uses of other layers' values, in the order of the layer's arguments."""
        inside = {node.name for node in nodes}
        return [edge for edge in self.edges if edge.user in inside and edge.value not in inside]

    def _component(self, node: Node, sources: tuple[str, ...], result: str) -> Call:
        assert isinstance(node.op, HardwareOp)
        types = self.graph.types
        return Call(
            "component",
            op=node.op,
            layer=self.layer_of[self._layer(node)],
            name=cpp_name(node.op.datapath) if isinstance(node.op, hardware.Pipeline) else "",
            sources=sources,
            result=result,
            beats_in=types[node.inputs[0]].beats,
            beats_out=types[node.name].beats,
            scan=reorder_scan(node.op) if isinstance(node.op, hardware.Reorder) else None,
        )

    def _operand_beats(self, node: Node) -> tuple[Beat, ...]:
        values = [e.value for e in self.edges if e.user == node.name]
        return tuple(Beat(self.types[v], n) for v, n in zip(values, beat_names(len(values)), strict=True))

    def _datapath(self, node: Node) -> DatapathView:
        assert isinstance(node.op, hardware.Pipeline)
        name = node.op.datapath
        return DatapathView(name, cpp_name(name), self._operand_beats(node), self.types[node.name])

    def _engine(self, node: Node) -> EngineView:
        op = node.op
        assert isinstance(op, hardware.FoldedEngine)
        layer = self.layer_of[op.layer]
        partial = DatapathView(
            op.partial, cpp_name(op.partial), self._operand_beats(node), f"{layer}_partial_t", op.weights
        )
        sums = f"{layer}_sums_t"
        finish = DatapathView(op.finish, cpp_name(op.finish), (Beat(sums, "x"),), self.types[node.name], op.parameters)
        return EngineView(partial, finish, sums, op.combine)

    @staticmethod
    def _halves(engine: EngineView | None) -> tuple[DatapathView, ...]:
        return () if engine is None else (engine.partial, engine.finish)

    def core(self) -> Body:
        """The region that joins the layers, from stream ``input`` to stream ``output``."""
        streams: list[StreamView] = []
        calls: list[Call] = []
        reads: dict[tuple[str, int], str] = {}

        def produce(node: Node, stem: str) -> str:
            """The stream that the node's value is written to; what its users read is then in ``reads``."""
            edges = [e for e in self.users[node.name] if self._crosses(e)]
            if node is self.source and node.name == self.sink and len(edges) == 1:  # a network of one wire
                calls.append(Call("fork", streams=("input", "output"), beats=self.graph.types[node.name].beats))
                return "input"
            made, forks, branches = self._branches(node, stem, edges)
            pins = {"input"}
            for place, edge in enumerate(edges):
                reads[edge.user, edge.operand] = branches[place]
                if edge.user == self.graph.outputs[0]:
                    pins.add(branches[place])
            output = dict.fromkeys(pins - {"input"}, "output")
            streams.extend(s for s in made if s.name not in pins)
            calls.extend(replace(f, streams=tuple(output.get(s, s) for s in f.streams)) for f in forks)
            return output.get(stem, stem)

        produce(self.source, "input")
        for layer, nodes in self.of_layer.items():
            operands = [reads[e.user, e.operand] for e in self._outside(nodes)]
            place = len(calls)
            name = self.layer_of[layer]
            results = [produce(node, f"{name}_out") for node in nodes if self._leaves(node)]
            calls.insert(place, Call("layer", name=name, streams=(*operands, *results)))
        return Body(tuple(streams), tuple(calls))

    def _crosses(self, edge: _Edge) -> bool:
        """Whether the use is by another layer."""
        return self._layer(self.graph.by_name[edge.user]) != self._layer(self.graph.by_name[edge.value])
