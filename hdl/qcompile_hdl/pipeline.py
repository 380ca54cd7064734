"""Flow control around a feed-forward datapath."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Cat, Module, Signal, unsigned
from amaranth.lib import stream
from amaranth.lib.wiring import In, Out

from ._check import at_least, positive
from .component import Component


class StallPipeline(Component):
    """Turns a datapath of ``latency`` register stages into a stream element, one beat per cycle.

    Bind the datapath's ports to ``x``, ``y`` and ``enable``: all its registers move only while ``enable`` is
    1. The pipeline stands still (``enable`` = 0) only while the beat in its last stage waits for ``o.ready``;
    it moves on without new input, so a beat never waits for the one behind it. ``i.ready`` depends on
    ``o.ready`` combinationally. With ``latency`` 0 the datapath is combinational and so is everything here.

    For several inputs put a `Join` in front.
    """

    def __init__(self, latency: int, in_width: int, out_width: int) -> None:
        positive(in_width=in_width, out_width=out_width)
        at_least(0, latency=latency)
        self.latency = latency
        super().__init__(
            {
                "i": In(stream.Signature(unsigned(in_width))),
                "o": Out(stream.Signature(unsigned(out_width))),
                "x": Out(in_width),
                "y": In(out_width),
                "enable": Out(1),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.d.comb += [self.x.eq(self.i.payload), self.o.payload.eq(self.y)]
        if self.latency == 0:
            m.d.comb += [self.o.valid.eq(self.i.valid), self.i.ready.eq(self.o.ready), self.enable.eq(1)]
            return m

        # Bit k: stage k + 1 of the datapath holds a beat.
        stage_valid = Signal(self.latency)
        m.d.comb += [
            self.o.valid.eq(stage_valid[-1]),
            self.enable.eq(~self.o.valid | self.o.ready),
            self.i.ready.eq(self.enable),
        ]
        with m.If(self.enable):
            m.d.sync += stage_valid.eq(Cat(self.i.valid, stage_valid)[: self.latency])
        return m
