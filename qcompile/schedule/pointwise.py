"""Everything element by element between two layers as one folded engine: batch norms, activations, residual sums."""

from __future__ import annotations

from qcompile.ir import datapath, hardware
from qcompile.ir.graph import Graph, Node
from qcompile.lower.build import Builder, Effort
from qcompile.lower.finish import Finish
from qcompile.lower.pointwise import lower_pointwise, pointwise
from qcompile.lower.words import Words
from qcompile.numerics.span import union
from qcompile.schedule.design import Memory
from qcompile.schedule.fold import Folding
from qcompile.schedule.folded import timed
from qcompile.schedule.network import Network
from qcompile.schedule.partition import Group


def can_join(group: Group) -> bool:
    """Whether `PointwiseLayer` builds the group."""
    return all(pointwise(node.op) for node in group.nodes)


def joined_pointwise(graph: Graph, groups: list[Group]) -> list[Group]:
    """Groups of element-by-element operations joined into that of their only reader, where it is one too."""
    home = {node.name: number for number, group in enumerate(groups) for node in group.nodes}
    into: dict[int, int] = {}
    for number in reversed(range(len(groups))):
        group = groups[number]
        readers = {home[user.name] for user in graph.users[group.result]} - {number}
        readers = {into.get(reader, reader) for reader in readers}
        if len(readers) != 1 or group.result in graph.outputs or not can_join(group):
            continue
        (reader,) = readers
        if can_join(groups[reader]):
            into[number] = reader
    parts: dict[int, list[Node]] = {}
    for number, group in enumerate(groups):
        parts.setdefault(into.get(number, number), []).extend(group.nodes)
    return [Group(tuple(parts[number])) for number in range(len(groups)) if number not in into]


class PointwiseLayer:
    """Builds one group of element-by-element operations, with any operands, as a folded engine on a `Network`."""

    def __init__(self, net: Network, group: Group, layer: str, folding: Folding) -> None:
        self.net = net
        self.group = group
        self.layer = layer
        self.lanes = folding.pe

    def build(self) -> None:
        net, layer, lanes = self.net, self.layer, self.lanes
        streams = tuple(net.words(value, lanes, layer) for value in self.group.operands)
        spans = [span for stream in streams for span in net.streams[stream].lanes]
        arriving = Builder(layer, Effort(0))
        inputs = [
            arriving.add(f"{'xuvw'[k] if k < 4 else f'x{k}_'}{lane}", datapath.Input(k, lane, span))
            for k, stream in enumerate(streams)
            for lane, span in enumerate(net.streams[stream].lanes)
        ]
        words = Words(net.types[self.group.result].channels // lanes)
        build = Builder(f"{layer}_finish", Effort(0))
        finish = Finish(build, words, lanes)
        held = [build.add(f"acc{k}", datapath.Input(0, k, span)) for k, span in enumerate(spans)]
        results = [
            lower_pointwise(
                finish,
                self.group.nodes,
                lane,
                {value: held[k * lanes + lane] for k, value in enumerate(self.group.operands)},
            )
            for lane in range(lanes)
        ]
        span = union(build.spans[name] for name in results)
        results = [
            name if build.spans[name] == span else build.add("y_", datapath.Extend(span), name) for name in results
        ]
        partial = net.datapaths[f"{layer}_partial"] = timed(net, arriving, inputs)
        path = net.datapaths[f"{layer}_finish"] = timed(net, build, results)
        if words.width:
            net.memories[f"{layer}_parameters"] = Memory(words.width, tuple(words.values))
        op = hardware.FoldedEngine(
            layer,
            vector=1,
            repeats=1,
            groups=words.count,
            combine="none",
            partial=f"{layer}_partial",
            accumulators=partial.result_spans(),
            finish=f"{layer}_finish",
            weights=None,
            parameters=f"{layer}_parameters" if words.width else None,
            lanes=path.result_spans(),
        )
        net.emit(self.group, op, streams, "engine")
        net.lanes[self.group.result] = lanes
