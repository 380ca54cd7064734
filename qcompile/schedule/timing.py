"""Delays of datapath operations, and the pipelining that follows from them."""

from __future__ import annotations

from collections.abc import Collection
from math import ceil, log2

from qcompile import arith
from qcompile.ir import datapath
from qcompile.ir.graph import Graph, Node
from qcompile.numerics.span import Span
from qcompile.schedule.design import Datapath
from qcompile.targets import DelayModel


def delay_ns(node: Node, operands: list[Span], result: Span, model: DelayModel) -> float:
    """Estimated delay of one operation, its routing included."""
    widest = max([result.width, *(o.width for o in operands)])
    if result.size == 1:
        return 0.0
    match node.op:
        case datapath.ShiftAdd() if node.op.disjoint(operands[0], operands[1]):
            return 0.0
        case datapath.AddCarry():
            return model.adder_ns(result.width)
        case datapath.ShiftAdd() | datapath.AddConstant() | datapath.Negate() | datapath.RoundEven():
            return model.adder_ns(result.width)
        case datapath.AddThree():
            return model.three_input_adder_ns(result.width)
        case datapath.RoundSignificand():
            return model.adder_ns(widest) + model.logic_ns(3)
        case datapath.AtLeast() | datapath.Greater():
            return model.adder_ns(widest)
        case datapath.Maximum():
            return model.adder_ns(widest) + model.logic_ns()
        case datapath.Clamp():
            return model.logic_ns(2)
        case datapath.Xnor() if min(span.size for span in operands) == 1:
            return 0.0
        case datapath.SignedShift():
            return model.logic_ns(model.digit_levels + max(0, len(operands) - 4))
        case datapath.Select() | datapath.Xnor():
            return model.logic_ns()
        case datapath.BoothDigit():
            return model.logic_ns(model.digit_levels)
        case datapath.CountOnes():
            # Six bits are two levels (in 7.3 ns with its register on ECP5, docs/timing.md); more of them a tree.
            levels = model.digit_levels + (len(operands) > 3)
            return model.logic_ns(levels + 2 * max(0, ceil(log2(len(operands) / 6))))
        case datapath.Lookup():
            return model.logic_ns(max(1, ceil((operands[0].width - 4) / 2)))
    return 0.0


def delays_ns(graph: Graph, model: DelayModel, late: Collection[int] = ()) -> list[float]:
    """The delay of every node; a lane of a stream in ``late`` comes straight from block RAM."""
    types = graph.types
    return [
        model.memory_ns - model.register_ns
        if isinstance(n.op, datapath.Input) and n.op.stream in late
        else delay_ns(n, [types[i] for i in n.inputs], types[n.name], model)
        for n in graph.nodes
    ]


def pipeline(graph: Graph, model: DelayModel, clock_mhz: float, late: Collection[int] = ()) -> Datapath:
    """``graph`` with registers so that no stage exceeds the clock period (by the target's delay model).

    ``late`` are the input streams that come straight from block RAM. An operation slower than the period gets a stage
    of its own: place and route decides whether it holds.
    """
    position = {node.name: k for k, node in enumerate(graph.nodes)}
    types = graph.types
    operands = [[position[i] for i in node.inputs] for node in graph.nodes]
    widths = [types[node.name].width if types[node.name].size > 1 else 0 for node in graph.nodes]
    delays = delays_ns(graph, model, late)
    if not any(delays):
        return Datapath(graph, (0,) * len(graph.nodes), 0)
    period = max(model.budget_ns(clock_mhz), *delays)
    stages = arith.assign_stages(operands, widths, delays, period=period)
    return Datapath(graph, tuple(stages), max(stages) + 1, arith.longest_path(operands, delays, stages))
