"""Where adders of three operands are made, and where not; no stage changes, and none gets slower than its period."""

from __future__ import annotations

import pytest

from qcompile import targets
from qcompile.ir.datapath import (
    DATAPATH,
    AddConstant,
    AddThree,
    AtLeast,
    BoothDigit,
    Input,
    Maximum,
    ShiftAdd,
    ShiftRight,
)
from qcompile.ir.graph import Graph, Node
from qcompile.numerics.span import Span
from qcompile.schedule import Datapath
from qcompile.schedule.three_input import fuse_adders
from qcompile.schedule.timing import pipeline

ULTRA96 = targets.get("ultra96")
BYTE = Span(-128, 127)


def _fused(nodes: list[Node], outputs: tuple[str, ...], stages: list[int], target: str = "ultra96") -> Datapath:
    lanes = [Node(name, Input(0, k, BYTE)) for k, name in enumerate("abcd")]
    graph = Graph(DATAPATH, "sums", (*lanes, *nodes), outputs)
    path = Datapath(graph, (0, 0, 0, 0, *stages), max(stages) + 1, 3.0)
    return fuse_adders(path, targets.get(target), 200.0)


INNER = Node("u", ShiftAdd(0, 1, True), ("a", "b"), ("/u",))
OUTER = Node("v", ShiftAdd(0, 2, True), ("c", "u"), ("/v",))


def test_two_adders_before_a_register_become_one() -> None:
    path = _fused([INNER, OUTER], ("v",), [0, 0])
    (three,) = [n for n in path.graph.nodes if isinstance(n.op, AddThree)]
    # c - 4 (a - 2 b) = c + 8 b - 4 a
    span = Span(-128 - 4 * 383, 127 + 4 * 382 + 3)
    assert (three.name, three.inputs, three.origin) == ("v", ("c", "b", "a"), ("/u", "/v"))
    assert isinstance(three.op, AddThree) and (three.op.shifts, three.op.subtracted) == ((0, 3, 2), 1)
    assert span.holds(path.graph.types["v"])
    assert (path.latency, path.adders) == (1, 2)
    assert path.longest_ns == pytest.approx(ULTRA96.delay.three_input_adder_ns(path.graph.types["v"].width))


def test_a_constant_is_an_operand() -> None:
    path = _fused([INNER, Node("v", AddConstant(-77), ("u",))], ("v",), [0, 0])
    three = path.graph.by_name["v"]
    assert (three.op.mnemonic, three.inputs) == ("add_three", ("v_constant", "a", "b"))


def test_a_register_behind_wires_takes_the_sum() -> None:
    path = _fused([INNER, OUTER, Node("w", ShiftRight(2), ("v",))], ("w",), [0, 0, 0])
    assert path.graph.by_name["v"].op.mnemonic == "add_three"


@pytest.mark.parametrize(
    ("nodes", "outputs", "stages", "target"),
    [
        pytest.param([INNER, OUTER], ("v",), [0, 0], "ulx3s-85", id="a family whose LUTs have one output"),
        pytest.param([INNER, OUTER], ("v",), [0, 1], "ultra96", id="a register between the two"),
        pytest.param([INNER, OUTER], ("v", "u"), [0, 0], "ultra96", id="the inner sum is a result too"),
        pytest.param(
            [INNER, OUTER, Node("w", ShiftAdd(0, 0), ("u", "d"))], ("v", "w"), [0, 0, 1], "ultra96", id="read twice"
        ),
        pytest.param(
            [INNER, OUTER, Node("w", Maximum(), ("v", "d"))], ("v", "w"), [0, 0, 0], "ultra96", id="read at once"
        ),
        pytest.param(
            [Node("g", BoothDigit(), ("a", "p", "p", "p")), Node("u", ShiftAdd(0, 0), ("g", "b")), OUTER],
            ("v",),
            [0, 0, 0],
            "ultra96",
            id="a Booth digit is in the LUTs",
        ),
    ],
)
def test_other_adders_stay(nodes: list[Node], outputs: tuple[str, ...], stages: list[int], target: str) -> None:
    if any(isinstance(node.op, BoothDigit) for node in nodes):
        nodes, stages = [Node("p", AtLeast(3), ("d",)), *nodes], [0, *stages]
    path = _fused(nodes, outputs, stages, target)
    assert not any(isinstance(node.op, AddThree) for node in path.graph.nodes)


def test_an_operand_that_comes_late_keeps_its_time() -> None:
    """c + d + d is there later than u; in a sum of three it would wait for one more LUT."""
    adders = [Node("s", ShiftAdd(0, 0), ("c", "d")), Node("t", ShiftAdd(0, 0), ("s", "d")), INNER]
    adders.append(Node("v", ShiftAdd(0, 0), ("t", "u")))
    lanes = [Node(name, Input(0, k, BYTE)) for k, name in enumerate("abcd")]
    graph = Graph(DATAPATH, "sums", (*lanes, *adders), ("v", "t"))
    model = ULTRA96.delay
    chain = model.adder_ns(9) + model.adder_ns(10) + model.adder_ns(12)
    for spare, absorbed in ((0.01, False), (model.logic_ns() + 0.01, True)):
        clock_mhz = 1000 / (chain + model.register_ns + spare)
        path = fuse_adders(pipeline(graph, model, clock_mhz), ULTRA96, clock_mhz)
        assert path.latency == 1
        assert ("u" not in path.graph.by_name) == absorbed
        assert path.longest_ns <= chain + spare
