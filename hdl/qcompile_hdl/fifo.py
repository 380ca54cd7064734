"""Stream FIFO of any depth."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Module, unsigned
from amaranth.lib import fifo, stream, wiring
from amaranth.lib.wiring import In, Out

from ._check import positive
from .component import Component
from .streams import RegisterSlice


class StreamFifo(Component):
    """Holds at least ``depth`` beats (two where ``depth`` is 1); full throughput, also while full.

    Up to 2 beats it is registers, up to ``DISTRIBUTED_DEPTH`` a memory with asynchronous read (LUT RAM),
    above that one with synchronous read (block RAM). Latency: one cycle, in block RAM two.
    """

    DISTRIBUTED_DEPTH = 64

    def __init__(self, width: int, depth: int) -> None:
        positive(width=width, depth=depth)
        self.width = width
        self.depth = depth
        super().__init__({"i": In(stream.Signature(unsigned(width))), "o": Out(stream.Signature(unsigned(width)))})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        if self.depth <= 2:
            m.submodules.registers = registers = RegisterSlice(self.width)
            wiring.connect(m, wiring.flipped(self.i), registers.i)
            wiring.connect(m, registers.o, wiring.flipped(self.o))
            return m

        kind = fifo.SyncFIFO if self.depth <= self.DISTRIBUTED_DEPTH else fifo.SyncFIFOBuffered
        m.submodules.queue = queue = kind(width=self.width, depth=self.depth)
        m.d.comb += [
            queue.w_data.eq(self.i.payload),
            queue.w_en.eq(self.i.valid),
            self.i.ready.eq(queue.w_rdy),
            self.o.payload.eq(queue.r_data),
            self.o.valid.eq(queue.r_rdy),
            queue.r_en.eq(self.o.ready),
        ]
        return m
