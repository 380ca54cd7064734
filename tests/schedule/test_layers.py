"""Which operations become one layer, what layers and signals are called, and where registers go."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from integer_bench import network, scheduled, source
from integer_cases import weights
from integer_networks import ADD, FOLDED, NETWORKS, SAME, conv, requantize

from qcompile import targets
from qcompile.errors import CompileError
from qcompile.ir import datapath, hardware, integer
from qcompile.ir.array import Array
from qcompile.ir.graph import Graph, Node
from qcompile.lower.build import Effort
from qcompile.numerics.span import Span
from qcompile.schedule import Datapath, schedule
from qcompile.schedule.naming import Names, identifier
from qcompile.schedule.partition import partition
from qcompile.schedule.timing import delay_ns, pipeline

LEGAL = re.compile(r"[A-Za-z][A-Za-z0-9]*(_[A-Za-z0-9]+)*_?")
# Words that are no identifiers in Verilog, VHDL or C++ and that exporters use as names of nodes.
KEYWORDS = ["module", "input", "output", "case", "signed", "and", "or", "not", "for", "while", "wait", "table", "reg"]


def groups(graph: Graph) -> list[list[str]]:
    return [[node.name for node in group.nodes] for group in partition(graph)]


@pytest.mark.parametrize("name", NETWORKS)
def test_every_node_is_in_one_layer_and_one_value_leaves_it(name: str) -> None:
    graph = NETWORKS[name]
    assert sorted(n for group in groups(graph) for n in group) == sorted(node.name for node in graph.nodes)
    for group in partition(graph):
        inside = {node.name for node in group.nodes}
        leaving = {n for n in inside if n in graph.outputs or any(u.name not in inside for u in graph.users[n])}
        assert leaving <= {group.result}
        assert not set(group.operands) & inside


def test_what_works_element_by_element_joins_the_layer_before_it() -> None:
    nodes = [source((4, 4, 2), -8, 7), conv("c", "x"), requantize("r", "c"), Node("m", integer.MaxPool(SAME), ("r",))]
    assert groups(network("n", nodes)) == [["x"], ["c", "r"], ["m"], ["y"]]


def test_a_value_that_others_need_ends_its_layer() -> None:
    nodes = [source((4, 4, 2), -8, 7), conv("c", "x"), requantize("r", "c"), Node("s", ADD, ("c", "r"))]
    assert ["c", "r"] not in groups(network("n", nodes))


def test_both_branches_of_a_leaky_activation_stay_in_their_layer() -> None:
    bent = integer.Rescale((1,), (0,), (6,), -8, 7)
    nodes = [source((4, 4, 2), -8, 7), conv("c", "x"), requantize("p", "c"), Node("q", bent, ("c",))]
    graph = network("n", [*nodes, Node("l", integer.Maximum(), ("p", "q"))])
    assert groups(graph) == [["x"], ["c", "p", "q", "l"], ["y"]]


# Names ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "wanted"),
    [("/features/0/Conv", "features_0_Conv"), ("conv2d:0", "conv2d_0"), ("3x3", "n3x3"), ("", "n"), ("a__b", "a_b")],
)
def test_an_identifier_keeps_what_it_can_of_the_name(name: str, wanted: str) -> None:
    assert identifier(name) == wanted


@given(st.text())
def test_an_identifier_is_legal_whatever_the_name(name: str) -> None:
    assert LEGAL.fullmatch(identifier(name))


def test_keywords_are_no_identifiers() -> None:
    assert [word for word in KEYWORDS if identifier(word) == word] == []


def test_layers_whose_nodes_share_a_name_get_numbers() -> None:
    named = (("a", "x", ("/Relu",)), ("b", "a", ("_Relu_",)), ("c", "b", ()))
    nodes = (Node(name, integer.MaxPool(SAME), (value,), origin) for name, value, origin in named)
    graph = network("n", [source((4, 4, 1), -8, 7), *nodes])
    names = Names()
    assert [names.layer(group) for group in partition(graph)[1:-1]] == ["relu", "relu_2", "c"]


@pytest.mark.parametrize("name", NETWORKS)
def test_signals_of_a_datapath_have_legal_names_of_their_own(name: str) -> None:
    for cycles in (None, FOLDED.get(name, 1000)):
        design = scheduled(NETWORKS[name], cycles)
        assert len({layer.name for layer in design.layers}) == len(design.layers)
        for path in design.datapaths.values():
            names = [node.name for node in path.graph.nodes]
            assert len(set(names)) == len(names)
            assert all(LEGAL.fullmatch(n) for n in names)


# Registers ------------------------------------------------------------------------------------------------------


def longest_path_ns(path: Datapath, model: targets.DelayModel) -> float:
    """Between registers, or between a register and a port; a value that crosses a stage starts anew."""
    types, arrival = path.graph.types, {}
    for node in path.graph.nodes:
        inside = [arrival[i] for i in node.inputs if path.stage_of[i] == path.stage_of[node.name]]
        assert all(path.stage_of[i] <= path.stage_of[node.name] for i in node.inputs)
        own = delay_ns(node, [types[i] for i in node.inputs], types[node.name], model)
        arrival[node.name] = max(inside, default=0.0) + own
    return max(arrival.values())


@pytest.mark.parametrize("target", ["ultra96", "icebreaker"])
@pytest.mark.parametrize("clock_mhz", [20.0, 100.0, 400.0])
def test_no_path_between_registers_is_longer_than_the_period(target: str, clock_mhz: float) -> None:
    board = targets.get(target)
    for graph in NETWORKS.values():
        for path in schedule(graph, board, clock_mhz, Effort(0)).datapaths.values():
            types = path.graph.types
            alone = [delay_ns(n, [types[i] for i in n.inputs], types[n.name], board.delay) for n in path.graph.nodes]
            allowed = max(board.delay.budget_ns(clock_mhz), *alone)
            assert longest_path_ns(path, board.delay) <= allowed + 1e-9


def test_a_path_that_begins_at_block_ram_has_less_time() -> None:
    nodes = [Node("x", datapath.Input(0, 0, Span(0, 255))), Node("w", datapath.Input(1, 0, Span(0, 255)))]
    nodes += [Node("a", datapath.ShiftAdd(0, 0), ("x", "w")), Node("b", datapath.ShiftAdd(0, 0), ("a", "x"))]
    graph = Graph(datapath.DATAPATH, "sums", tuple(nodes), ("b",))
    model = targets.get("ulx3s-85").delay
    assert model.memory_ns > model.register_ns
    both = 1000 / (model.register_ns + model.adder_ns(9) + model.adder_ns(10))
    assert pipeline(graph, model, both - 1).stages == (0, 0, 0, 0)
    assert pipeline(graph, model, both - 1, late={1}).latency == 2
    slow = pipeline(graph, model, 1000 / (model.memory_ns + 0.1), late={1})
    assert slow.stages == (0, 0, 1, 2)  # nothing fits behind the memory: its word is registered first


@pytest.mark.parametrize("words", [200, 2000])
def test_datapaths_behind_a_large_rom_count_its_time(words: int) -> None:
    """With and without the memory's delay, everything else being equal."""
    board = targets.get("ulx3s-85")
    at_once = replace(
        board,
        architecture=replace(board.architecture, delay=replace(board.delay, memory_ns=board.delay.register_ns)),
    )
    nodes = [source((words,), -128, 127), Node("fc", integer.MatMul(weights(words, 4)), ("x",))]
    graph = network("n", nodes)
    stages = [
        sum(path.latency for path in schedule(graph, b, 100.0, Effort(0), cycles=4 * words).datapaths.values())
        for b in (at_once, board)
    ]
    assert stages[0] < stages[1]


def test_a_faster_clock_needs_more_stages_and_wiring_none() -> None:
    board = targets.get("ultra96")
    stages = []
    for clock_mhz in (50.0, 200.0, 400.0):
        design = schedule(NETWORKS["residual"], board, clock_mhz, Effort(0))
        stages.append(sum(path.latency for path in design.datapaths.values()))
    assert stages[0] < stages[1] < stages[2]
    wiring = schedule(network("n", [source((4, 3), -8, 7), Node("g", _turned(), ("x",))]), board, 400.0, Effort(0))
    assert [path.latency for path in wiring.datapaths.values()] == [0]


def _turned() -> integer.Gather:
    return integer.Gather(Array(np.arange(12).reshape(4, 3)[:, ::-1].copy()))


def test_every_result_is_registered_at_the_end_of_the_last_stage() -> None:
    nodes = [source((6,), -8, 7), Node("fc", integer.MatMul(weights(6, 4)), ("x",))]
    (path,) = scheduled(network("n", nodes)).datapaths.values()
    assert path.latency > 1
    assert {path.last_read[name] for name in path.graph.outputs} == {path.latency}
    again = pipeline(path.graph, targets.get("ultra96").delay, 1.0)
    assert again.latency == 1


# Refusals -------------------------------------------------------------------------------------------------------


def test_two_outputs_are_refused() -> None:
    graph = NETWORKS["residual"]
    second = replace(graph.by_name["y"], name="y2")
    with pytest.raises(CompileError) as error:
        scheduled(replace(graph, nodes=(*graph.nodes, second), outputs=("y", "y2")))
    (diagnostic,) = error.value.diagnostics
    assert (diagnostic.code, diagnostic.found) == ("QC401", "2 outputs")


def test_fifos_stand_before_the_side_of_a_join_that_must_wait() -> None:
    graph = scheduled(NETWORKS["residual"]).graph
    (fifo,) = [node for node in graph.nodes if isinstance(node.op, hardware.Fifo)]
    assert graph.by_name[fifo.inputs[0]].op.mnemonic == "input"
    # Two windows of three rows hold back a row and a pixel each: 12 beats that the shortcut must keep.
    assert isinstance(fifo.op, hardware.Fifo) and fifo.op.depth > 12
