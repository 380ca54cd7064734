"""The hardware graph: components joined by valid/ready streams, each belonging to a layer.

A stream carries ``beats`` beats per frame, each with all ``lanes`` in parallel; lane k follows lane k - 1 in
the payload. A value with several users is forked. The datapath graphs that `Pipeline` nodes run are kept
beside the graph, by name (`qcompile.schedule.Design`).
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import ClassVar

from qcompile.ir.array import Array
from qcompile.ir.graph import IRError, Level, Op
from qcompile.ir.window import Window
from qcompile.numerics.span import Span, union

HARDWARE = Level("hardware")
PARAMETERS: dict[str, type] = {"Span": Span, "Window": Window}


@dataclass(frozen=True)
class Stream:
    """``beats`` per frame; ``lanes`` are the exact spans of one beat's values, lowest bits first."""

    beats: int
    lanes: tuple[Span, ...]

    @property
    def width(self) -> int:
        """Bits of one beat."""
        return sum(lane.width for lane in self.lanes)


@dataclass(frozen=True)
class HardwareOp(Op):
    """A component. ``layer`` names the module it is part of."""

    layer: str

    def result_type(self, *operands: Stream) -> Stream:
        raise NotImplementedError

    def needed(self, beat: int) -> int:
        """Beats of the operand that must have arrived before beat ``beat`` (from 0) of the result can appear."""
        return beat + 1


@HARDWARE.op
@dataclass(frozen=True)
class Input(HardwareOp):
    """The frames that enter the network."""

    mnemonic: ClassVar[str] = "input"
    beats: int
    lanes: tuple[Span, ...]

    def result_type(self, *operands: Stream) -> Stream:
        return Stream(self.beats, self.lanes)


@HARDWARE.op
@dataclass(frozen=True)
class SlidingWindow(HardwareOp):
    """Line buffers: the windows of an image of ``height`` x ``width`` beats; padding has the code ``fill``."""

    mnemonic: ClassVar[str] = "sliding_window"
    height: int
    width: int
    window: Window
    fill: tuple[int, ...]

    def result_type(self, *operands: Stream) -> Stream:
        (x,) = operands
        if x.beats != self.height * self.width or len(self.fill) != len(x.lanes):
            raise IRError(f"{x.beats} beats of {len(x.lanes)} lanes for an image {self.height}x{self.width}")
        rows, columns = self.window.output_size(self.height, self.width)
        lanes = x.lanes
        if self.window.padded:
            lanes = tuple(lane.union(Span(f, f)) for lane, f in zip(lanes, self.fill, strict=True))
        return Stream(rows * columns, lanes * prod(self.window.kernel))


@HARDWARE.op
@dataclass(frozen=True)
class Pipeline(HardwareOp):
    """A datapath on every beat, ``latency`` register stages deep. Several operands advance together."""

    mnemonic: ClassVar[str] = "pipeline"
    datapath: str
    latency: int
    lanes: tuple[Span, ...]

    def result_type(self, *operands: Stream) -> Stream:
        if len({x.beats for x in operands}) != 1:
            raise IRError(f"operands of {[x.beats for x in operands]} beats")
        return Stream(operands[0].beats, self.lanes)


@HARDWARE.op
@dataclass(frozen=True)
class Collect(HardwareOp):
    """``count`` beats side by side in one, the first lowest."""

    mnemonic: ClassVar[str] = "collect"
    count: int

    def result_type(self, *operands: Stream) -> Stream:
        (x,) = operands
        if x.beats % self.count:
            raise IRError(f"{x.beats} beats by {self.count}")
        return Stream(x.beats // self.count, x.lanes * self.count)

    def needed(self, beat: int) -> int:
        return (beat + 1) * self.count


@HARDWARE.op
@dataclass(frozen=True)
class Distribute(HardwareOp):
    """One beat as ``count``, the lowest lanes first; all parts must have the same widths."""

    mnemonic: ClassVar[str] = "distribute"
    count: int

    def result_type(self, *operands: Stream) -> Stream:
        (x,) = operands
        part = len(x.lanes) // self.count
        slices = [x.lanes[k * part : (k + 1) * part] for k in range(self.count)]
        if part * self.count != len(x.lanes) or len({tuple(s.width for s in lanes) for lanes in slices}) != 1:
            raise IRError(f"{len(x.lanes)} lanes do not fall into {self.count} equal parts")
        lanes = tuple(
            Span(min(s.low for s in column), max(s.high for s in column)) for column in zip(*slices, strict=True)
        )
        return Stream(x.beats * self.count, lanes)

    def needed(self, beat: int) -> int:
        return beat // self.count + 1


@HARDWARE.op
@dataclass(frozen=True)
class SumBeats(HardwareOp):
    """Per lane the sum over ``count`` beats, again and again."""

    mnemonic: ClassVar[str] = "sum_beats"
    count: int

    def result_type(self, *operands: Stream) -> Stream:
        (x,) = operands
        if x.beats % self.count:
            raise IRError(f"{x.beats} beats by {self.count}")
        return Stream(x.beats // self.count, tuple(lane.scaled(self.count) for lane in x.lanes))

    def needed(self, beat: int) -> int:
        return (beat + 1) * self.count


@HARDWARE.op
@dataclass(frozen=True)
class FoldedWindow(HardwareOp):
    """The windows of an image whose channels arrive in ``folds`` beats per position, read back one beat at a time.

    ``order`` "window": kernel row, kernel column, fold, fold fastest; "channel": fold, kernel row, kernel
    column, as operations need it that treat every channel for itself. ``depth`` is the size of the line memory
    in beats; None: what one window after the other needs.
    """

    mnemonic: ClassVar[str] = "folded_window"
    height: int
    width: int
    folds: int
    window: Window
    fill: tuple[int, ...]
    order: str = "window"
    depth: int | None = None

    def result_type(self, *operands: Stream) -> Stream:
        (x,) = operands
        if x.beats != self.height * self.width * self.folds or len(self.fill) != len(x.lanes):
            raise IRError(f"{x.beats} beats of {len(x.lanes)} lanes for {self.height}x{self.width}x{self.folds}")
        rows, columns = self.window.output_size(self.height, self.width)
        lanes = x.lanes
        if self.window.padded:
            lanes = tuple(lane.union(Span(f, f)) for lane, f in zip(lanes, self.fill, strict=True))
        return Stream(rows * columns * prod(self.window.kernel) * self.folds, lanes)


@HARDWARE.op
@dataclass(frozen=True)
class FoldedEngine(HardwareOp):
    """One small datapath, used again and again: a matrix of weights from ROM, ``lanes`` results at a time.

    A vector is ``vector`` beats. It is read ``repeats`` times, each time for other weights: for repeat n and
    beat s, datapath ``partial`` sees the beat (low) and word ``((g * repeats) + n) * vector + s`` of memory
    ``weights`` (high), g the vector's number modulo ``groups``. Its results are combined ("add", "max", or
    "none" where a vector is one beat) into ``accumulators``, whose spans hold every partial result. After the
    last beat, datapath ``finish`` sees the accumulators (low) and word ``g * repeats + n`` of memory
    ``parameters`` (high); its result is one beat. Names are those of `qcompile.schedule.Design`.
    """

    mnemonic: ClassVar[str] = "folded_engine"
    vector: int
    repeats: int
    groups: int
    combine: str
    partial: str
    accumulators: tuple[Span, ...]
    finish: str
    weights: str | None
    parameters: str | None
    lanes: tuple[Span, ...]

    def result_type(self, *operands: Stream) -> Stream:
        if len({x.beats for x in operands}) != 1 or operands[0].beats % self.vector:
            raise IRError(f"operands of {[x.beats for x in operands]} beats, vectors of {self.vector}")
        return Stream(operands[0].beats // self.vector * self.repeats, self.lanes)

    def needed(self, beat: int) -> int:
        return (beat // self.repeats + 1) * self.vector


@HARDWARE.op
@dataclass(frozen=True)
class FoldedAccumulate(HardwareOp):
    """Per channel the sum over all positions of a frame; channels arrive, and leave, in ``folds`` beats."""

    mnemonic: ClassVar[str] = "folded_accumulate"
    count: int
    folds: int

    def result_type(self, *operands: Stream) -> Stream:
        (x,) = operands
        if x.beats != self.count * self.folds:
            raise IRError(f"{x.beats} beats, not {self.count} x {self.folds}")
        return Stream(self.folds, tuple(lane.scaled(self.count) for lane in x.lanes))

    def needed(self, beat: int) -> int:
        return (self.count - 1) * self.folds + beat + 1


@HARDWARE.op
@dataclass(frozen=True)
class Reorder(HardwareOp):
    """Beat k of the result is beat ``order[k]`` of the operand's ``inputs``; a memory keeps what is needed later."""

    mnemonic: ClassVar[str] = "reorder"
    inputs: int
    order: Array

    def result_type(self, *operands: Stream) -> Stream:
        (x,) = operands
        if x.beats != self.inputs or not self.order.values.size or not self.order.values.min() >= 0:
            raise IRError(f"{x.beats} beats, not {self.inputs}")
        if self.order.values.max() >= self.inputs:
            raise IRError(f"beat {self.order.values.max()} of {self.inputs}")
        return Stream(self.order.values.size, x.lanes)


@HARDWARE.op
@dataclass(frozen=True)
class Alternate(HardwareOp):
    """``counts[k]`` beats of operand k in turn: the channels of several tensors, position by position."""

    mnemonic: ClassVar[str] = "alternate"
    counts: tuple[int, ...]

    def result_type(self, *operands: Stream) -> Stream:
        turns = {x.beats // count for x, count in zip(operands, self.counts, strict=True)}
        whole = all(x.beats % count == 0 for x, count in zip(operands, self.counts, strict=True))
        if len(turns) != 1 or not whole or len({len(x.lanes) for x in operands}) != 1:
            raise IRError(f"operands of {[x.beats for x in operands]} beats, {self.counts} in turn")
        lanes = tuple(union(column) for column in zip(*(x.lanes for x in operands), strict=True))
        return Stream(turns.pop() * sum(self.counts), lanes)

    def needed_of(self, operand: int, beat: int) -> int:
        """Beats of one operand that must have arrived before beat ``beat`` of the result can appear."""
        turn, place = divmod(beat, sum(self.counts))
        own = place + 1 - sum(self.counts[:operand])
        return turn * self.counts[operand] + min(max(own, 0), self.counts[operand])


@HARDWARE.op
@dataclass(frozen=True)
class Fifo(HardwareOp):
    """Holds up to ``depth`` beats, so that one side of a join can run ahead of the other."""

    mnemonic: ClassVar[str] = "fifo"
    depth: int

    def result_type(self, *operands: Stream) -> Stream:
        return operands[0]


@HARDWARE.op
@dataclass(frozen=True)
class RegisterSlice(HardwareOp):
    """Breaks the chain of ready signals; holds two beats."""

    mnemonic: ClassVar[str] = "register_slice"

    def result_type(self, *operands: Stream) -> Stream:
        return operands[0]


@HARDWARE.op
@dataclass(frozen=True)
class Output(HardwareOp):
    """The frames that leave the network."""

    mnemonic: ClassVar[str] = "output"

    def result_type(self, *operands: Stream) -> Stream:
        return operands[0]
