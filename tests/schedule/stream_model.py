"""A plain-Python model of the hardware graph: what every component does to a frame's beats, without time."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain

from qcompile.ir import datapath, hardware
from qcompile.schedule.design import Datapath, Design

Beats = list[list[int]]


def joined(beats: Iterable[list[int]]) -> list[int]:
    """The values of several beats, one after the other."""
    return list(chain.from_iterable(beats))


def run_datapath(path: Datapath, lanes: list[int]) -> list[int]:
    """The datapath's definition on one beat; ``lanes`` in payload order."""
    values: dict[str, int] = dict(zip(path.lanes, lanes, strict=True))
    types = path.graph.types
    for node in path.graph.nodes:
        if isinstance(node.op, datapath.Input):
            assert values[node.name] in types[node.name], (node.name, values[node.name], types[node.name])
        else:
            values[node.name] = node.op.evaluate(*(values[i] for i in node.inputs))
            assert values[node.name] in types[node.name], (node, values[node.name], types[node.name])
    return [values[name] for name in path.graph.outputs]


def run_frame(design: Design, frame: Beats) -> Beats:
    """Output beats of one frame of input beats."""
    streams: dict[str, Beats] = {}
    for node in design.graph.nodes:
        operands = [streams[name] for name in node.inputs]
        streams[node.name] = _component(design, node.op, operands, frame)
        kind = design.graph.types[node.name]
        assert len(streams[node.name]) == kind.beats, node.name
        for beat in streams[node.name]:
            assert all(v in span for v, span in zip(beat, kind.lanes, strict=True)), node.name
    return streams[design.graph.outputs[0]]


def _component(design: Design, op: hardware.HardwareOp, operands: list[Beats], frame: Beats) -> Beats:
    match op:
        case hardware.Input():
            return frame
        case hardware.Pipeline():
            path = design.datapaths[op.datapath]
            return [run_datapath(path, joined(beats)) for beats in zip(*operands, strict=True)]
        case hardware.SlidingWindow():
            return [joined(w) for w in _windows(operands[0], op.height, op.width, 1, op.window, op.fill, "window")]
        case hardware.FoldedWindow():
            windows = _windows(operands[0], op.height, op.width, op.folds, op.window, op.fill, op.order)
            return [word for window in windows for word in window]
        case hardware.FoldedEngine():
            return _engine(design, op, operands)
        case hardware.Reorder(order=order):
            return [operands[0][k] for k in order.values.tolist()]
        case hardware.Alternate(counts=counts):
            turns = len(operands[0]) // counts[0]
            parts = [x[t * n : (t + 1) * n] for t in range(turns) for x, n in zip(operands, counts, strict=True)]
            return list(chain.from_iterable(parts))
        case hardware.Collect(count=count):
            (x,) = operands
            return [joined(x[k : k + count]) for k in range(0, len(x), count)]
        case hardware.Distribute(count=count):
            (x,) = operands
            part = len(x[0]) // count
            return [beat[k * part : (k + 1) * part] for beat in x for k in range(count)]
        case hardware.SumBeats(count=count):
            (x,) = operands
            return [[sum(column) for column in zip(*x[k : k + count], strict=True)] for k in range(0, len(x), count)]
        case hardware.FoldedAccumulate(folds=folds):
            return [[sum(column) for column in zip(*operands[0][f::folds], strict=True)] for f in range(folds)]
        case _:
            return operands[0]


def _windows(x, height, width, folds, window, fill, order):  # type: ignore[no-untyped-def]
    """The words of every window."""
    rows, columns = window.output_size(height, width)
    for row in range(rows):
        for column in range(columns):
            taps = []
            for kr in range(window.kernel[0]):
                for kc in range(window.kernel[1]):
                    r = row * window.strides[0] + kr * window.dilations[0] - window.pads[0]
                    c = column * window.strides[1] + kc * window.dilations[1] - window.pads[1]
                    inside = 0 <= r < height and 0 <= c < width
                    taps.append([x[(r * width + c) * folds + f] if inside else list(fill) for f in range(folds)])
            if order == "window":
                yield [word for tap in taps for word in tap]
            else:
                yield [tap[f] for f in range(folds) for tap in taps]


def _fields(word: int, path: Datapath, skipped: int) -> list[int]:
    """The parameter lanes of a datapath (those behind the first ``skipped``) out of a memory word."""
    values = []
    for name in path.lanes[skipped:]:
        span = path.graph.types[name]
        value = word & ((1 << span.width) - 1)
        word >>= span.width
        values.append(value - (1 << span.width) if span.signed and value >> (span.width - 1) else value)
    return values


def _engine(design: Design, op: hardware.FoldedEngine, operands: list[Beats]) -> Beats:
    partial, finish = design.datapaths[op.partial], design.datapaths[op.finish]
    words = [joined(beats) for beats in zip(*operands, strict=True)]
    weights = design.memories[op.weights].words if op.weights else None
    parameters = design.memories[op.parameters].words if op.parameters else None
    result = []
    for number in range(len(words) // op.vector):
        group = number % op.groups
        for repeat in range(op.repeats):
            total: list[int] | None = None
            for beat in range(op.vector):
                x = words[number * op.vector + beat]
                if weights is not None:
                    x = x + _fields(weights[(group * op.repeats + repeat) * op.vector + beat], partial, len(x))
                part = run_datapath(partial, x)
                if total is None:
                    total = part
                else:
                    combine = max if op.combine == "max" else (lambda a, b: a + b)
                    total = [combine(a, b) for a, b in zip(total, part, strict=True)]
                assert all(v in span for v, span in zip(total, op.accumulators, strict=True))
            assert total is not None
            if parameters is not None:
                total = total + _fields(parameters[group * op.repeats + repeat], finish, len(total))
            result.append(run_datapath(finish, total))
    return result
