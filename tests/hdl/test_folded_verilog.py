"""A folded binary network in Verilator: convolution, pooling, deep FIFO and sums, against NumPy."""

from __future__ import annotations

import re

import numpy as np
import pytest
from amaranth.hdl import Module
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from qcompile.errors import CompileError
from qcompile.verify import verilator
from qcompile_hdl import (
    Datapath,
    FoldedAccumulate,
    FoldedEngine,
    FoldedWindow,
    Lane,
    NetworkTop,
    StreamFifo,
    rom_verilog,
    to_verilog,
)

HEIGHT, WIDTH, CHANNELS = 6, 5, 8
SIMD, LANES = 4, 2
FOLDS, REPEATS = CHANNELS // SIMD, CHANNELS // LANES

RNG = np.random.default_rng(3)
WEIGHTS = RNG.integers(0, 2, (CHANNELS, 3, 3, CHANNELS))
THRESHOLDS = RNG.integers(30, 42, CHANNELS)

DATAPATHS = """
module agree(input clk, input enable, input [11:0] x, output [5:0] y);
  wire [3:0] a = ~(x[7:4] ^ x[3:0]), b = ~(x[11:8] ^ x[3:0]);
  reg [2:0] count_a, count_b;
  always @(posedge clk)
    if (enable) begin
      count_a <= {2'd0, a[0]} + {2'd0, a[1]} + {2'd0, a[2]} + {2'd0, a[3]};
      count_b <= {2'd0, b[0]} + {2'd0, b[1]} + {2'd0, b[2]} + {2'd0, b[3]};
    end
  assign y = {count_b, count_a};
endmodule

module compare(input clk, input enable, input [31:0] x, output reg [1:0] y);
  always @(posedge clk) if (enable) y <= {x[15:8] >= x[31:24], x[7:0] >= x[23:16]};
endmodule

// verilator lint_off UNUSEDSIGNAL
module same(input clk, input enable, input [1:0] x, output [1:0] y);
  assign y = x;
endmodule
"""


def packed(bits):
    """The last axis as ints, its first element lowest."""
    return (np.asarray(bits) << np.arange(np.shape(bits)[-1])).sum(-1)


def convolution():
    # [repeat, lane, row, column, fold, bit] to a word per (repeat, row, column, fold), lane by lane.
    weights = packed(WEIGHTS.reshape(REPEATS, LANES, 3, 3, FOLDS, SIMD))
    words = weights[:, 0] | weights[:, 1] << SIMD
    thresholds = THRESHOLDS.reshape(REPEATS, LANES)
    return FoldedEngine(
        SIMD,
        9 * FOLDS,
        REPEATS,
        partial=Datapath("agree", 1, SIMD + LANES * SIMD, 6),
        lanes=[Lane(3, False, 8)] * LANES,
        finish=Datapath("compare", 1, 32, 2),
        weights=words.ravel().tolist(),
        weight_width=LANES * SIMD,
        params=(thresholds[:, 0] | thresholds[:, 1] << 8).tolist(),
        param_width=16,
        rom_prefix="conv",
    )


def max_pool():
    lanes = [Lane(1, False, 1)] * LANES
    through = Datapath("same", 0, LANES, LANES)
    return FoldedEngine(LANES, 4, 1, REPEATS, partial=through, lanes=lanes, combine="max", finish=through)


class Network(wiring.Component):
    def __init__(self):
        positions = (HEIGHT // 2) * (WIDTH // 2)
        self.layers = {
            "window": FoldedWindow(SIMD, FOLDS, HEIGHT, WIDTH, (3, 3), pads=(1, 1, 1, 1)),
            "convolution": convolution(),
            "pool_window": FoldedWindow(LANES, REPEATS, HEIGHT, WIDTH, (2, 2), (2, 2), order="channel"),
            "pool": max_pool(),
            "fifo": StreamFifo(LANES, 700),
            "total": FoldedAccumulate([Lane(1, False, 4)] * LANES, positions, REPEATS),
        }
        super().__init__({"i": In(stream.Signature(SIMD)), "o": Out(stream.Signature(4 * LANES))})

    def elaborate(self, platform):
        m = Module()
        source = wiring.flipped(self.i)
        for name, layer in self.layers.items():
            m.submodules[name] = layer
            wiring.connect(m, source, layer.i)
            source = layer.o
        wiring.connect(m, source, wiring.flipped(self.o))
        return m


def expected(frames):
    padded = np.pad(frames, ((0, 0), (1, 1), (1, 1), (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(1, 2)).transpose(0, 1, 2, 4, 5, 3)
    agree = (windows[..., None, :, :, :] == WEIGHTS).sum((-1, -2, -3))
    bits = agree >= THRESHOLDS
    pooled = bits[:, : HEIGHT // 2 * 2, : WIDTH // 2 * 2].reshape(len(frames), HEIGHT // 2, 2, WIDTH // 2, 2, CHANNELS)
    sums = pooled.max((2, 4)).sum((1, 2)).reshape(len(frames), REPEATS, LANES)
    return sums[..., 0] | sums[..., 1] << 4


@pytest.fixture(scope="module")
def sources():
    network = Network()
    top = NetworkTop(network, inputs=[SIMD], outputs=[4 * LANES], in_beats=1, out_beats=REPEATS, core_name="network")
    return {"top.v": to_verilog(top), "datapaths.v": f"// verilator lint_off DECLFILENAME\n{DATAPATHS}"} | {
        f"{name}.v": text for name, text in network.layers["convolution"].rom_modules().items()
    }


def test_the_network_equals_numpy_and_its_slowest_layer_sets_the_pace(sources):
    try:
        verilator.find_verilator()
        verilator.find_compiler()
    except CompileError as error:
        pytest.skip(str(error))
    assert verilator.lint(sources, "top") == []
    design = verilator.build(sources, "top", in_width=8, out_width=8)
    frames = RNG.integers(0, 2, (40, HEIGHT, WIDTH, CHANNELS))
    beats = packed(frames.reshape(40, HEIGHT * WIDTH * FOLDS, 1, SIMD)).astype(np.uint8)
    for stall, seed in [(0.0, 0), (0.3, 1), (0.8, 2)]:
        run = design.run(beats, out_beats=REPEATS, frames=40, stall=stall, seed=seed)
        assert (run.outputs[..., 0] == expected(frames)).all()
        assert run.tlast_ok
        if stall == 0.0:
            assert run.ii_cycles == HEIGHT * WIDTH * 9 * FOLDS * REPEATS
    assert len(np.unique(expected(frames))) > 20


def test_no_multiplier_is_written(sources):
    for text in sources.values():
        assert "*" not in re.sub(r"@\(\*\)|\(\* \w+ = \"\w+\" \*\)", "", text)


def test_a_rom_module_has_a_line_per_word():
    text = rom_verilog("weights", [5, 0, 511], 9, "Weights of layer fc.")
    assert text.startswith(
        '// Weights of layer fc.\n(* keep_hierarchy = "yes" *)\nmodule weights (\n  input  wire clk,\n'
    )
    assert "  input  wire [1:0] address,\n  output reg  [8:0] word\n" in text
    assert "  reg [8:0] words [0:2];\n" in text
    assert "    words[0] = 9'h005;\n    words[1] = 9'h000;\n    words[2] = 9'h1ff;\n" in text


@pytest.mark.parametrize(
    ("words", "width", "block"), [(64, 300, False), (196, 6, False), (196, 36, True), (16384, 8, True)]
)
def test_a_rom_asks_for_block_ram_where_that_replaces_many_luts(words, width, block):
    text = rom_verilog("weights", [0] * words, width)
    assert ('(* rom_style = "block" *) reg' in text) == block
