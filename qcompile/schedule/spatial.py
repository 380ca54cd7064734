"""The spatial engines: a layer unrolled, one beat per cycle, weights wired into adder graphs."""

from __future__ import annotations

from dataclasses import replace
from math import prod

from qcompile.errors import Collector
from qcompile.ir import datapath, hardware, integer
from qcompile.ir.graph import Graph
from qcompile.ir.window import Window
from qcompile.lower.build import Builder, Effort, Lanes, Term
from qcompile.lower.rules import RULES
from qcompile.numerics.span import union
from qcompile.schedule.design import Layer
from qcompile.schedule.network import Network
from qcompile.schedule.partition import Group
from qcompile.schedule.three_input import fuse_adders
from qcompile.schedule.timing import pipeline


class SpatialLayer:
    """Builds one group as a spatial engine on a `Network`; all channels of a position arrive in one beat.

    ``uniform``: the result's lanes get one width, as words of fewer lanes need it.
    """

    def __init__(self, net: Network, group: Group, layer: str, effort: Effort, uniform: bool) -> None:
        self.net = net
        self.group = group
        self.layer = layer
        self.effort = effort
        self.uniform = uniform

    def build(self, found: Collector) -> None:
        net, group = self.net, self.group
        anchor = group.anchor
        streams = [net.words(name, net.types[name].channels, self.layer) for name in group.operands]
        window = False
        summed = False
        match anchor.op:
            case integer.Conv() | integer.MaxPool() | integer.SumPool():
                streams, window, summed = self._windowed(streams[0])
        if any(net.streams[s].beats != net.streams[streams[0]].beats for s in streams):
            self._refuse(found, "joins streams of different lengths", "equal shapes on both sides")
            return
        graph = self._lowered(streams, window, summed)
        timed = fuse_adders(pipeline(graph, net.target.delay, net.clock_mhz), net.target, net.clock_mhz)
        net.datapaths[self.layer] = timed
        op = hardware.Pipeline(self.layer, self.layer, timed.latency, timed.result_spans())
        net.emit(group, op, tuple(streams), "datapath")
        net.lanes[group.result] = net.types[group.result].channels
        engine, reason = _ENGINES[anchor.op.mnemonic]
        names = tuple(node.name for node in group.nodes)
        net.layers.append(Layer(self.layer, engine, names, group.origin, reason))

    def _refuse(self, found: Collector, what: str, way_out: str) -> None:
        where = ", ".join(f'"{name}"' for name in self.group.origin) or self.group.result
        found.error("QC401", where, f"{self.group.anchor.op.mnemonic} {what}", f"the hardware needs {way_out}")

    def _windowed(self, stream: str) -> tuple[list[str], bool, bool]:
        """``(streams, lanes are a window's, beats are summed already)`` of a convolution or pooling."""
        net, op = self.net, self.group.anchor.op
        assert isinstance(op, integer.Conv | integer.MaxPool | integer.SumPool)
        height, width, channels = net.types[self.group.operands[0]].shape
        window = op.window
        if window.kernel == (1, 1) and window.strides == (1, 1) and not window.padded:
            return [stream], True, False
        if isinstance(op, integer.SumPool) and _in_sequence(window, height, width):
            sums = hardware.SumBeats(self.layer, prod(window.kernel))
            return [net.emit(self.group, sums, (stream,), "sum")], False, True
        if isinstance(op, integer.MaxPool):
            fill = tuple(lane.low for lane in net.streams[stream].lanes)  # never larger than any value
        else:
            fill = (op.fill,) * channels
        sliding = hardware.SlidingWindow(self.layer, height, width, window, fill)
        return [net.emit(self.group, sliding, (stream,), "window")], True, False

    def _lowered(self, streams: list[str], window: bool, summed: bool) -> Graph:
        build = Builder(self.group.result, self.effort)
        lanes: dict[str, Lanes] = {}
        for k, (value, stream) in enumerate(zip(self.group.operands, streams, strict=True)):
            kernel = self.group.anchor.op.window.kernel if window else None  # type: ignore[attr-defined]
            spans = self.net.streams[stream].lanes
            names = self.net.names.lanes(k, len(spans), kernel)
            lanes[value] = [
                Term(build.add(name, datapath.Input(k, lane, span)))
                for lane, (name, span) in enumerate(zip(names, spans, strict=True))
            ]
        for node in self.group.nodes:
            if summed and node is self.group.anchor:
                lanes[node.name] = lanes[node.inputs[0]]
                continue
            op = node.op
            if isinstance(op, integer.Gather):  # the same order in every beat
                channels = self.net.types[node.inputs[0]].channels
                op = replace(op, order=type(op.order)(op.order.values.reshape(-1, op.order.shape[-1])[0] % channels))
            lanes[node.name] = RULES[type(op)](build, op, *(lanes[name] for name in node.inputs))  # type: ignore[index]
        results = [build.value(term, "y") for term in lanes[self.group.result]]
        if self.uniform:
            span = union(build.spans[name] for name in results)
            results = [
                name if build.spans[name] == span else build.add("wide_", datapath.Extend(span), name)
                for name in results
            ]
        return build.finish(results)


def _in_sequence(window: Window, height: int, width: int) -> bool:
    """Whether the windows of an image follow each other in the stream of its positions."""
    rows, columns = window.kernel
    whole = not window.padded and window.strides == window.kernel and window.dilations == (1, 1)
    return whole and height % rows == 0 and width % columns == 0 and (rows == 1 or columns == width)


def collect_or_distribute(net: Network, group: Group, layer: str) -> None:
    """A reshape between spatial layers: positions become lanes, lanes positions, or nothing at all."""
    source, result = net.types[group.operands[0]], net.types[group.result]
    net.alias(group.result, group.operands[0])
    if source.positions == result.positions:
        return
    stream = net.carrier[group.operands[0]]
    if source.positions > 1:
        stream = net.emit(group, hardware.Collect(layer, source.positions), (stream,), "collect")
    if result.positions > 1:
        net.emit(group, hardware.Distribute(layer, result.positions), (stream,), "distribute")
    net.lanes[group.result] = result.channels
    reason = "all values of a frame in one beat"
    net.layers.append(Layer(layer, "reshape", (group.result,), group.origin, reason))


_ENGINES = {
    "conv": ("spatial adder graph", "weights unrolled into shared adders, one window per cycle"),
    "matmul": ("spatial adder graph", "weights unrolled into shared adders, one vector per cycle"),
    "weighted_sum": ("adder", "operands aligned by shifts and constant factors"),
    "max_pool": ("comparator tree", "one window per cycle"),
    "sum_pool": ("adder tree", "one window per cycle"),
    "rescale": ("requantize", "shift, constant factor and clamp"),
    "round_significand": ("requantize", "the leading one decides where to round"),
    "thresholds": ("requantize", "comparators"),
    "lookup": ("table", "few input bits"),
    "maximum": ("comparator", "larger of two"),
    "product": ("digit products", "Booth digits of the narrower operand, shifted and added"),
    "xnor": ("XNOR", "1 where two signs are equal"),
    "select": ("multiplexer", "one of two, as a bit says"),
    "gather": ("wiring", "a fixed order of lanes"),
    "concat": ("wiring", "lanes side by side"),
    "argmax": ("comparator tree", "index of the largest"),
}
