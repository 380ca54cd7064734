"""Folded engines: layers of any size on few lanes, weights from ROM, streams of words between them."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from math import prod

import numpy as np
import numpy.typing as npt

from qcompile.ir import datapath, hardware, integer
from qcompile.ir.graph import Graph, Node
from qcompile.ir.window import Window
from qcompile.lower.build import Builder, Effort, Term
from qcompile.lower.finish import FINISHING, Finish, finishes
from qcompile.lower.folded import Form, accumulator_spans, forms, products
from qcompile.lower.words import Words
from qcompile.numerics.span import Span, union
from qcompile.schedule.design import Datapath, Memory
from qcompile.schedule.estimate import memory_in_blocks, rom_in_blocks, weighed
from qcompile.schedule.fold import Folding, layer_shape
from qcompile.schedule.network import Network
from qcompile.schedule.partition import Group
from qcompile.schedule.three_input import fuse_adders
from qcompile.schedule.timing import pipeline
from qcompile.schedule.trace import folded_scan

Weights = npt.NDArray[np.int64]


def can_fold(graph: Graph, group: Group) -> bool:
    """Whether a folded engine builds the group."""
    anchor, *tail = group.nodes
    held = {node.name for node in group.nodes} | set(anchor.inputs if finishes(anchor.op) else ())
    if not all(finishes(node.op) and held.issuperset(node.inputs) for node in tail):
        return False
    match anchor.op:
        case integer.Conv(groups=groups, weights=weights):
            return groups == 1 or (weights.shape[2] == 1 and groups == weights.shape[3])
        case integer.MatMul() | integer.MaxPool() | integer.SumPool():
            return True
        case integer.WeightedSum(factors=factors, offsets=offsets):
            return all(len(f) == 1 for f in factors) and len(offsets) == 1
    return finishes(anchor.op) and len(anchor.inputs) == 1


class FoldedLayer:
    """Builds one group as a folded engine on a `Network`.

    ``requantized``: another layer requantizes the sums, and adds what they lack (`Network.deficits`) on the way.
    """

    def __init__(self, net: Network, group: Group, layer: str, folding: Folding, requantized: bool = False) -> None:
        self.net = net
        self.requantized = requantized
        self.group = group
        self.layer = layer
        self.shape = layer_shape(net.graph, group)
        self.folding = folding
        self.form = ""  # of its weights, where it has any

    def build(self) -> None:
        op = self.group.anchor.op
        match op:
            case integer.Conv(groups=1):
                self._dense(
                    _conv_weights(op, self.folding), self._window(op.window, op.fill, "window"), prod(op.window.kernel)
                )
            case integer.Conv():
                self._separate(op.window, op.fill, "add", _depthwise_weights(op, self.folding))
            case integer.MatMul():
                stream = self.net.words(self.group.operands[0], self.folding.simd, self.layer)
                self._dense(_matmul_weights(op, self.folding), stream, 1)
            case integer.MaxPool():
                low = self.net.types[self.group.operands[0]].span.low
                self._separate(op.window, low, "max", None)
            case integer.SumPool() if self._whole_image(op.window):
                self._whole_sum()
            case integer.SumPool():
                self._separate(op.window, op.fill, "add", None)
            case _:
                self._elementwise()

    # Streams ------------------------------------------------------------------------------------------

    def _whole_image(self, window: Window) -> bool:
        return window.kernel == self.net.types[self.group.operands[0]].shape[:2] and not window.padded

    def _window(self, window: Window, fill: int, order: str) -> str:
        """The words of all windows, one after the other."""
        value = self.group.operands[0]
        height, width, channels = self.net.types[value].shape
        stream = self.net.words(value, self.folding.simd, self.layer)
        if window.kernel == (1, 1) and window.strides == (1, 1) and not window.padded:
            return stream
        fills = (fill,) * self.folding.simd
        folds = channels // self.folding.simd
        op = hardware.FoldedWindow(self.layer, height, width, folds, window, fills, order)
        if window.strides[0] > 1:
            # The rows that a row of windows skips over arrive while the row before is read.
            skipped = (window.strides[0] - 1) * width * folds
            op = replace(op, depth=folded_scan(op).memory_words + skipped)
        return self.net.emit(self.group, op, (stream,), "window")

    # Engines ------------------------------------------------------------------------------------------

    def _dense(self, weights: Weights, stream: str, taps: int) -> None:
        """``weights`` [words, pe, simd]: a matrix times the vector of one window."""
        vector = taps * self.shape.ins // self.folding.simd
        repeats = self.shape.outs // self.folding.pe
        if repeats > 1 and vector > 1 and taps == 1:
            # The next vector arrives while this one is read again; a window's line memory needs no help there.
            stream = self.net.emit(self.group, hardware.Fifo(self.layer, vector), (stream,), "next")
        lanes = self.net.streams[stream].lanes
        build, x = self._inputs(lanes)
        words = Words(len(weights))
        nodes, deficits = products(build, x, weights, words, self._form(lanes, weights))
        spans = accumulator_spans(lanes, weights, deficits, vector)
        # Every word's deficit is known; the sum over a vector's words is the channel's.
        per_channel = deficits.reshape(repeats, vector, -1).sum(axis=1).ravel().tolist()
        self._engine(build, nodes, spans, words, "add", vector, repeats, 1, (stream,), per_channel)

    def _separate(self, window: Window, fill: int, combine: str, weights: Weights | None) -> None:
        """Channel by channel: ``weights`` [words, lanes] of a depthwise convolution, or none."""
        stream = self._window(window, fill, "channel")
        vector = prod(window.kernel)
        folds = self.shape.ins // self.folding.pe
        lanes = self.net.streams[stream].lanes
        build, x = self._inputs(lanes)
        words = Words(folds * vector)
        deficits = np.zeros((folds * vector, len(lanes)), np.int64)
        nodes = list(x)
        if weights is not None:
            form = self._form(lanes[:1], weights[:, :, None])
            for lane, name in enumerate(x):
                part = weights[:, lane : lane + 1, None]
                (nodes[lane],), short = products(build, [name], part, words, form)
                deficits[:, lane] = short[:, 0]
        spans = []
        for lane, span in enumerate(lanes):
            column = (
                weights[:, lane : lane + 1, None] if weights is not None else np.ones((folds * vector, 1, 1), np.int64)
            )
            one = deficits[:, lane : lane + 1]
            spans += accumulator_spans([span], column, one, vector) if combine == "add" else [span]
        per_channel = deficits.reshape(folds, vector, -1).sum(axis=1).ravel().tolist()
        self._engine(build, nodes, spans, words, combine, vector, 1, folds, (stream,), per_channel)

    def _whole_sum(self) -> None:
        value = self.group.operands[0]
        stream = self.net.words(value, self.folding.pe, self.layer)
        folds = self.shape.ins // self.folding.pe
        summed = hardware.FoldedAccumulate(self.layer, self.net.types[value].positions, folds)
        stream = self.net.emit(self.group, summed, (stream,), "sum")
        if len(self.group.nodes) > 1:
            build, x = self._inputs(self.net.streams[stream].lanes)
            self._engine(
                build, x, list(self.net.streams[stream].lanes), Words(folds), "none", 1, 1, folds, (stream,), [0]
            )
        else:
            self.net.lanes[self.group.result] = self.folding.pe

    def _elementwise(self) -> None:
        """Sums of streams, or a requantization by itself: a vector is one word."""
        streams = tuple(self.net.words(v, self.folding.pe, self.layer) for v in self.group.operands)
        folds = self.shape.ins // self.folding.pe
        build = Builder(self.layer, Effort(0))
        operands = []
        for k, stream in enumerate(streams):
            operands.append(
                [
                    build.add(f"{'xuvw'[k]}{lane}", datapath.Input(k, lane, span))
                    for lane, span in enumerate(self.net.streams[stream].lanes)
                ]
            )
        op = self.group.anchor.op
        if isinstance(op, integer.WeightedSum):
            nodes = []
            for lane in range(self.folding.pe):
                factors = [[f[0]] for f in op.factors]
                (total,) = build.product(factors, [Term(x[lane]) for x in operands], "sum")
                nodes.append(build.value(total, "sum"))
            deficit = [op.offsets[0]]
        else:
            nodes, deficit = operands[0], self.net.deficits.get(self.group.operands[0], [0])
        spans = [build.spans[n] for n in nodes]
        self._engine(build, nodes, spans, Words(folds), "none", 1, 1, folds, streams, deficit)

    def _form(self, lanes: tuple[Span, ...], weights: Weights) -> Form:
        """The cheapest form of the weights, by the LUTs of one result and its part of the ROM."""
        costs: dict[str, float] = {}
        found = forms(lanes, weights)
        for name, form in found.items():
            build, x = self._inputs(lanes)
            words = Words(len(weights))
            nodes, _ = products(build, x, weights[:, :1], words, form)
            path = timed(self.net, build, nodes)
            costs[name] = weighed(path, words.count, words.width, self.folding.pe, self.net.target)
        self.form = min(costs, key=lambda name: costs[name])
        return found[self.form]

    def _late(self, words: Words) -> set[int]:
        """The ROM's stream, where it is block RAM, whose data come late in the cycle."""
        return {1} if words.width and rom_in_blocks(words.count, words.width, self.net.target) else set()

    def _inputs(self, lanes: tuple[Span, ...]) -> tuple[Builder, list[str]]:
        build = Builder(self.layer, Effort(0))
        return build, [build.add(f"x{k}", datapath.Input(0, k, span)) for k, span in enumerate(lanes)]

    def _engine(
        self,
        build: Builder,
        nodes: list[str],
        spans: list[Span],
        words: Words,
        combine: str,
        vector: int,
        repeats: int,
        groups: int,
        streams: tuple[str, ...],
        deficit: list[int],
    ) -> None:
        layer, net = self.layer, self.net
        replayed = repeats > 1 and vector > 1  # else the word that arrived is in a register
        width = sum(net.streams[stream].width for stream in streams)
        late = {0} if replayed and memory_in_blocks(vector, width, net.target) else set()
        partial = timed(net, build, nodes, late | self._late(words))
        sums = []
        for node, span in zip(nodes, spans, strict=True):
            own = build.spans[node]
            sums.append(span if span.width >= own.width and (span.signed or not own.signed) else span.union(own))
        if self.requantized:
            net.deficits[self.group.result] = deficit
            deficit = [0]
        finish, parameters = self._finish(sums, deficit, groups * repeats)
        net.datapaths[f"{layer}_partial"] = partial
        net.datapaths[f"{layer}_finish"] = finish
        if words.width:
            net.memories[f"{layer}_weights"] = Memory(words.width, tuple(words.values))
        if parameters.width:
            net.memories[f"{layer}_parameters"] = Memory(parameters.width, tuple(parameters.values))
        op = hardware.FoldedEngine(
            layer,
            vector,
            repeats,
            groups,
            combine,
            f"{layer}_partial",
            tuple(sums),
            f"{layer}_finish",
            f"{layer}_weights" if words.width else None,
            f"{layer}_parameters" if parameters.width else None,
            finish.result_spans(),
        )
        net.emit(self.group, op, streams, "engine")
        net.lanes[self.group.result] = len(nodes)

    def _finish(self, sums: list[Span], deficit: list[int], count: int) -> tuple[Datapath, Words]:
        """The element-by-element tail on every lane, with the deficits of the anchor's sums."""
        build = Builder(f"{self.layer}_finish", Effort(0))
        words = Words(count)
        finish = Finish(build, words, len(sums))
        inputs = [build.add(f"acc{k}", datapath.Input(0, k, span)) for k, span in enumerate(sums)]
        results = []
        anchor, *tail = self.group.nodes
        if anchor.op.mnemonic in ("rescale", "round_significand", "thresholds", "lookup"):
            tail = [anchor, *tail]
        for lane, name in enumerate(inputs):
            column = finish.column(deficit, lane)
            results.append(_tail(finish, anchor, tail, lane, name, column))
        span = union(build.spans[name] for name in results)
        outputs = [
            build.add("y_", datapath.Extend(span), name) if build.spans[name] != span else name for name in results
        ]
        # Parameters are read as stream 1 behind the accumulators, in the order of their fields.
        return timed(self.net, build, outputs, self._late(words)), words


def _tail(finish: Finish, anchor: Node, tail: list[Node], lane: int, name: str, deficit: list[int]) -> str:
    """The nodes behind the anchor, on one lane; ``deficit`` is what the anchor's value still lacks."""
    if not tail:
        return finish.plus(name, deficit, f"deficit{lane}")
    first = anchor.inputs[0] if tail[0] is anchor else anchor.name
    values: dict[str, tuple[str, list[int]]] = {first: (name, deficit)}
    none = [0] * len(deficit)
    for node in tail:
        operands = [values[i] for i in node.inputs]
        if isinstance(node.op, integer.Maximum):
            whole = [finish.plus(n, d, f"deficit{lane}") for n, d in operands]
            result = finish.build.add("max_", datapath.Maximum(), *whole)
        else:
            result = FINISHING[type(node.op)](finish, node.op, lane, *operands[0])  # type: ignore[index]
        values[node.name] = (result, none)
    return values[tail[-1].name][0]


def timed(net: Network, build: Builder, outputs: list[str], late: Collection[int] = ()) -> Datapath:
    """The pipelined datapath; its input lanes are ordered by stream, then by lane. ``late`` as in `pipeline`."""
    graph = build.finish(outputs)
    graph = replace(graph, nodes=tuple(sorted(graph.nodes, key=_payload_order)))
    pipelined = pipeline(graph.verify(), net.target.delay, net.clock_mhz, late)
    return fuse_adders(pipelined, net.target, net.clock_mhz, late)


def _payload_order(node: Node) -> tuple[int, int, int]:
    match node.op:
        case datapath.Input(stream=stream, lane=lane):
            return 0, stream, lane
    return 1, 0, 0


def _conv_weights(op: integer.Conv, folding: Folding) -> Weights:
    """[repeat and beat of the vector, pe, simd] in the order in which windows and results come."""
    rows, columns, ins, outs = op.weights.shape
    parts = op.weights.values.reshape(rows, columns, ins // folding.simd, folding.simd, outs // folding.pe, folding.pe)
    return np.ascontiguousarray(parts.transpose(4, 0, 1, 2, 5, 3).reshape(-1, folding.pe, folding.simd))


def _matmul_weights(op: integer.MatMul, folding: Folding) -> Weights:
    ins, outs = op.weights.shape
    parts = op.weights.values.reshape(ins // folding.simd, folding.simd, outs // folding.pe, folding.pe)
    return np.ascontiguousarray(parts.transpose(2, 0, 3, 1).reshape(-1, folding.pe, folding.simd))


def _depthwise_weights(op: integer.Conv, folding: Folding) -> Weights:
    rows, columns, _, outs = op.weights.shape
    parts = op.weights.values.reshape(rows, columns, outs // folding.pe, folding.pe)
    return np.ascontiguousarray(parts.transpose(2, 0, 1, 3).reshape(-1, folding.pe))
