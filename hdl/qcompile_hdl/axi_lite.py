"""Read-only registers behind AXI4-Lite."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, unsigned
from amaranth.lib.wiring import In, Out

from .component import Component


def address_bits(registers: int) -> int:
    """Width of a byte address among ``registers`` words of 32 bits."""
    return 2 + max(1, (registers - 1).bit_length())


class AxiLiteStatus(Component):
    """An AXI4-Lite slave of 32 bits: word k of the address space is input ``values[k]``.

    A read answers one cycle after its address, with the value of that cycle; addresses beyond the last word read 0.
    Writes are acknowledged and change nothing. The pins are called as in AXI4, in small letters.
    """

    def __init__(self, registers: int) -> None:
        address = unsigned(address_bits(registers))
        super().__init__(
            {
                "values": In(32).array(registers),
                "araddr": In(address),
                "arvalid": In(1),
                "arready": Out(1),
                "rdata": Out(32),
                "rresp": Out(2),
                "rvalid": Out(1),
                "rready": In(1),
                "awaddr": In(address),
                "awvalid": In(1),
                "awready": Out(1),
                "wdata": In(32),
                "wstrb": In(4),
                "wvalid": In(1),
                "wready": Out(1),
                "bresp": Out(2),
                "bvalid": Out(1),
                "bready": In(1),
            }
        )
        self.registers = registers

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        word: Any = Const(0, 32)
        for k in range(self.registers):
            word = Mux(self.araddr[2:] == k, self.values[k], word)
        m.d.comb += self.arready.eq(~self.rvalid)
        with m.If(self.arvalid & self.arready):
            m.d.sync += [self.rdata.eq(word), self.rvalid.eq(1)]
        with m.Elif(self.rready):
            m.d.sync += self.rvalid.eq(0)
        # Address and data of a write are taken together.
        taken = self.awvalid & self.wvalid & ~self.bvalid
        m.d.comb += Cat(self.awready, self.wready).eq(Cat(taken, taken))
        with m.If(taken):
            m.d.sync += self.bvalid.eq(1)
        with m.Elif(self.bready):
            m.d.sync += self.bvalid.eq(0)
        return m
