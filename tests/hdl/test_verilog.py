"""The Verilog of a network-like top: the same bits in Verilator, clean, readable, the same text every time."""

from __future__ import annotations

import re

import numpy as np
import pytest
from amaranth.hdl import ClockSignal, Instance, Module
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from qcompile.errors import CompileError
from qcompile.verify import verilator
from qcompile_hdl import (
    Accumulate,
    Collect,
    Distribute,
    Fork,
    Join,
    Lane,
    NetworkTop,
    RegisterSlice,
    StallPipeline,
    StreamFifo,
    Window,
    to_verilog,
)

HEIGHT, WIDTH = 5, 6
DATAPATH = """
module fold_window(input clk, input enable, input [71:0] x, output reg [7:0] y);
  always @(posedge clk)
    if (enable)
      y <= x[7:0] ^ x[15:8] ^ x[23:16] ^ x[31:24] ^ x[39:32] ^ x[47:40] ^ x[55:48] ^ x[63:56] ^ x[71:64];
endmodule
"""


class Everything(wiring.Component):
    """Every component in one chain: per frame the sum of the folded 3x3 windows, each counted twice."""

    def __init__(self):
        super().__init__({"i": In(stream.Signature(8)), "o": Out(stream.Signature(13))})

    def elaborate(self, platform):
        m = Module()
        chain = {
            "window": Window(8, HEIGHT, WIDTH, (3, 3), pads=(1, 1, 1, 1), pad_beat=3),
            "pipeline": StallPipeline(1, 72, 8),
            "long_fifo": StreamFifo(8, 70),
            "short_fifo": StreamFifo(8, 5),
            "fork": Fork(8, 2),
            "delay": RegisterSlice(8),
            "branch_fifo": StreamFifo(8, 3),
            "join": Join([8, 8]),
            "split": Distribute(8, 2),
            "gather": Collect(8, 4),
            "split_again": Distribute(8, 4),
            "gather_single": Collect(8, 1),
            "total": Accumulate([Lane(8, True, 13)], 2 * HEIGHT * WIDTH),
        }
        for name, component in chain.items():
            m.submodules[name] = component
        c = type("Chain", (), chain)
        m.submodules.fold_window = Instance(
            "fold_window", i_clk=ClockSignal(), i_enable=c.pipeline.enable, i_x=c.pipeline.x, o_y=c.pipeline.y
        )
        for source, sink in [
            (wiring.flipped(self.i), c.window.i),
            (c.window.o, c.pipeline.i),
            (c.pipeline.o, c.long_fifo.i),
            (c.long_fifo.o, c.short_fifo.i),
            (c.short_fifo.o, c.fork.i),
            (c.fork.o[0], c.delay.i),
            (c.fork.o[1], c.branch_fifo.i),
            (c.delay.o, c.join.i[0]),
            (c.branch_fifo.o, c.join.i[1]),
            (c.join.o, c.split.i),
            (c.split.o, c.gather.i),
            (c.gather.o, c.split_again.i),
            (c.split_again.o, c.gather_single.i),
            (c.gather_single.o, c.total.i),
            (c.total.o, wiring.flipped(self.o)),
        ]:
            wiring.connect(m, source, sink)
        return m


def everything(**options):
    top = NetworkTop(Everything(), inputs=[8], outputs=[13], in_beats=1, out_beats=1, core_name="network")
    return to_verilog(top, "top", **options)


def expected(frames):
    sums = []
    for frame in frames.reshape(-1, HEIGHT, WIDTH).astype(np.int64):
        image = np.pad(frame, 1, constant_values=3)
        folded = [
            np.bitwise_xor.reduce(image[y : y + 3, x : x + 3].ravel()) for y in range(HEIGHT) for x in range(WIDTH)
        ]
        sums.append(sum(2 * ((int(f) ^ 128) - 128) for f in folded) % 2**13)
    return sums


@pytest.fixture(scope="module")
def text():
    return everything(comments={"top_network": "all components\n\nbetween two pins", "top_network_window": "3x3"})


@pytest.fixture
def simulate(text):
    try:
        verilator.find_verilator()
        verilator.find_compiler()
    except CompileError as error:
        pytest.skip(str(error))
    sources = {"top.v": text, "fold_window.v": DATAPATH}
    return lambda: (verilator.build(sources, "top", in_width=8, out_width=16), verilator.lint(sources, "top"))


def test_the_verilog_computes_what_the_components_promise(simulate):
    design, _ = simulate()
    frames = np.random.default_rng(5).integers(0, 256, (200, HEIGHT * WIDTH, 1), dtype=np.uint8)
    for stall, seed in [(0.0, 0), (0.3, 1), (0.7, 2)]:
        run = design.run(frames, out_beats=1, frames=200, stall=stall, seed=seed)
        assert run.outputs.view("<u2").ravel().tolist() == expected(frames)
        assert run.tlast_ok


def test_the_verilog_is_free_of_lint(simulate):
    assert simulate()[1] == []


def test_the_verilog_is_the_same_every_time(text):
    again = everything(comments={"top_network": "all components\n\nbetween two pins", "top_network_window": "3x3"})
    assert again == text


def test_the_verilog_has_plain_names_and_no_traces_of_its_making(text):
    for noise in ("\\", "(*", "Generated", "Yosys", "/home", "'hx", ".py"):
        assert noise not in text
    assert set(re.findall(r"\$\w+", text)) <= {"$signed"}
    assert "module top (" in text
    assert "top_network_window window (" in text


def test_streams_are_called_as_the_component_that_owns_them_calls_them(text):
    assert "__" not in text
    streams = [f"{stream}_{signal}" for stream in "io" for signal in ("payload", "ready", "valid")]
    for module in ("top_network", "top_network_gather", "top_network_total"):
        header = text[text.index(f"module {module} (") :].partition(");")[0]
        assert re.findall(r"[io]_\w+", header) == streams
    assert ".y(fold_window_y)" in text


def test_comments_stand_above_their_modules(text):
    assert "// all components\n//\n// between two pins\nmodule top_network (\n" in text
    assert "// 3x3\nmodule top_network_window (\n" in text


def test_a_comment_for_an_unknown_module_raises():
    with pytest.raises(ValueError, match=r"no module conv_1; there are top$"):
        to_verilog(RegisterSlice(8), "top", comments={"conv_1": "?"})


def test_the_pins_come_in_order_with_their_widths(text):
    header = text[text.index("module top (") : text.index(");")]
    assert re.findall(r"(input|output) +(?:wire|reg) +(?:(\[.*?\]) )?(\w+)", header) == [
        ("input", "", "aclk"),
        ("input", "", "aresetn"),
        ("input", "[7:0]", "s_axis_tdata"),
        ("input", "", "s_axis_tlast"),
        ("output", "", "s_axis_tready"),
        ("input", "", "s_axis_tvalid"),
        ("output", "[15:0]", "m_axis_tdata"),
        ("output", "", "m_axis_tlast"),
        ("input", "", "m_axis_tready"),
        ("output", "", "m_axis_tvalid"),
    ]


@pytest.mark.parametrize("in_width", [1, 7, 8, 9, 100])
def test_tdata_is_padded_to_bytes_and_tlast_marks_the_last_beat(in_width, simulate):
    top = NetworkTop(RegisterSlice(in_width), inputs=[in_width], outputs=[in_width], in_beats=1, out_beats=3)
    pins = -(-in_width // 8) * 8
    design = verilator.build({"top.v": to_verilog(top)}, "top", in_width=pins, out_width=pins)
    inputs = np.random.default_rng(in_width).integers(0, 256, (9, 3, pins // 8), dtype=np.uint8)
    run = design.run(inputs, out_beats=3, frames=9)
    kept = inputs.copy()
    if in_width % 8:
        kept[..., -1] &= (1 << in_width % 8) - 1
    assert (run.outputs == kept).all()
    assert run.tlast_ok
