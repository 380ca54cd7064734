"""The rewritten expressions mean what Amaranth's own Verilog means, on random logic of mixed widths and signs."""

from __future__ import annotations

import random

import numpy as np
import pytest
from amaranth.back import verilog
from amaranth.hdl import Cat, Module, Mux, Signal, signed, unsigned
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from qcompile.errors import CompileError
from qcompile.verify import verilator
from qcompile_hdl import NetworkTop, to_verilog

BITS = 48
OPERATORS = [
    lambda a, b, c: a + b,
    lambda a, b, c: a - b,
    lambda a, b, c: ~a,
    lambda a, b, c: a & b,
    lambda a, b, c: a | ~b,
    lambda a, b, c: a ^ b,
    lambda a, b, c: a == b,
    lambda a, b, c: a < b,
    lambda a, b, c: ~(a >= b) & ~(b == c),
    lambda a, b, c: ~((a != b) | c.any()),
    lambda a, b, c: Mux(a > b, a - b, c + 1),
    lambda a, b, c: Mux(~(a == 3), ~b, Mux(c < a, b, c)),
    lambda a, b, c: (a + b)[: max(1, len(a) - 1)],
    lambda a, b, c: Cat(a, ~b)[:11],
    lambda a, b, c: a.all() ^ ~b.any(),
    lambda a, b, c: (a << 2) + b,
    lambda a, b, c: a >> 2,
]


class RandomLogic(wiring.Component):
    """Named signals and registers computed from bits of the input by random operators."""

    def __init__(self, seed):
        self.seed = seed
        super().__init__({"i": In(stream.Signature(BITS)), "o": Out(stream.Signature(BITS))})

    def elaborate(self, platform):
        m = Module()
        rng = random.Random(self.seed)
        values = []
        for k in range(8):
            low = rng.randrange(BITS - 9)
            bits = self.i.payload[low : low + rng.randrange(1, 9)]
            values.append(bits.as_signed() if k % 3 == 0 else bits)

        def pick():
            return rng.choice(values[-14:])

        for k in range(60):
            a, b, c = pick(), pick(), pick()
            made = rng.choice(OPERATORS)(a, b, c)
            width = min(len(made), 12)
            shape = signed(width) if rng.random() < 0.3 else unsigned(width)
            # Half of the values have no name in the source, so that they become numbered wires.
            if rng.random() < 0.5 and len(made) <= 12:
                values.append(made)
                continue
            named = Signal(shape, name=f"value_{k}")
            m.d.comb += named.eq(made)
            values.append(named)
        result = Signal(BITS)
        valid = Signal()
        moves = Signal()
        m.d.comb += [
            moves.eq(~valid | self.o.ready),
            self.i.ready.eq(moves),
            self.o.valid.eq(valid),
            self.o.payload.eq(result),
        ]
        with m.If(moves):
            m.d.sync += valid.eq(self.i.valid)
            with m.If(values[-1].any()):
                m.d.sync += result.eq(Cat(values[8:])[:BITS] ^ Cat(values[-12:]))
            with m.Elif(values[-2] == values[-3]):
                m.d.sync += result.eq(result + Cat(values[-9:]))
        return m


@pytest.mark.parametrize("seed", [100, 101, 102])
def test_random_logic_means_the_same_as_in_amaranths_own_verilog(seed):
    try:
        verilator.find_verilator()
        verilator.find_compiler()
    except CompileError as error:
        pytest.skip(str(error))

    def top():
        return NetworkTop(RandomLogic(seed), inputs=[BITS], outputs=[BITS], in_beats=1, out_beats=1)

    inputs = np.random.default_rng(seed).integers(0, 256, (3000, 1, BITS // 8), dtype=np.uint8)
    outputs = []
    for text in (to_verilog(top()), verilog.convert(top(), "top", emit_src=False)):
        design = verilator.build({"top.v": text}, "top", in_width=BITS, out_width=BITS)
        outputs.append(design.run(inputs, out_beats=1, frames=3000, stall=0.1).outputs)
    assert (outputs[0] == outputs[1]).all()
    assert len(np.unique(outputs[0])) > 20
