"""Serial line, 8 data bits, no parity, one stop bit (8N1): a receiver and a transmitter of bytes."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Cat, Const, Module, Signal, unsigned
from amaranth.lib import stream
from amaranth.lib.wiring import In, Out

from ._check import at_least
from .component import Component

SLOWEST_SAMPLING = 4
"""Least clock cycles per bit: the receiver samples in the middle of a bit, give or take one cycle."""


class UartReceiver(Component):
    """Bytes from pin ``rx``, each ``valid`` for one cycle in the middle of its stop bit; nobody can stall a line.

    ``divisor`` is clock cycles per bit. A byte whose stop bit is 0 is dropped.
    """

    def __init__(self, divisor: int) -> None:
        at_least(SLOWEST_SAMPLING, divisor=divisor)
        self.divisor = divisor
        super().__init__({"rx": In(1, init=1), "byte": Out(8), "valid": Out(1)})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        # Two registers against metastability: the line knows nothing of our clock.
        arriving = Signal(2, init=0b11)
        line = arriving[1]
        m.d.sync += arriving.eq(Cat(self.rx, arriving)[:2])

        busy = Signal()
        # Start bit and data bits move down; after nine samples bit 0 is the first data bit.
        bits = Signal(8, reset_less=True)
        remaining = Signal(range(10))
        wait = Signal(range(self.divisor), reset_less=True)
        m.d.comb += self.byte.eq(bits)
        m.d.sync += self.valid.eq(0)
        with m.If(~busy):
            # Half a bit from here is the middle of the start bit.
            m.d.sync += [busy.eq(~line), wait.eq(self.divisor // 2 - 1), remaining.eq(9)]
        with m.Elif(wait == 0):
            m.d.sync += [wait.eq(self.divisor - 1), remaining.eq(remaining - 1)]
            with m.If(remaining == 0):
                m.d.sync += [busy.eq(0), self.valid.eq(line)]
            with m.Else():
                m.d.sync += bits.eq(Cat(bits, line)[1:])
            # A start bit that is gone in its middle was a glitch.
            with m.If((remaining == 9) & line):
                m.d.sync += busy.eq(0)
        with m.Else():
            m.d.sync += wait.eq(wait - 1)
        return m


class UartTransmitter(Component):
    """Bytes of stream ``i`` on pin ``tx``, back to back. ``divisor`` is clock cycles per bit."""

    def __init__(self, divisor: int) -> None:
        at_least(SLOWEST_SAMPLING, divisor=divisor)
        self.divisor = divisor
        super().__init__({"i": In(stream.Signature(unsigned(8))), "tx": Out(1, init=1)})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        # What follows the bit on the line; all ones is an idle line.
        bits = Signal(9, init=0x1FF)
        remaining = Signal(range(11))
        wait = Signal(range(self.divisor), reset_less=True)
        m.d.comb += self.i.ready.eq(remaining == 0)
        with m.If(self.i.ready), m.If(self.i.valid):
            m.d.sync += [
                self.tx.eq(0),
                bits.eq(Cat(self.i.payload, Const(1, 1))),
                remaining.eq(10),
                wait.eq(self.divisor - 1),
            ]
        with m.Elif(wait == 0):
            m.d.sync += [
                self.tx.eq(bits[0]),
                bits.eq(Cat(bits[1:], Const(1, 1))),
                remaining.eq(remaining - 1),
                wait.eq(self.divisor - 1),
            ]
        with m.Else():
            m.d.sync += wait.eq(wait - 1)
        return m
