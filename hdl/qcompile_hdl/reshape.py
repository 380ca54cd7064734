"""Gathering narrow beats into a wide one, and the inverse."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Cat, Module, Signal, unsigned
from amaranth.lib import stream
from amaranth.lib.wiring import In, Out

from ._check import positive
from .component import Component


class Collect(Component):
    """``count`` beats of ``width`` bits become one beat, the first beat lowest; valid one cycle after the
    last.

    ``double_buffer`` lets the next frame come in while the result waits, for nearly twice the registers.
    Without it the input stops from the last beat until the result is taken: no loss where the consumer is
    always ready.
    """

    def __init__(self, width: int, count: int, *, double_buffer: bool = True) -> None:
        positive(width=width, count=count)
        self.width = width
        self.count = count
        self.double_buffer = double_buffer
        super().__init__(
            {"i": In(stream.Signature(unsigned(width))), "o": Out(stream.Signature(unsigned(width * count)))}
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        # Only the valid flag and the counter need a reset.
        result = Signal.like(self.o.payload, name="result", reset_less=True)
        free = Signal()
        m.d.comb += [self.o.payload.eq(result), free.eq(~self.o.valid | self.o.ready)]
        with m.If(self.o.ready):
            m.d.sync += self.o.valid.eq(0)
        if self.count == 1:
            m.d.comb += self.i.ready.eq(free)
            with m.If(self.i.valid & self.i.ready):
                m.d.sync += [result.eq(self.i.payload), self.o.valid.eq(1)]
            return m

        beat = Signal(range(self.count))
        last = Signal()
        m.d.comb += last.eq(beat == self.count - 1)
        if self.double_buffer:
            gathered = Signal(self.width * (self.count - 1), reset_less=True)
            m.d.comb += self.i.ready.eq(free | ~last)
            shift_in = gathered.eq(Cat(gathered, self.i.payload)[self.width :])
            finish = result.eq(Cat(gathered, self.i.payload))
        else:
            m.d.comb += self.i.ready.eq(free)
            shift_in = finish = result.eq(Cat(result, self.i.payload)[self.width :])
        with m.If(self.i.valid & self.i.ready):
            with m.If(last):
                m.d.sync += [finish, self.o.valid.eq(1), beat.eq(0)]
            with m.Else():
                m.d.sync += [shift_in, beat.eq(beat + 1)]
        return m


class Distribute(Component):
    """One beat of ``width * count`` bits becomes ``count`` beats, the lowest first, the first one cycle
    later.

    The next wide beat is taken in the cycle in which the last narrow one leaves.
    """

    def __init__(self, width: int, count: int) -> None:
        positive(width=width, count=count)
        self.width = width
        self.count = count
        super().__init__(
            {"i": In(stream.Signature(unsigned(width * count))), "o": Out(stream.Signature(unsigned(width)))}
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        beats = Signal(self.width * self.count, reset_less=True)
        left = Signal(range(self.count + 1))
        m.d.comb += [
            self.o.payload.eq(beats[: self.width]),
            self.o.valid.eq(left != 0),
            self.i.ready.eq((left == 0) | ((left == 1) & self.o.ready)),
        ]
        with m.If(self.i.ready & self.i.valid):
            m.d.sync += [beats.eq(self.i.payload), left.eq(self.count)]
        with m.Elif(self.o.ready & self.o.valid):
            m.d.sync += [beats.eq(beats >> self.width), left.eq(left - 1)]
        return m
