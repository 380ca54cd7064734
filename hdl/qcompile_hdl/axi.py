"""AXI4-Stream pins around a stream element."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import ClockDomain, ClockSignal, Module, Mux, ResetSignal, Signal, unsigned
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ._check import positive
from .component import Component
from .streams import RegisterSlice


class AxiStreamTop(Component):
    """Clock, synchronous active-low reset and AXI4-Stream pins around ``core``, which has streams ``i`` and
    ``o``.

    The pins are ``aclk``, ``aresetn``, ``s_axis_tdata/tvalid/tready/tlast`` and ``m_axis_…``; both sides are
    registered. TDATA is the payload padded up to whole bytes: the padding is ignored at the input and 0 at
    the output. ``m_axis_tlast`` marks every ``out_beats``-th beat. Frames are told apart by counting beats
    after reset; ``s_axis_tlast`` is there for the bus and not looked at, so a frame must be complete.

    ``core`` becomes the submodule ``core_name``.
    """

    def __init__(self, core: Any, *, in_width: int, out_width: int, out_beats: int, core_name: str = "core") -> None:
        positive(in_width=in_width, out_width=out_width, out_beats=out_beats)
        self.core = core
        self.core_name = core_name
        self.in_width = in_width
        self.out_width = out_width
        self.out_beats = out_beats
        super().__init__(
            {
                "aclk": In(1),
                "aresetn": In(1),
                "s_axis_tdata": In(unsigned(-(-in_width // 8) * 8)),
                "s_axis_tvalid": In(1),
                "s_axis_tready": Out(1),
                "s_axis_tlast": In(1),
                "m_axis_tdata": Out(unsigned(-(-out_width // 8) * 8)),
                "m_axis_tvalid": Out(1),
                "m_axis_tready": In(1),
                "m_axis_tlast": Out(1),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.domains.sync = ClockDomain("sync", local=True)
        m.d.comb += [ClockSignal().eq(self.aclk), ResetSignal().eq(~self.aresetn)]

        m.submodules.input_slice = source = RegisterSlice(self.in_width)
        m.submodules[self.core_name] = self.core
        # One more bit than the payload: TLAST travels with its beat.
        m.submodules.output_slice = sink = RegisterSlice(self.out_width + 1)
        wiring.connect(m, source.o, self.core.i)
        m.d.comb += [
            source.i.payload.eq(self.s_axis_tdata[: self.in_width]),
            source.i.valid.eq(self.s_axis_tvalid),
            self.s_axis_tready.eq(source.i.ready),
        ]

        last = Signal()
        if self.out_beats == 1:
            m.d.comb += last.eq(1)
        else:
            beat = Signal(range(self.out_beats), name="output_beat")
            m.d.comb += last.eq(beat == self.out_beats - 1)
            with m.If(self.core.o.valid & self.core.o.ready):
                m.d.sync += beat.eq(Mux(last, 0, beat + 1))
        m.d.comb += [
            sink.i.payload[: self.out_width].eq(self.core.o.payload),
            sink.i.payload[self.out_width].eq(last),
            sink.i.valid.eq(self.core.o.valid),
            self.core.o.ready.eq(sink.i.ready),
            self.m_axis_tdata.eq(sink.o.payload[: self.out_width]),
            self.m_axis_tlast.eq(sink.o.payload[self.out_width]),
            self.m_axis_tvalid.eq(sink.o.valid),
            sink.o.ready.eq(self.m_axis_tready),
        ]
        return m
