"""Sums over the positions of a frame whose channels are folded: a global average pooling of many channels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal, signed, unsigned
from amaranth.lib import stream
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from ._check import at_least, positive
from ._counter import counter
from .accumulate import Lane
from .component import Component


class FoldedAccumulate(Component):
    """Over ``count`` positions of ``folds`` words the sum of each fold, lane by lane: ``folds`` words.

    A sum is valid one cycle after the last word of its fold; no bubbles between frames. It wraps modulo
    ``2 ** width_out``: the caller knows the range. While a sum waits, the input stops. The partial sums are in a
    memory of ``folds`` words with asynchronous read (LUT RAM).
    """

    def __init__(self, lanes: Sequence[Lane], count: int, folds: int) -> None:
        positive(count=count, folds=folds, lanes=len(lanes))
        for lane in lanes:
            positive(width_in=lane.width_in)
            at_least(lane.width_in, width_out=lane.width_out)
        self.lanes = tuple(lanes)
        self.count = count
        self.folds = folds
        super().__init__(
            {
                "i": In(stream.Signature(unsigned(sum(lane.width_in for lane in lanes)))),
                "o": Out(stream.Signature(unsigned(sum(lane.width_out for lane in lanes)))),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        accept = Signal()
        sums = Signal.like(self.o.payload, name="sums")
        # Only the valid flag and the counters need a reset.
        result = Signal.like(self.o.payload, name="result", reset_less=True)
        m.d.comb += [
            self.o.payload.eq(result),
            self.i.ready.eq(~self.o.valid | self.o.ready),
            accept.eq(self.i.valid & self.i.ready),
        ]
        fold, last_fold = counter(m, "fold", self.folds, accept)
        position, last_position = counter(m, "position", self.count, accept & last_fold)

        m.submodules.partial_sums = memory = Memory(shape=sums.shape(), depth=self.folds, init=[])
        write = memory.write_port()
        read = memory.read_port(domain="comb")
        m.d.comb += [
            write.en.eq(accept),
            write.addr.eq(fold),
            write.data.eq(sums),
            read.addr.eq(fold),
            sums.eq(self._added(m, Mux(position == 0, 0, read.data)[: len(sums)])),
        ]
        with m.If(self.o.ready):
            m.d.sync += self.o.valid.eq(0)
        with m.If(accept):
            m.d.sync += [self.o.valid.eq(last_position), result.eq(sums)]
        return m

    def _added(self, m: Module, sums: Any) -> Any:
        """The input's lanes added to ``sums``."""
        added, low_in, low_out = [], 0, 0
        for k, lane in enumerate(self.lanes):
            value = self.i.payload[low_in : low_in + lane.width_in]
            total = sums[low_out : low_out + lane.width_out]
            low_in += lane.width_in
            low_out += lane.width_out
            sum_of_lane = Signal((signed if lane.signed else unsigned)(lane.width_out), name=f"sum_{k}")
            m.d.comb += sum_of_lane.eq(total + (value.as_signed() if lane.signed else value))
            added.append(sum_of_lane.as_unsigned())
        return Cat(added)
