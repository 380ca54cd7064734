"""The top module of a network: its pins, which may be AXI4-Stream or a port per value."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from amaranth.hdl import Cat, ClockDomain, ClockSignal, Const, Module, Mux, ResetSignal, Signal, unsigned
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ._check import positive
from .axi_lite import AxiLiteStatus
from .clock_enable import clock_enabled
from .component import Component
from .streams import RegisterSlice

IDENT = 0x51434D50
"""The first status register: "QCMP"."""
REGISTERS = ("ident", "network", "status", "frames_in", "frames_out")
"""The status registers, from address 0 upwards. Bit 0 of status: no beat of any frame is inside."""


class NetworkTop(Component):
    """Clock, synchronous active-low reset and pins around ``core``, which has streams ``i`` and ``o``.

    ``inputs`` and ``outputs`` are the widths of the values of one beat, ``in_beats`` and ``out_beats`` the beats of a
    frame. Frames are told apart by counting beats after reset, so a frame must be complete.

    AXI4-Stream: ``s_axis_tdata/tvalid/tready/tlast`` and ``m_axis_…``; both sides are registered. TDATA is the values
    side by side, padded up to whole bytes: the padding is ignored at the input and 0 at the output.
    ``m_axis_tlast`` marks every ``out_beats``-th beat, ``s_axis_tlast`` is there for the bus and not looked at.

    ``parallel``: ``in_0``, ``in_1`` …, ``in_valid`` and ``in_ready``, ``out_0`` …, ``out_valid``, ``out_ready`` and
    ``out_last``, without registers beside the core's: two cycles less, and ``in_ready`` may depend on ``out_ready``
    within a cycle.

    ``clock_enable`` adds ``aclken``, without which nothing moves. ``network`` (a hash of 32 bits) adds an AXI4-Lite
    slave ``s_axi_…`` with `REGISTERS`. ``core`` becomes the submodule ``core_name``.
    """

    def __init__(
        self,
        core: Any,
        *,
        inputs: Sequence[int],
        outputs: Sequence[int],
        in_beats: int,
        out_beats: int,
        parallel: bool = False,
        clock_enable: bool = False,
        network: int | None = None,
        core_name: str = "core",
    ) -> None:
        for name, number in (("in_beats", in_beats), ("out_beats", out_beats), ("inputs", len(inputs))):
            positive(**{name: number})
        self.core = core
        self.core_name = core_name
        self.inputs, self.outputs = tuple(inputs), tuple(outputs)
        self.in_beats, self.out_beats = in_beats, out_beats
        self.parallel = parallel
        self.clock_enable = clock_enable
        self.network = network
        self.status = None if network is None else AxiLiteStatus(len(REGISTERS))
        pins: dict[str, Any] = {"aclk": In(1), "aresetn": In(1)}
        if clock_enable:
            pins["aclken"] = In(1)
        if parallel:
            pins |= {f"in_{k}": In(unsigned(width)) for k, width in enumerate(self.inputs)}
            pins |= {"in_valid": In(1), "in_ready": Out(1)}
            pins |= {f"out_{k}": Out(unsigned(width)) for k, width in enumerate(self.outputs)}
            pins |= {"out_valid": Out(1), "out_ready": In(1), "out_last": Out(1)}
        else:
            widths = [-(-sum(widths) // 8) * 8 for widths in (self.inputs, self.outputs)]
            pins |= {"s_axis_tdata": In(unsigned(widths[0])), "m_axis_tdata": Out(unsigned(widths[1]))}
            pins |= {"s_axis_tvalid": In(1), "s_axis_tready": Out(1), "s_axis_tlast": In(1)}
            pins |= {"m_axis_tvalid": Out(1), "m_axis_tready": In(1), "m_axis_tlast": Out(1)}
        if self.status is not None:
            members = self.status.signature.members.items()
            pins |= {f"s_axi_{name}": member for name, member in members if name != "values"}
        super().__init__(pins)

    def elaborate(self, platform: Any) -> Any:
        m = Module()
        m.domains.sync = ClockDomain("sync", local=True)
        m.d.comb += [ClockSignal().eq(self.aclk), ResetSignal().eq(~self.aresetn)]
        m.submodules[self.core_name] = self.core
        last = self._last(m, "output_beat", self.out_beats, self.core.o)
        if self.parallel:
            came, left = self._parallel(m, last)
        else:
            came, left = self._axi_stream(m, last)
        if self.status is not None:
            self._status(m, came, left)
        return clock_enabled(m, self.aclken, platform) if self.clock_enable else m

    def _last(self, m: Module, name: str, beats: int, stream: Any) -> Any:
        """Whether the beat at ``stream`` is the last of its frame."""
        if beats == 1:
            return Const(1)
        beat, last = Signal(range(beats), name=name), Signal(name=f"{name}_is_last")
        m.d.comb += last.eq(beat == beats - 1)
        with m.If(stream.valid & stream.ready):
            m.d.sync += beat.eq(Mux(last, 0, beat + 1))
        return last

    def _parallel(self, m: Module, last: Any) -> tuple[Any, Any]:
        """Streams of the frames that come and leave."""
        source, sink = self.core.i, self.core.o
        m.d.comb += [
            source.payload.eq(Cat(getattr(self, f"in_{k}") for k in range(len(self.inputs)))),
            source.valid.eq(self.in_valid),
            self.in_ready.eq(source.ready),
            Cat(getattr(self, f"out_{k}") for k in range(len(self.outputs))).eq(sink.payload),
            self.out_valid.eq(sink.valid),
            self.out_last.eq(last),
            sink.ready.eq(self.out_ready),
        ]
        return source, (sink.valid & sink.ready & last)

    def _axi_stream(self, m: Module, last: Any) -> tuple[Any, Any]:
        in_width, out_width = sum(self.inputs), sum(self.outputs)
        m.submodules.input_slice = source = RegisterSlice(in_width)
        # One more bit than the payload: TLAST travels with its beat.
        m.submodules.output_slice = sink = RegisterSlice(out_width + 1)
        wiring.connect(m, source.o, self.core.i)
        m.d.comb += [
            source.i.payload.eq(self.s_axis_tdata[:in_width]),
            source.i.valid.eq(self.s_axis_tvalid),
            self.s_axis_tready.eq(source.i.ready),
            sink.i.payload[:out_width].eq(self.core.o.payload),
            sink.i.payload[out_width].eq(last),
            sink.i.valid.eq(self.core.o.valid),
            self.core.o.ready.eq(sink.i.ready),
            self.m_axis_tdata.eq(sink.o.payload[:out_width]),
            self.m_axis_tlast.eq(sink.o.payload[out_width]),
            self.m_axis_tvalid.eq(sink.o.valid),
            sink.o.ready.eq(self.m_axis_tready),
        ]
        return source.i, (sink.o.valid & sink.o.ready & self.m_axis_tlast)

    def _status(self, m: Module, came: Any, left: Any) -> None:
        assert self.status is not None and self.network is not None
        m.submodules.status = status = self.status
        for name, member in status.signature.members.items():
            if name != "values":
                pin, port = getattr(self, f"s_axi_{name}"), getattr(status, name)
                m.d.comb += port.eq(pin) if member.flow is wiring.In else pin.eq(port)
        last = self._last(m, "input_beat", self.in_beats, came)
        frames_in, frames_out, inside = Signal(32), Signal(32), Signal()
        moves = came.valid & came.ready
        with m.If(moves):
            m.d.sync += inside.eq(~last)
        with m.If(moves & last):
            m.d.sync += frames_in.eq(frames_in + 1)
        with m.If(left):
            m.d.sync += frames_out.eq(frames_out + 1)
        idle = ~inside & (frames_in == frames_out)
        words = (IDENT, self.network, idle, frames_in, frames_out)
        m.d.comb += [value.eq(word) for value, word in zip(status.values, words, strict=True)]
