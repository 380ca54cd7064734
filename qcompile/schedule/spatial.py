"""The spatial engines: every layer unrolled, one beat per cycle, weights wired into adder graphs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from qcompile.errors import Collector
from qcompile.ir import datapath, hardware, integer
from qcompile.ir.graph import Graph, Node
from qcompile.ir.integer import IntType
from qcompile.lower.build import Builder, Effort, Lanes, Term
from qcompile.lower.rules import RULES
from qcompile.schedule.balance import balance
from qcompile.schedule.design import Datapath, Design, Layer
from qcompile.schedule.naming import Names
from qcompile.schedule.partition import Group, partition
from qcompile.schedule.timing import pipeline
from qcompile.targets import Target

Progress = Callable[[str, float], None]


def schedule(
    graph: Graph, target: Target, clock_mhz: float, effort: Effort, progress: Progress = lambda layer, done: None
) -> Design:
    """The design of a realised integer graph; CompileError (QC401) where an operation has no engine."""
    return _Scheduler(graph, target, clock_mhz, effort).run(progress)


class _Scheduler:
    def __init__(self, graph: Graph, target: Target, clock_mhz: float, effort: Effort) -> None:
        self.graph = graph
        self.types: dict[str, IntType] = dict(graph.types)
        self.target = target
        self.clock_mhz = clock_mhz
        self.effort = effort
        self.found = Collector()
        self.names = Names()
        self.nodes: list[Node] = []
        self.streams: dict[str, hardware.Stream] = {}
        self.carrier: dict[str, str] = {}  # integer value -> hardware node
        self.layers: list[Layer] = []
        self.datapaths: dict[str, Datapath] = {}

    def run(self, progress: Progress) -> Design:
        groups = partition(self.graph)
        outputs: list[str] = []
        for done, group in enumerate(groups):
            progress(group.result, done / len(groups))
            op = group.anchor.op
            match op:
                case integer.Input():
                    kind = self.types[group.result]
                    self.emit(group, hardware.Input("input", kind.positions, kind.spans), ())
                case integer.Output():
                    source = self.carrier[group.operands[0]]
                    outputs.append(self.emit(group, hardware.Output("output"), (source,)))
                case integer.Reshape():
                    self.reshape(group)
                case _:
                    self.layer(group)
        if len(outputs) != 1:
            self.found.error(
                "QC401",
                ", ".join(self.graph.outputs),
                f"{len(outputs)} outputs",
                "hardware has one output stream; export one output, or concatenate them",
            )
        self.found.check()
        result = Graph(hardware.HARDWARE, self.graph.name, tuple(self.nodes), tuple(outputs))
        return Design(self.graph.name, balance(result), tuple(self.layers), self.datapaths, self.clock_mhz)

    def emit(self, group: Group, op: hardware.HardwareOp, inputs: tuple[str, ...], part: str = "") -> str:
        """A hardware node that from now on carries the group's value."""
        name = f"{group.result}.{part}" if part else group.result
        self.streams[name] = op.result_type(*(self.streams[i] for i in inputs))
        self.nodes.append(Node(name, op, inputs, group.origin))
        self.carrier[group.result] = name
        return name

    def reshape(self, group: Group) -> None:
        """Positions become lanes or lanes positions: collect, distribute, or nothing at all."""
        source, result = self.types[group.operands[0]], self.types[group.result]
        stream = self.carrier[group.operands[0]]
        if source.positions == result.positions:
            self.carrier[group.result] = stream
            return
        layer = self.names.layer(group)
        if source.positions > 1:
            stream = self.emit(group, hardware.Collect(layer, source.positions), (stream,), "collect")
        if result.positions > 1:
            stream = self.emit(group, hardware.Distribute(layer, result.positions), (stream,), "distribute")
        self.layers.append(Layer(layer, "reshape", (group.result,), group.origin, "all values of a frame in one beat"))

    def layer(self, group: Group) -> None:
        layer = self.names.layer(group)
        streams = [self.carrier[name] for name in group.operands]
        anchor = group.anchor
        lanes_are_window = False
        summed = False
        match anchor.op:
            case integer.Conv() | integer.MaxPool() | integer.SumPool():
                streams, lanes_are_window, summed = self.windowed(group, layer, streams[0])
            case integer.Gather() if not self.gathers_within_beats(anchor):
                self.refuse(
                    group, "moves data across positions", "a frame buffer; keep channels-last order in the model"
                )
                return
        if any(self.streams[s].beats != self.streams[streams[0]].beats for s in streams):
            self.refuse(group, "joins streams of different lengths", "equal shapes on both sides")
            return
        graph = self.lowered(group, streams, lanes_are_window, summed)
        timed = pipeline(graph, self.target.delay, self.clock_mhz)
        if anchor.op.mnemonic == "gather" and timed.latency == 0:
            engine, reason = "wiring", "a fixed order of lanes"
        else:
            engine, reason = _ENGINES[anchor.op.mnemonic]
        self.datapaths[layer] = timed
        op = hardware.Pipeline(layer, layer, timed.latency, timed.result_spans())
        self.emit(group, op, tuple(streams), "datapath")
        self.layers.append(Layer(layer, engine, tuple(n.name for n in group.nodes), group.origin, reason))

    def refuse(self, group: Group, found: str, way_out: str) -> None:
        where = ", ".join(f'"{name}"' for name in group.origin) or group.result
        self.found.error("QC401", where, f"{group.anchor.op.mnemonic} {found}", f"the hardware needs {way_out}")
        self.carrier[group.result] = self.carrier[group.operands[0]]

    def windowed(self, group: Group, layer: str, stream: str) -> tuple[list[str], bool, bool]:
        """``(streams, lanes are a window's, beats are summed already)`` of a convolution or pooling."""
        op = group.anchor.op
        assert isinstance(op, integer.Conv | integer.MaxPool | integer.SumPool)
        height, width, channels = self.types[group.operands[0]].shape
        window = op.window
        if window.kernel == (1, 1) and window.strides == (1, 1) and not window.padded:
            return [stream], True, False
        if isinstance(op, integer.SumPool) and window.kernel == (height, width) and not window.padded:
            summed = self.emit(group, hardware.SumBeats(layer, height * width), (stream,), "sum")
            return [summed], False, True
        if isinstance(op, integer.MaxPool):
            fill = tuple(lane.low for lane in self.streams[stream].lanes)  # never larger than any value
        else:
            fill = (op.fill,) * channels
        sliding = hardware.SlidingWindow(layer, height, width, window, fill)
        return [self.emit(group, sliding, (stream,), "window")], True, False

    def gathers_within_beats(self, node: Node) -> bool:
        """Whether every beat of the result needs only the operand's beat of the same position, in one order."""
        assert isinstance(node.op, integer.Gather)
        source, result = self.types[node.inputs[0]], self.types[node.name]
        if source.positions != result.positions:
            return False
        order = node.op.order.values.reshape(result.positions, -1)
        first = order - np.arange(result.positions)[:, None] * source.channels
        inside = (first >= 0).all() and (first < source.channels).all()
        return bool(inside and (first == first[0]).all())

    def lowered(self, group: Group, streams: list[str], window: bool, summed: bool) -> Graph:
        build = Builder(group.result, self.effort)
        lanes: dict[str, Lanes] = {}
        for k, (value, stream) in enumerate(zip(group.operands, streams, strict=True)):
            kernel = group.anchor.op.window.kernel if window else None  # type: ignore[attr-defined]
            names = self.names.lanes(k, len(self.streams[stream].lanes), kernel)
            lanes[value] = [
                Term(build.add(name, datapath.Input(k, lane, span)))
                for lane, (name, span) in enumerate(zip(names, self.streams[stream].lanes, strict=True))
            ]
        for node in group.nodes:
            if summed and node is group.anchor:
                lanes[node.name] = lanes[node.inputs[0]]
                continue
            op = node.op
            if isinstance(op, integer.Gather):
                channels = self.types[node.inputs[0]].channels
                op = replace(op, order=type(op.order)(op.order.values.reshape(-1, op.order.shape[-1])[0] % channels))
            lanes[node.name] = RULES[type(op)](build, op, *(lanes[name] for name in node.inputs))  # type: ignore[index]
        return build.finish([build.value(term, "y") for term in lanes[group.result]])


_ENGINES = {
    "conv": ("spatial adder graph", "weights unrolled into shared adders, one window per cycle"),
    "matmul": ("spatial adder graph", "weights unrolled into shared adders, one vector per cycle"),
    "weighted_sum": ("adder", "operands aligned by shifts and constant factors"),
    "max_pool": ("comparator tree", "one window per cycle"),
    "sum_pool": ("adder tree", "one window per cycle"),
    "rescale": ("requantize", "shift, constant factor and clamp"),
    "thresholds": ("requantize", "comparators"),
    "lookup": ("table", "few input bits"),
    "maximum": ("comparator", "larger of two"),
    "gather": ("wiring", "a fixed order of lanes"),
    "concat": ("wiring", "lanes side by side"),
    "argmax": ("comparator tree", "index of the largest"),
}
