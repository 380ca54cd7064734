"""A network's AXI4-Stream pins behind a serial line: a host sends a sample and reads the result."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from amaranth.hdl import Cat, ClockSignal, Const, Instance, Module, Mux, ResetSignal, Signal, signed, unsigned
from amaranth.lib import stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from ._check import positive
from ._counter import counter
from .component import Component
from .uart import UartReceiver, UartTransmitter

CLASS_BYTES = 2


class SampleBuffer(Component):
    """``beats`` beats of ``beat_bytes`` bytes, first written byte by byte, then sent as stream ``o``; again and again.

    Bytes come lowest first and cannot be stalled, so nothing is sent before the whole sample is there, and bytes that
    come while it is sent are dropped. ``pause`` cycles without a byte drop an unfinished sample, so that a host
    that lost count is in step again after waiting.
    """

    def __init__(self, beats: int, beat_bytes: int, pause: int) -> None:
        positive(beats=beats, beat_bytes=beat_bytes, pause=pause)
        self.beats = beats
        self.beat_bytes = beat_bytes
        self.pause = pause
        super().__init__({"byte": In(8), "valid": In(1), "o": Out(stream.Signature(unsigned(8 * beat_bytes)))})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        size = self.beats * self.beat_bytes
        m.submodules.sample = memory = Memory(shape=unsigned(8), depth=size, init=[])
        write, read = memory.write_port(), memory.read_port()
        sending = Signal()
        place = Signal(range(size))
        silence = Signal(range(self.pause))
        last = Signal()
        m.d.comb += [
            last.eq(place == size - 1),
            write.addr.eq(place),
            write.data.eq(self.byte),
            write.en.eq(self.valid & ~sending),
            read.addr.eq(place),
        ]
        # Sending: the memory answers, the byte is gathered, and a whole beat is offered.
        fetched = Signal()
        gather = Signal()
        whole = Signal()
        beat = Signal(8 * self.beat_bytes, reset_less=True)
        _, last_of_beat = counter(m, "byte_of_beat", self.beat_bytes, gather)
        m.d.comb += [self.o.payload.eq(beat), self.o.valid.eq(whole), gather.eq(sending & fetched & ~whole)]
        with m.If(~sending):
            m.d.sync += silence.eq(silence + 1)
            with m.If(self.valid):
                m.d.sync += [silence.eq(0), place.eq(Mux(last, 0, place + 1)), sending.eq(last)]
            with m.Elif(silence == self.pause - 1):
                m.d.sync += [silence.eq(0), place.eq(0)]
        with m.Elif(whole), m.If(self.o.ready):
            m.d.sync += [whole.eq(0), sending.eq(place != 0)]
        with m.Else():
            m.d.sync += fetched.eq(~fetched)
            with m.If(gather):
                m.d.sync += [beat.eq(Cat(beat, read.data)[8:]), place.eq(Mux(last, 0, place + 1))]
                m.d.sync += whole.eq(last_of_beat)
        return m


class LargestLane(Component):
    """The number of the largest value of ``beats`` beats, the first of several; one lane per cycle.

    ``lanes`` are a beat's values, (bits, whether signed), lowest first. ``load`` takes a beat and must be 0 while
    ``busy``. After the last lane of the last beat ``number`` stands until the next ``load``.
    """

    def __init__(self, beats: int, lanes: Sequence[tuple[int, bool]]) -> None:
        positive(beats=beats, lanes=len(lanes))
        self.beats = beats
        self.lanes = tuple(lanes)
        width = sum(bits for bits, _ in lanes)
        super().__init__({"beat": In(width), "load": In(1), "busy": Out(1), "number": Out(8 * CLASS_BYTES)})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        shape = signed(max(bits + (not sign) for bits, sign in self.lanes))
        values = [Signal(shape, name=f"value_{k}", reset_less=True) for k in range(len(self.lanes))]
        largest = Signal(shape, reset_less=True)
        place = Signal.like(self.number)
        _, last_lane = counter(m, "lane", len(self.lanes), self.busy)
        _, last_beat = counter(m, "beat", self.beats, self.busy & last_lane)
        with m.If(self.load):
            m.d.sync += self.busy.eq(1)
            low = 0
            for value, (bits, sign) in zip(values, self.lanes, strict=True):
                part = self.beat[low : low + bits]
                low += bits
                m.d.sync += value.eq(part.as_signed() if sign else part)
        with m.Elif(self.busy):
            m.d.sync += [value.eq(after) for value, after in pairwise(values)]
            m.d.sync += [self.busy.eq(~last_lane), place.eq(Mux(last_lane & last_beat, 0, place + 1))]
            with m.If((place == 0) | (values[0] > largest)):
                m.d.sync += [largest.eq(values[0]), self.number.eq(place)]
        return m


class Answer(Component):
    """The ``beats`` beats of a result as bytes, each beat lowest byte first; then, with ``lanes``, the class.

    The class is `LargestLane`'s number in two bytes, lowest first.
    """

    def __init__(self, beats: int, width: int, lanes: Sequence[tuple[int, bool]]) -> None:
        positive(beats=beats, width=width)
        if sum(bits for bits, _ in lanes) > width:
            raise ValueError(f"{len(lanes)} lanes of {sum(bits for bits, _ in lanes)} bits in a beat of {width}")
        self.beats = beats
        self.width = width
        self.lanes = tuple(lanes)
        super().__init__({"i": In(stream.Signature(unsigned(width))), "o": Out(stream.Signature(unsigned(8)))})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        size = -(-self.width // 8)
        held = Signal(8 * max(size, CLASS_BYTES), reset_less=True)
        left = Signal(range(max(size, CLASS_BYTES) + 1))
        accept = Signal()
        m.d.comb += [accept.eq(self.i.valid & self.i.ready), self.o.payload.eq(held[:8])]
        _, last_beat = counter(m, "beat", self.beats, accept)
        # Whether the bytes on their way end the result's beats, and the class follows.
        before_class = Signal()
        busy: Any = Const(0)
        number: Any = Const(0)
        if self.lanes:
            m.submodules.largest = largest = LargestLane(self.beats, self.lanes)
            busy, number = largest.busy, largest.number
            m.d.comb += [largest.beat.eq(self.i.payload), largest.load.eq(accept)]
        m.d.comb += [
            self.i.ready.eq((left == 0) & ~before_class & ~busy),
            self.o.valid.eq(left != 0),
        ]
        with m.If(accept):
            m.d.sync += [held.eq(self.i.payload), left.eq(size), before_class.eq(last_beat & bool(self.lanes))]
        with m.Elif(left != 0), m.If(self.o.ready):
            m.d.sync += [held.eq(held[8:]), left.eq(left - 1)]
        with m.Elif(before_class & ~busy):
            m.d.sync += [held.eq(number), left.eq(CLASS_BYTES), before_class.eq(0)]
        return m


class UartHost(Component):
    """Network ``module`` (a Verilog module with AXI4-Stream pins) between ``rx`` and ``tx``.

    The host sends a sample: ``in_beats`` beats of ``in_width`` bits, each padded to whole bytes, lowest byte first.
    It gets `Answer`'s bytes and then may send the next sample; what it sends earlier may be lost. ``divisor`` is
    clock cycles per bit, ``pause`` those after which an unfinished sample is forgotten.
    """

    def __init__(
        self,
        module: str,
        *,
        in_beats: int,
        in_width: int,
        out_beats: int,
        out_width: int,
        lanes: Sequence[tuple[int, bool]],
        divisor: int,
        pause: int,
    ) -> None:
        positive(in_width=in_width, out_width=out_width)
        self.module = module
        self.in_bytes = -(-in_width // 8)
        self.out_bytes = -(-out_width // 8)
        self.receiver = UartReceiver(divisor)
        self.buffer = SampleBuffer(in_beats, self.in_bytes, pause)
        self.answer = Answer(out_beats, 8 * self.out_bytes, lanes)
        self.transmitter = UartTransmitter(divisor)
        super().__init__({"rx": In(1, init=1), "tx": Out(1, init=1)})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.receiver = self.receiver
        m.submodules.buffer = self.buffer
        m.submodules.answer = self.answer
        m.submodules.transmitter = self.transmitter
        sample = self.buffer.o
        result = self.answer.i
        m.submodules.network = Instance(
            self.module,
            i_aclk=ClockSignal(),
            i_aresetn=~ResetSignal(),
            i_s_axis_tdata=sample.payload,
            i_s_axis_tvalid=sample.valid,
            o_s_axis_tready=sample.ready,
            i_s_axis_tlast=Const(0, 1),
            o_m_axis_tdata=result.payload,
            o_m_axis_tvalid=result.valid,
            i_m_axis_tready=result.ready,
            o_m_axis_tlast=Signal(name="tlast"),
        )
        wiring.connect(m, self.answer.o, self.transmitter.i)
        m.d.comb += [
            self.receiver.rx.eq(self.rx),
            self.buffer.byte.eq(self.receiver.byte),
            self.buffer.valid.eq(self.receiver.valid),
            self.tx.eq(self.transmitter.tx),
        ]
        return m
