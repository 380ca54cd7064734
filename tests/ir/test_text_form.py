"""The text form of every level parses back to an equal graph, whatever an operation's parameters are."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from datapath_bench import case_graph
from datapath_cases import CASES as DATAPATH_CASES
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from integer_bench import network_of, scheduled
from integer_cases import CASES as INTEGER_CASES
from integer_networks import FOLDED, NETWORKS

from qcompile.ir import datapath, hardware, integer, model
from qcompile.ir.array import Array
from qcompile.ir.graph import Graph, IRError, Level, Node
from qcompile.ir.text import parse_graph, print_graph
from qcompile.numerics.bipolar import BipolarQuantizer
from qcompile.numerics.levels import LevelQuantizer
from qcompile.numerics.minifloat import MiniFloatQuantizer
from qcompile.numerics.quantizer import Quantizer
from qcompile.numerics.span import Span
from qcompile.numerics.thresholds import ThresholdQuantizer

LEVELS: dict[str, tuple[Level, dict[str, type]]] = {
    "model": (model.MODEL, model.PARAMETERS),
    "integer": (integer.INTEGER, integer.PARAMETERS),
    "datapath": (datapath.DATAPATH, datapath.PARAMETERS),
    "hardware": (hardware.HARDWARE, hardware.PARAMETERS),
}
EVERY_OP = [(name, op) for name, (level, _) in LEVELS.items() for op in level.registry.values()]


def round_trip(graph: Graph, name: str) -> Graph:
    level, parameters = LEVELS[name]
    return parse_graph(print_graph(graph), level, parameters)


ARRAYS = st.one_of(
    *(
        st.lists(values, min_size=0, max_size=34).map(lambda v, dtype=dtype: Array(np.array(v, dtype)))
        for values, dtype in (
            (st.integers(-(2**63), 2**63 - 1), np.int64),
            (st.floats(allow_nan=False), np.float64),
            (st.booleans(), np.bool_),
        )
    ),
    st.tuples(st.integers(0, 3), st.integers(1, 4)).map(
        lambda shape: Array(np.arange(shape[0] * shape[1]).reshape(shape))
    ),
)
SPANS = st.tuples(st.integers(), st.integers()).map(lambda ends: Span(min(ends), max(ends)))
POSITIVE = st.fractions(min_value=Fraction(1, 10**9))
QUANTIZERS = st.one_of(
    st.builds(
        Quantizer,
        scale=st.lists(POSITIVE, min_size=1, max_size=3).map(tuple),
        zero_point=st.tuples(st.integers().map(Fraction)),
    ),
    st.builds(Quantizer, scale=st.tuples(POSITIVE), zero_point=st.tuples(st.fractions()), zero_first=st.just(True)),
    st.builds(BipolarQuantizer, scale=st.tuples(POSITIVE)),
    st.just(LevelQuantizer.of((Fraction(1, 3),), (-4, -1, 0, 1, 4))),
    st.just(MiniFloatQuantizer.of((Fraction(1, 3),), 3, 2, 3, Fraction(28), Quantizer((Fraction(1),)).rounding)),
    st.just(ThresholdQuantizer.of(((Fraction(1, 2), Fraction(3)),), Fraction(1, 2), Fraction(-3))),
)
st.register_type_strategy(Array, ARRAYS)
st.register_type_strategy(Span, SPANS)
st.register_type_strategy(Quantizer, QUANTIZERS)
st.register_type_strategy(float, st.floats(allow_nan=False))

PHASES = (Phase.explicit, Phase.generate)  # shrinking a whole operation takes minutes
NAMES = st.text(min_size=1, max_size=8)


@pytest.mark.parametrize(("name", "op"), EVERY_OP, ids=lambda part: getattr(part, "mnemonic", part))
@settings(max_examples=8, deadline=None, derandomize=True, phases=PHASES, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_an_operation_with_any_parameters_is_read_back(name: str, op: type, data: st.DataObject) -> None:
    first, second = data.draw(NAMES), data.draw(NAMES)
    nodes = (
        Node(first, data.draw(st.from_type(op)), (), tuple(data.draw(st.lists(NAMES, max_size=2)))),
        Node(second, data.draw(st.from_type(op)), (first, first)),
    )
    graph = Graph(LEVELS[name][0], data.draw(NAMES), nodes, (second, first))
    assert round_trip(graph, name) == graph


def test_graphs_of_every_integer_operation_are_read_back() -> None:
    for case in INTEGER_CASES:
        graph, _ = network_of(case)
        assert round_trip(graph, "integer") == graph


def test_a_datapath_of_every_operation_is_read_back() -> None:
    graph = case_graph([case for cases in DATAPATH_CASES.values() for case in cases])
    assert round_trip(graph, "datapath") == graph


@pytest.mark.parametrize("name", NETWORKS)
def test_a_scheduled_network_is_read_back(name: str) -> None:
    for cycles in (None, FOLDED.get(name, 1000)):
        design = scheduled(NETWORKS[name], cycles)
        assert round_trip(design.graph, "hardware") == design.graph
        for path in design.datapaths.values():
            assert round_trip(path.graph, "datapath") == path.graph


def test_the_text_is_for_people() -> None:
    nodes = (
        Node("x", datapath.Input(0, 0, Span(-8, 7))),
        Node("/fc/MatMul:0", datapath.ShiftAdd(2, 0, True), ("x", "x"), ("/fc/MatMul",)),
        Node("t", datapath.Lookup(Array(range(40)), -8), ("/fc/MatMul:0",)),
    )
    values = " ".join(map(str, range(32))), " ".join(map(str, range(32, 40)))
    assert print_graph(Graph(datapath.DATAPATH, "fc", nodes, ("t",))) == (
        'datapath graph "fc"\n'
        "  %x = input() {stream = 0, lane = 0, span = Span{low = -8, high = 7}}\n"
        '  %"/fc/MatMul:0" = shift_add(%x, %x) '
        '{left_shift = 2, right_shift = 0, subtract = true, span = none} from "/fc/MatMul"\n'
        '  %t = lookup(%"/fc/MatMul:0") {table = @0, low = -8}\n'
        "  return %t\n"
        "arrays\n"
        "  @0 = int64[40]\n"
        f"    {values[0]}\n"
        f"    {values[1]}\n"
    )


def test_without_arrays_their_values_are_left_out() -> None:
    graph = Graph(datapath.DATAPATH, "g", (Node("t", datapath.Lookup(Array([7, 8]), 0)),), ("t",))
    lines = ('datapath graph "g"', "  %t = lookup() {table = @0, low = 0}", "  return %t", "")
    assert print_graph(graph, arrays=False) == "\n".join(lines)


GOOD = 'datapath graph "g"\n  %x = input() {stream = 0, lane = 0, span = Span{low = 0, high = 7}}\n'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('integer graph "g"\n', "not a datapath graph: 'integer graph \"g\"'"),
        (GOOD + "  %y = cube(%x)\n", "line 3: 'cube'"),
        (GOOD + "  %y = negate %x\n", "line 3: found '%', needed ("),
        (GOOD + "  %y = negate(%x) {amount = 2}\n", "line 3: Negate.__init__() got an unexpected keyword"),
        (GOOD + "  %y = shift_left(%x) {amount = ?}\n", "line 3: cannot read ' ?}'"),
        (GOOD + "  %y = lookup(%x) {table = @3, low = 0}\n", "line 3: 3"),
        (GOOD + "  return x\n", "line 3: found 'x', needed %"),
    ],
)
def test_text_that_is_no_graph_is_refused_with_its_line(text: str, message: str) -> None:
    with pytest.raises(IRError) as error:
        parse_graph(text, datapath.DATAPATH, datapath.PARAMETERS)
    assert str(error.value).startswith(message)
