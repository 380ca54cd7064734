"""Graphs: what the verifier refuses, types that are always computed anew, rewriting; arrays as values."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from qcompile.ir import integer
from qcompile.ir.array import Array
from qcompile.ir.datapath import DATAPATH, AddConstant, Input, Negate, ShiftAdd
from qcompile.ir.graph import Graph, IRError, Level, Node, merge_origins
from qcompile.ir.window import Window
from qcompile.numerics.span import Span

X = Node("x", Input(0, 0, Span(-8, 7)))
UP = Node("up", AddConstant(3), ("x",), ("/bias",))
TOTAL = Node("total", ShiftAdd(0, 1), ("x", "up"))


def graph(*nodes: Node, outputs: tuple[str, ...] = ()) -> Graph:
    return Graph(DATAPATH, "g", nodes, outputs or (nodes[-1].name,))


def test_types_follow_from_the_operations() -> None:
    assert graph(X, UP, TOTAL).types == {"x": Span(-8, 7), "up": Span(-5, 10), "total": Span(-18, 27)}


def test_a_rewritten_graph_has_the_types_of_its_new_operations() -> None:
    wider = graph(X, UP, TOTAL)
    narrow = wider.rewrite(lambda node: [replace(node, op=Input(0, 0, Span(0, 1)))] if node.name == "x" else None)
    assert narrow.types == {"x": Span(0, 1), "up": Span(3, 4), "total": Span(6, 9)}
    assert wider.types["x"] == Span(-8, 7)


@pytest.mark.parametrize(
    ("nodes", "outputs", "message"),
    [
        ((UP, X), ("x",), "datapath graph: up uses ['x'] before definition"),
        ((X, UP, UP), ("up",), "datapath graph: up is defined twice"),
        ((X, UP), ("y", "x", "z"), "datapath graph: outputs ['y', 'z'] are not defined"),
        ((X, Node("n", integer.Maximum(), ("x", "x"))), ("n",), "datapath graph: n: maximum belongs to another level"),
        ((X, Node("n", ShiftAdd(0, 0), ("x",))), ("n",), "datapath graph: n = shift_add: not enough values to unpack"),
        (
            (X, Node("n", ShiftAdd(0, 0, False, Span(0, 99)), ("x", "x"))),
            ("n",),
            "datapath graph: n = shift_add: claimed span 0..99 exceeds -16..14",
        ),
    ],
)
def test_a_graph_that_breaks_a_rule_is_refused(nodes: tuple[Node, ...], outputs: tuple[str, ...], message: str) -> None:
    with pytest.raises(IRError) as error:
        graph(*nodes, outputs=outputs).verify()
    assert str(error.value).startswith(message)


def test_a_level_has_one_operation_of_a_name() -> None:
    level = Level("test")
    level.op(Negate)
    with pytest.raises(IRError, match="test: two operations named negate"):
        level.op(Negate)


def test_users_are_counted_once_and_in_order() -> None:
    twice = Node("twice", ShiftAdd(0, 0), ("x", "x"))
    users = graph(X, twice, UP).users
    assert users["x"] == (twice, UP) and users["up"] == ()


def test_dead_nodes_go_and_inputs_stay() -> None:
    unused = Node("y", Input(0, 1, Span(0, 1)))
    kept = graph(X, unused, UP, TOTAL, outputs=("up",)).without_dead_nodes()
    assert [node.name for node in kept.nodes] == ["x", "y", "up"]


def test_a_node_can_become_several_or_none() -> None:
    extra = Node("extra", Negate(), ("x",))

    def step(node: Node) -> list[Node] | None:
        match node.name:
            case "up":
                return [extra, replace(node, inputs=("extra",))]
            case "total":
                return []
        return None

    changed = graph(X, UP, TOTAL, outputs=("up",)).rewrite(step).verify()
    assert [node.name for node in changed.nodes] == ["x", "extra", "up"]
    assert changed.types["up"] == Span(-4, 11)


def test_origins_merge_in_the_order_first_seen() -> None:
    assert merge_origins(("b", "a"), (), ("a", "c")) == ("b", "a", "c")


def test_a_graph_with_thousands_of_nodes_in_a_chain_needs_no_recursion() -> None:
    nodes = [X, *(Node(f"n{k}", AddConstant(1), (f"n{k - 1}" if k else "x",)) for k in range(5000))]
    assert graph(*nodes).verify().without_dead_nodes().types["n4999"] == Span(4992, 5007)


# Arrays -------------------------------------------------------------------------------------------------------


def test_arrays_are_equal_by_type_shape_and_content() -> None:
    assert Array([1, 2]) == Array(np.array([1, 2], np.int8))
    assert hash(Array([1, 2])) == hash(Array(np.array([1, 2], np.int8)))
    different = [Array([1, 2]), Array([1, 3]), Array([[1, 2]]), Array([1.0, 2.0]), Array([True, False])]
    assert len(set(different)) == len(different)
    assert Array([1]) != [1]


def test_an_array_does_not_see_later_changes_and_allows_none() -> None:
    source = np.array([1, 2])
    array = Array(source)
    source[0] = 9
    assert array.values.tolist() == [1, 2]
    with pytest.raises(ValueError, match="read-only"):
        array.values[0] = 5
    with pytest.raises(AttributeError, match="immutable"):
        array.values = source


def test_equal_views_of_other_memory_orders_are_equal() -> None:
    table = np.arange(6).reshape(2, 3)
    assert Array(table.T) == Array(table.T.copy())
    assert repr(Array(table)) == "Array(int64[2, 3])"


def test_an_array_of_strings_is_refused() -> None:
    with pytest.raises(TypeError, match="in the IR"):
        Array(["a"])


# Windows ------------------------------------------------------------------------------------------------------


def test_windows_visit_every_position_that_fits() -> None:
    window = Window((2, 3), (2, 1), (1, 0, 0, 2), (1, 2))
    image = np.arange(1, 25).reshape(1, 4, 6, 1)
    patches = window.patches(image, 0)
    rows, columns = window.output_size(4, 6)
    assert patches.shape == (1, rows, columns, 2, 3, 1) == (1, 2, 4, 2, 3, 1)
    padded = np.pad(image[0, :, :, 0], ((1, 0), (0, 2)))
    for row, column, i, j in np.ndindex(rows, columns, 2, 3):
        assert patches[0, row, column, i, j, 0] == padded[2 * row + i, column + 2 * j]
    inside = np.pad(np.ones((4, 6), int), ((1, 0), (0, 2)))

    def covered(row: int, column: int) -> int:
        return sum(inside[2 * row + i, column + 2 * j] for i, j in np.ndindex(2, 3))

    assert window.positions_covered(4, 6).tolist() == [[covered(r, c) for c in range(columns)] for r in range(rows)]


def test_a_window_larger_than_the_image_is_refused() -> None:
    with pytest.raises(IRError, match="does not fit an image"):
        Window((3, 3)).output_size(2, 5)
