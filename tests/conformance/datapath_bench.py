"""All datapath cases in one module: each twice, without registers and across three stages of registers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from datapath_cases import Case, evaluate

from qcompile.backends.verilog import render_datapath, render_three_input_adder
from qcompile.ir import datapath
from qcompile.ir.graph import Graph, Node
from qcompile.ir.hardware import Stream
from qcompile.schedule import Datapath
from qcompile.verify.vectors import pack, unpack
from qcompile.verify.verilator import build

STAGES = 3
ADDER = "cases_add_three"

# Both circuits see the same beats; the combinational result waits as long as the other one takes.
TOP = """
module cases (
  input  wire aclk,
  input  wire aresetn,
  input  wire [{in_top}:0] s_axis_tdata,
  input  wire s_axis_tvalid,
  output wire s_axis_tready,
  input  wire s_axis_tlast,
  output wire [{out_top}:0] m_axis_tdata,
  output wire m_axis_tvalid,
  input  wire m_axis_tready,
  output wire m_axis_tlast
);
  reg [2:0] held;
  reg [{y_top}:0] plain_1, plain_2, plain_3;
  wire [{y_top}:0] plain, staged;
  wire enable = !held[2] || m_axis_tready;
  assign s_axis_tready = enable;
  assign m_axis_tvalid = held[2];
  assign m_axis_tlast = 1'b1;
  assign m_axis_tdata = {{{{{spare}{{1'b0}}}}, staged, plain_3}};
  cases_plain p (.clk(aclk), .enable(enable), .x(s_axis_tdata[{x_top}:0]), .y(plain));
  cases_staged s (.clk(aclk), .enable(enable), .x(s_axis_tdata[{x_top}:0]), .y(staged));
  always @(posedge aclk)
    if (!aresetn) held <= 0;
    else if (enable) begin
      held <= {{held[1:0], s_axis_tvalid}};
      plain_1 <= plain;
      plain_2 <= plain_1;
      plain_3 <= plain_2;
    end
endmodule
"""


@dataclass(frozen=True)
class Outcome:
    """Per case the results in all its rows: by definition, and of both circuits."""

    wanted: list[npt.NDArray[np.int64]]
    combinational: list[npt.NDArray[np.int64]]
    pipelined: list[npt.NDArray[np.int64]]

    def wrong(self) -> list[int]:
        """The cases in which a circuit differs from the definition."""
        return [
            k
            for k, wanted in enumerate(self.wanted)
            if (self.combinational[k] != wanted).any() or (self.pipelined[k] != wanted).any()
        ]


def simulate(cases: Sequence[Case], adder: str = "") -> Outcome:
    """One Verilator build; the cases' operands travel side by side. ``adder``: another text of the module ADDER."""
    graph = case_graph(cases)
    rows = max(len(case.inputs) for case in cases)
    lanes = [[case.inputs[r % len(case.inputs)] for r in range(rows)] for case in cases]
    wanted = [np.array([evaluate(case, row) for row in values]) for case, values in zip(cases, lanes, strict=True)]
    source = Stream(1, tuple(node.op.span for node in graph.nodes if isinstance(node.op, datapath.Input)))
    result = Stream(1, tuple(graph.types[name] for name in graph.outputs))
    both = Stream(1, result.lanes * 2)
    in_bits, out_bits = (-(-stream.width // 8) * 8 for stream in (source, both))
    top = TOP.format(
        in_top=in_bits - 1,
        out_top=out_bits - 1,
        x_top=source.width - 1,
        y_top=result.width - 1,
        # One bit at least: Verilog has no replication by zero, and the pin cuts off what is too much.
        spare=max(1, out_bits - both.width),
    )
    files = {"cases.v": top, **rendered(graph)}
    if adder:
        files[f"{ADDER}.v"] = adder
    simulator = build(files, "cases", in_width=in_bits, out_width=out_bits)
    beats = pack(np.concatenate([np.array(v, np.int64).reshape(rows, -1) for v in lanes], axis=1), source)
    run = simulator.run(beats, out_beats=1, frames=rows, seed=3)
    found = unpack(run.outputs, both)[:, 0].T
    return Outcome(wanted, list(found[: len(cases)]), list(found[len(cases) :]))


def rendered(graph: Graph) -> dict[str, str]:
    """The graph without registers, and with its operations in each of the stages in turn."""
    stages = (0 if isinstance(node.op, datapath.Input) else k % STAGES for k, node in enumerate(graph.nodes))
    plain = Datapath(graph, (0,) * len(graph.nodes), 0)
    staged = Datapath(graph, tuple(stages), STAGES)
    return {
        "cases_plain.v": render_datapath("cases_plain", plain, "All cases.", ADDER),
        "cases_staged.v": render_datapath("cases_staged", staged, "All cases, operands and results registered.", ADDER),
        f"{ADDER}.v": render_three_input_adder(ADDER, "CARRY8"),
    }


def case_graph(cases: Sequence[Case]) -> Graph:
    """Every case on inputs of its own; one output each."""
    nodes: list[Node] = []
    outputs: list[str] = []
    for place, case in enumerate(cases):
        names = [f"a{place}_{k}" for k in range(len(case.lanes))]
        for name, span in zip(names, case.lanes, strict=True):
            nodes.append(Node(name, datapath.Input(0, len(nodes), span)))
        if isinstance(case.op, datapath.Input):
            outputs.append(names[0])
            continue
        nodes.append(Node(f"y{place}", case.op, tuple(names[k] for k in case.operands)))
        outputs.append(f"y{place}")
    return Graph(datapath.DATAPATH, "cases", tuple(nodes), tuple(outputs))
