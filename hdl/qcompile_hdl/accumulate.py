"""Sums over the beats of a frame, lane by lane: the body of a global average pooling."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal, signed, unsigned
from amaranth.lib import stream
from amaranth.lib.wiring import In, Out

from ._check import at_least, positive
from .component import Component


@dataclass(frozen=True)
class Lane:
    """One channel: ``width_in`` bits, two's complement if ``signed``, summed to ``width_out`` bits."""

    width_in: int
    signed: bool
    width_out: int


class Accumulate(Component):
    """Per lane the sum over ``count`` beats, valid one cycle after the last beat. No bubbles between frames.

    A sum wraps modulo ``2 ** width_out``: the caller knows the range. While a result waits, the input stops.
    """

    def __init__(self, lanes: list[Lane], count: int) -> None:
        positive(count=count, lanes=len(lanes))
        for lane in lanes:
            positive(width_in=lane.width_in)
            at_least(lane.width_in, width_out=lane.width_out)
        self.lanes = tuple(lanes)
        self.count = count
        super().__init__(
            {
                "i": In(stream.Signature(unsigned(sum(lane.width_in for lane in lanes)))),
                "o": Out(stream.Signature(unsigned(sum(lane.width_out for lane in lanes)))),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        first = Signal(init=1)
        last = Signal()
        if self.count == 1:
            m.d.comb += last.eq(1)
        else:
            beat = Signal(range(self.count))
            m.d.comb += last.eq(beat == self.count - 1)
        m.d.comb += self.i.ready.eq(~self.o.valid | self.o.ready)
        with m.If(self.o.ready):
            m.d.sync += self.o.valid.eq(0)
        sums = []
        with m.If(self.i.valid & self.i.ready):
            m.d.sync += [first.eq(last), self.o.valid.eq(last)]
            if self.count > 1:
                m.d.sync += beat.eq(Mux(last, 0, beat + 1))
            low = 0
            for k, lane in enumerate(self.lanes):
                shape = signed if lane.signed else unsigned
                total = Signal(shape(lane.width_out), name=f"sum_{k}", reset_less=True)
                bits = self.i.payload[low : low + lane.width_in]
                value = bits.as_signed() if lane.signed else bits
                m.d.sync += total.eq(Mux(first, 0, total) + value)
                low += lane.width_in
                sums.append(total)
        m.d.comb += self.o.payload.eq(Cat(total.as_unsigned() for total in sums))
        return m
