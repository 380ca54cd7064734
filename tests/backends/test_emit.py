"""The Verilog of a design: the same bytes every time, clean, free of multipliers, named after the ONNX nodes."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from integer_bench import scheduled
from integer_networks import NETWORKS

from qcompile.backends.amaranth import Rtl, emit
from qcompile.backends.verilog import render_datapath
from qcompile.errors import CompileError
from qcompile.ir.datapath import DATAPATH, AtLeast, Input, ShiftAdd
from qcompile.ir.graph import Graph, Node
from qcompile.numerics.span import Span
from qcompile.schedule import Datapath
from qcompile.verify import verilator

NAMES = ["residual", "classifier"]


@pytest.fixture(scope="module", params=[None, 300], ids=["unrolled", "folded"])
def emitted(request: pytest.FixtureRequest) -> dict[str, Rtl]:
    return {name: emit(scheduled(NETWORKS[name], request.param), name) for name in NAMES}


def code(text: str) -> str:
    """Verilog without comments, strings and attributes."""
    return re.sub(r'//[^\n]*|/\*.*?\*/|"[^"]*"|\(\* .*? \*\)', "", text, flags=re.S)


def test_the_same_design_gives_the_same_bytes(emitted: dict[str, Rtl], request: pytest.FixtureRequest) -> None:
    cycles = 300 if "folded" in request.node.name else None
    for name, rtl in emitted.items():
        assert emit(scheduled(NETWORKS[name], cycles), name) == rtl


def test_verilator_has_nothing_to_warn_of(emitted: dict[str, Rtl]) -> None:
    try:
        verilator.find_verilator()
    except CompileError as error:
        pytest.skip(str(error))
    for rtl in emitted.values():
        assert verilator.lint(rtl.files, rtl.top) == []


def test_nothing_multiplies_divides_or_takes_a_remainder(emitted: dict[str, Rtl]) -> None:
    for rtl in emitted.values():
        for file, text in rtl.files.items():
            # A sensitivity list may be a star.
            assert re.findall(r"[*/%]", code(text).replace("@*", "").replace("@(*)", "")) == [], file


def test_modules_are_named_after_the_nodes_and_say_which_they_implement(emitted: dict[str, Rtl]) -> None:
    for name, rtl in emitted.items():
        everything = "\n".join(rtl.files.values())
        modules = re.findall(r"^module (\w+)", everything, re.M)
        assert len(set(modules)) == len(modules)
        assert all(module == name or module.startswith(f"{name}_") for module in modules)
        for node in NETWORKS[name].nodes:
            for origin in node.origin:
                if origin != "/r2" and node.op.mnemonic != "input":
                    assert re.search(rf"^// .*{origin}\b", everything, re.M), origin
        convolution = "c1" if name == "residual" else "c"
        assert any(module.startswith(f"{name}_core_{convolution}") for module in modules)


def test_every_file_is_ascii_and_holds_the_module_of_its_name(emitted: dict[str, Rtl]) -> None:
    for rtl in emitted.values():
        assert f"{rtl.top}.v" in rtl.files
        for file, text in rtl.files.items():
            assert text.isascii() and text.endswith("\n")
            assert re.search(rf"^module {file.removesuffix('.v')}\b", text, re.M)


def test_widths_of_the_pins_are_whole_bytes(emitted: dict[str, Rtl]) -> None:
    for rtl in emitted.values():
        head = rtl.files[f"{rtl.top}.v"]
        assert (rtl.in_width % 8, rtl.out_width % 8) == (0, 0)
        assert re.search(rf"input\s+(wire )?\[{rtl.in_width - 1}:0\] s_axis_tdata", head)
        assert re.search(rf"output\s+(wire |reg )?\[{rtl.out_width - 1}:0\] m_axis_tdata", head)


def test_a_datapath_reads_like_its_arithmetic() -> None:
    nodes = (
        Node("a", Input(0, 0, Span(-8, 7))),
        Node("b", Input(0, 1, Span(0, 3))),
        Node("sum_0", ShiftAdd(0, 2, True), ("a", "b")),
        Node("reached_0", AtLeast(-3), ("sum_0",)),
    )
    graph = Graph(DATAPATH, "d", nodes, ("sum_0", "reached_0")).verify()
    text = render_datapath("layer_datapath", Datapath(graph, (0, 0, 0, 1), 2), "Datapath of layer l.\nEngine: e (r).")
    assert text.startswith("// Datapath of layer l.\n// Engine: e (r).\n")
    assert "// a - 4 b\n" in text
    assert "wire signed [5:0] sum_0 = " in text
    assert "reg signed [5:0] sum_0_s1;" in text and "reg signed [5:0] sum_0_s2;" in text
    assert "wire reached_0 = sum_0_s1 >= " in text
    combinational = render_datapath("l", replace(Datapath(graph, (0, 0, 0, 0), 0)), "")
    assert "reg " not in combinational
