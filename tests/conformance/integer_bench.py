"""Networks around one operation, all of them in one Verilator build behind one pair of pins."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt
from integer_cases import Case, Operand

from qcompile import targets
from qcompile.backends.amaranth import Rtl, emit
from qcompile.ir import hardware, integer
from qcompile.ir.array import Array
from qcompile.ir.graph import Graph, Node
from qcompile.ir.window import Window
from qcompile.lower.build import Effort
from qcompile.numerics.function import Affine
from qcompile.numerics.quantizer import Quantizer
from qcompile.passes.realize_requantize import RealizeRequantize
from qcompile.schedule import Design, schedule
from qcompile.verify.simulator import Run, Simulator
from qcompile.verify.vectors import pack, unpack
from qcompile.verify.verilator import build

Ints = npt.NDArray[Any]
UNITY = Affine((Fraction(1),), (Fraction(0),))


def source(shape: tuple[int, ...], low: int, high: int) -> Node:
    order = Array(np.arange(prod(shape)).reshape(shape))
    return Node("x", integer.Input(shape, order, UNITY, Quantizer((Fraction(1),), low=low, high=high)), (), ("image",))


def sink(name: str, graph_type: integer.IntType) -> Node:
    order = Array(np.arange(prod(graph_type.shape)).reshape(graph_type.shape))
    return Node("y", integer.Output(graph_type.shape, order, (Fraction(1),), (Fraction(0),)), (name,))


def network(name: str, nodes: Sequence[Node]) -> Graph:
    """``nodes`` between an input and an output; the last one's value leaves."""
    inner = Graph(integer.INTEGER, name, tuple(nodes), (nodes[-1].name,))
    end = sink(nodes[-1].name, inner.types[nodes[-1].name])
    return Graph(integer.INTEGER, name, (*nodes, end), ("y",)).verify()


def network_of(case: Case, pooled: bool = False) -> tuple[Graph, Ints]:
    """The one-operation network and its input codes: operands share the beats, as channels side by side.

    ``pooled``: every operand comes from a pool over single points, which changes nothing but, in the emulator, how
    images lie in memory.
    """
    bases = {operand.base for operand in case.operands}
    (base,) = bases
    shapes = [operand.shape for operand in case.operands]
    channels = sum(shape[-1] for shape in shapes)
    shape = (*shapes[0][:-1], channels)
    nodes = [source(shape, base.low, base.high)]
    names, first = [], 0
    for k, operand in enumerate(case.operands):
        name = "x"
        if len(shapes) > 1:
            order = np.arange(prod(shape)).reshape(shape)[..., first : first + operand.shape[-1]]
            name = f"part{k}"
            nodes.append(Node(name, integer.Gather(Array(order)), ("x",), (f"/split{k}",)))
        if not operand.plain:
            nodes.append(Node(f"moved{k}", _mover(operand), (name,), (f"/move{k}",)))
            name = f"moved{k}"
        if pooled:
            nodes.append(Node(f"pooled{k}", integer.MaxPool(Window((1, 1))), (name,)))
            name = f"pooled{k}"
        names.append(name)
        first += operand.shape[-1]
    if not isinstance(case.op, integer.Output):
        nodes.append(Node("z", case.op, tuple(names), (f"/{case.op.mnemonic}",)))
    return network(str(case), nodes), np.concatenate(case.bases, axis=-1)


def _mover(operand: Operand) -> integer.Rescale:
    span = operand.type.span
    channels = operand.shape[-1]
    offset, shift = (tuple(int(v) for v in np.resize(part, channels)) for part in (operand.offset, operand.shift))
    return integer.Rescale((1,), offset, shift, span.low, span.high)


@dataclass(frozen=True)
class Built:
    """Scheduled designs and the one simulation that holds them all; the lowest byte of a beat says which is meant."""

    designs: dict[str, Design]
    rtl: dict[str, Rtl]
    simulator: Simulator

    def run(self, name: str, codes: Ints, *, seed: int = 0, stall: float = 0.25) -> tuple[Ints, Run]:
        """Output codes ``[samples, beats, lanes]`` of design ``name``, and the run."""
        graph = self.designs[name].graph
        first = next(node.name for node in graph.nodes if node.op.mnemonic == "input")
        result = graph.types[graph.outputs[0]]
        payload = pack(codes, graph.types[first])
        frames, beats, width = payload.shape
        tdata = np.zeros((frames, beats, self.simulator.in_width // 8), np.uint8)
        tdata[:, :, 0] = list(self.designs).index(name)
        tdata[:, :, 1 : 1 + width] = payload
        run = self.simulator.run(tdata, out_beats=result.beats, frames=frames, seed=seed, stall=stall)
        assert run.tlast_ok
        return unpack(run.outputs[:, :, : -(-result.width // 8)], result), run


def scheduled(graph: Graph, cycles: int | None = None) -> Design:
    """Unrolled, or folded to about so many cycles a frame."""
    golden = RealizeRequantize().run(graph).verify()
    board = targets.get("ultra96")
    # A fast clock: the smallest datapaths get several stages.
    return schedule(golden, board, 2 * board.clock_mhz, Effort(0), cycles=cycles)


def with_fifos(design: Design, depth: int) -> Design:
    """The design with every FIFO of this depth, whatever it needs."""
    nodes = (
        replace(node, op=replace(node.op, depth=depth)) if isinstance(node.op, hardware.Fifo) else node
        for node in design.graph.nodes
    )
    return replace(design, graph=replace(design.graph, nodes=tuple(nodes)))


def emit_all(designs: dict[str, Design]) -> dict[str, Rtl]:
    return {name: emit(design, f"d{k}") for k, (name, design) in enumerate(designs.items())}


def build_all(designs: dict[str, Design], rtl: dict[str, Rtl] | None = None) -> Built:
    """``rtl``: what `emit_all` made of the designs, where it is there already."""
    rtl = emit_all(designs) if rtl is None else rtl
    files = {file: text for one in rtl.values() for file, text in one.files.items()}
    in_width = 8 + max(one.in_width for one in rtl.values())
    out_width = max(one.out_width for one in rtl.values())
    top = _switch(list(rtl.values()), in_width, out_width)
    simulator = build({"switch.v": top, **files}, "switch", in_width=in_width, out_width=out_width)
    return Built(designs, rtl, simulator)


def _switch(tops: Sequence[Rtl], in_width: int, out_width: int) -> str:
    """Verilog: beats go to the design that their lowest byte names; only that one ever answers."""
    count = len(tops)
    lines = [
        "module switch (input wire aclk, input wire aresetn,",
        f"  input wire [{in_width - 1}:0] s_axis_tdata, input wire s_axis_tvalid, output wire s_axis_tready,",
        f"  input wire s_axis_tlast, output wire [{out_width - 1}:0] m_axis_tdata, output wire m_axis_tvalid,",
        "  input wire m_axis_tready, output wire m_axis_tlast);",
        f"  wire [{count - 1}:0] ready, valid, last;",
    ]
    for k, rtl in enumerate(tops):
        lines += [
            f"  wire [{out_width - 1}:0] data{k};",
            f"  wire [{rtl.out_width - 1}:0] q{k};",
            f"  assign data{k} = valid[{k}] ? q{k} : 0;",
            f"  {rtl.top} top{k} (.aclk(aclk), .aresetn(aresetn), .s_axis_tdata(s_axis_tdata[{rtl.in_width + 7}:8]),",
            f"    .s_axis_tvalid(s_axis_tvalid && s_axis_tdata[7:0] == {k}), .s_axis_tready(ready[{k}]),",
            f"    .s_axis_tlast(s_axis_tlast), .m_axis_tdata(q{k}), .m_axis_tvalid(valid[{k}]),",
            f"    .m_axis_tready(m_axis_tready), .m_axis_tlast(last[{k}]));",
        ]
    lines += [
        "  assign s_axis_tready = ready[s_axis_tdata[7:0]];",
        "  assign m_axis_tvalid = |valid;",
        "  assign m_axis_tlast = |(valid & last);",
        "  assign m_axis_tdata = " + " | ".join(f"data{k}" for k in range(count)) + ";",
        "endmodule",
    ]
    return "\n".join(lines) + "\n"
