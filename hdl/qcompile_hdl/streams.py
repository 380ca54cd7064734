"""Register slice, fork and join of valid/ready streams."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal, unsigned
from amaranth.lib import stream
from amaranth.lib.wiring import In, Out

from ._check import positive
from .component import Component


class RegisterSlice(Component):
    """Skid buffer: cuts every combinational path between both sides, full throughput. Holds up to two beats.

    A beat is valid at ``o`` one cycle after it was accepted at ``i``.
    """

    def __init__(self, width: int) -> None:
        positive(width=width)
        super().__init__({"i": In(stream.Signature(unsigned(width))), "o": Out(stream.Signature(unsigned(width)))})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        skid = Signal.like(self.i.payload, name="skid", reset_less=True)
        # Only the valid flags need a reset.
        held = Signal.like(self.i.payload, name="held", reset_less=True)
        skid_valid = Signal()
        moves = Signal()
        m.d.comb += [
            self.o.payload.eq(held),
            self.i.ready.eq(~skid_valid),
            moves.eq(~self.o.valid | self.o.ready),
        ]
        with m.If(moves):
            m.d.sync += [
                self.o.valid.eq(self.i.valid | skid_valid),
                held.eq(Mux(skid_valid, skid, self.i.payload)),
                skid_valid.eq(0),
            ]
        with m.Elif(self.i.valid & ~skid_valid):
            m.d.sync += [skid.eq(self.i.payload), skid_valid.eq(1)]
        return m


class Fork(Component):
    """Copies ``i`` to every stream of the array ``o``; no latency.

    Eager: each consumer takes the beat when it is ready, whether or not the others are, so that none waits
    for another longer than one beat. The beat leaves ``i`` in the cycle in which the last consumer takes it.
    """

    def __init__(self, width: int, consumers: int) -> None:
        positive(width=width, consumers=consumers)
        self.consumers = consumers
        signature = stream.Signature(unsigned(width))
        super().__init__({"i": In(signature), "o": Out(signature).array(consumers)})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        # Set for consumers that already have the beat that still waits at `i`.
        taken = Signal(self.consumers)
        satisfied = Signal(self.consumers)
        for k in range(self.consumers):
            m.d.comb += [
                self.o[k].payload.eq(self.i.payload),
                self.o[k].valid.eq(self.i.valid & ~taken[k]),
                satisfied[k].eq(taken[k] | self.o[k].ready),
            ]
        m.d.comb += self.i.ready.eq(satisfied.all())
        with m.If(self.i.valid):
            m.d.sync += taken.eq(Mux(self.i.ready, 0, satisfied))
        return m


class Join(Component):
    """One beat of every stream of the array ``i`` becomes one beat of ``o``, ``i[0]`` lowest; no latency."""

    def __init__(self, widths: list[int]) -> None:
        for k, width in enumerate(widths):
            positive(**{f"widths[{k}]": width})
        positive(inputs=len(widths))
        self.inputs = len(widths)
        members: dict[str, Any] = {f"i{k}": In(stream.Signature(unsigned(w))) for k, w in enumerate(widths)}
        members["o"] = Out(stream.Signature(unsigned(sum(widths))))
        super().__init__(members)

    @property
    def i(self) -> list[Any]:
        """The inputs as a list; the ports are ``i0``, ``i1``, … because their widths may differ."""
        return [getattr(self, f"i{k}") for k in range(self.inputs)]

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.d.comb += [
            self.o.payload.eq(Cat(i.payload for i in self.i)),
            self.o.valid.eq(Cat(i.valid for i in self.i).all()),
        ]
        for i in self.i:
            m.d.comb += i.ready.eq(self.o.valid & self.o.ready)
        return m
