"""Data that only moves: channels joined, positions repeated, transposed, exchanged with channels."""

from __future__ import annotations

from math import gcd

import numpy as np
import numpy.typing as npt

from qcompile.ir import datapath, hardware, integer
from qcompile.ir.array import Array
from qcompile.ir.graph import Graph
from qcompile.lower.build import Builder, Effort
from qcompile.numerics.span import union
from qcompile.schedule.design import Layer
from qcompile.schedule.fold import divisors
from qcompile.schedule.folded import timed
from qcompile.schedule.network import Network
from qcompile.schedule.partition import Group

_WIDEST_WIRING = 1024  # bits of a beat that a folded network takes apart and puts together again by wires


def moves_apart(graph: Graph, groups: list[Group], folds: bool) -> list[Group]:
    """The groups, those that begin with a move through memory split behind it."""
    result = []
    for group in groups:
        if len(group.nodes) > 1 and needs_memory(graph, group, folds):
            first, *rest = group.nodes
            result += [Group((first,)), *(Group((node,)) for node in rest)]
        else:
            result.append(group)
    return result


def gathers_within_beats(graph: Graph, group: Group) -> bool:
    """Whether every position of a gather needs only the operand's position of the same number, in one order."""
    op = group.anchor.op
    assert isinstance(op, integer.Gather)
    source, result = graph.types[group.anchor.inputs[0]], graph.types[group.anchor.name]
    if source.positions != result.positions:
        return False
    order = op.order.values.reshape(result.positions, -1)
    first = order - np.arange(result.positions)[:, None] * source.channels
    inside = (first >= 0).all() and (first < source.channels).all()
    return bool(inside and (first == first[0]).all())


def needs_memory(graph: Graph, group: Group, folds: bool) -> bool:
    """Whether `MoveLayer` builds the group rather than wires between the lanes of a beat."""
    match group.anchor.op:
        case integer.Concat():
            return folds
        case integer.Gather():
            source, result = graph.types[group.anchor.inputs[0]], graph.types[group.anchor.name]
            wide = max(source.channels, result.channels) * result.span.width > _WIDEST_WIRING
            return not gathers_within_beats(graph, group) or (folds and wide)
    return False


class MoveLayer:
    """Builds one gather or concatenation on a `Network`, as beats that leave a memory, or streams, in turn.

    ``cycles``: what a frame may take; None: as few as possible. As many lanes move at a time as that asks for.
    """

    def __init__(self, net: Network, group: Group, layer: str, cycles: int | None) -> None:
        self.net = net
        self.group = group
        self.layer = layer
        self.cycles = cycles

    def build(self) -> None:
        node, net = self.group.anchor, self.net
        if isinstance(node.op, integer.Concat):
            engine, reason = "streams in turn", "channels of one operand after those of the other, at every position"
            lanes = self._concat()
        else:
            lanes = self._gather(node.op)  # type: ignore[arg-type]
            engine, reason = "reordering memory", f"{lanes} values at a time leave in another order than they came"
        net.lanes[self.group.result] = lanes
        net.layers.append(Layer(self.layer, engine, (node.name,), self.group.origin, reason))

    def _concat(self) -> int:
        net = self.net
        kinds = [net.types[value] for value in self.group.anchor.inputs]
        size = kinds[0].positions * sum(kind.channels for kind in kinds)
        lanes = self._least(divisors(gcd(*(kind.channels for kind in kinds))), size)
        streams = tuple(net.words(value, lanes, self.layer) for value in self.group.anchor.inputs)
        op = hardware.Alternate(self.layer, tuple(kind.channels // lanes for kind in kinds))
        net.emit(self.group, op, streams, "turns")
        return lanes

    def _gather(self, op: integer.Gather) -> int:
        net, (value,) = self.net, self.group.anchor.inputs
        source, result = net.types[value], net.types[self.group.result]
        order = op.order.values.reshape(-1)
        size = source.positions * source.channels
        fitting = [d for d in divisors(gcd(size, result.channels)) if _in_words(order, d)]
        lanes = self._least(fitting, max(size, order.size))
        own = net.carrier[value]
        net.carrier[value] = self._uniform(own)
        stream = net.words(value, lanes, self.layer)
        net.carrier[value] = own
        words = Array(order[::lanes] // lanes)
        reorder = hardware.Reorder(self.layer, size // lanes, words)
        net.emit(self.group, reorder, (stream,), "reorder")
        return lanes

    def _least(self, lanes: list[int], size: int) -> int:
        """The fewest of possible numbers of ``lanes`` that move ``size`` values in time."""
        if self.cycles is None:
            return lanes[-1]
        return next((d for d in lanes if size // d <= self.cycles), lanes[-1])

    def _uniform(self, stream: str) -> str:
        """``stream`` with lanes of one width, where those of an unrolled layer differ."""
        net = self.net
        lanes = net.streams[stream].lanes
        span = union(lanes)
        if all(lane == span for lane in lanes):
            return stream
        build = Builder(self.layer, Effort(0))
        inputs = [build.add(f"x{k}", datapath.Input(0, k, lane)) for k, lane in enumerate(lanes)]
        wide = [
            name if build.spans[name] == span else build.add("wide_", datapath.Extend(span), name) for name in inputs
        ]
        path = net.datapaths[self.layer] = timed(net, build, wide)
        op = hardware.Pipeline(self.layer, self.layer, path.latency, path.result_spans())
        return net.emit(self.group, op, (stream,), "wide")


def _in_words(order: npt.NDArray[np.int64], lanes: int) -> bool:
    """Whether ``order`` moves groups of ``lanes`` neighbours as they are."""
    words = order.reshape(-1, lanes)
    return bool((words[:, 0] % lanes == 0).all() and (words == words[:, :1] + np.arange(lanes)).all())
