"""The adder graph is its matrix, exactly, whatever the matrix, the ranges and the limits."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qcompile.arith import AdderGraph, AdderNode, AdderOutput, CostModel, optimize

RANGES = st.tuples(st.integers(-300, 300), st.integers(0, 400)).map(lambda pair: (pair[0], pair[0] + pair[1]))


def random_matrix(inputs: int, outputs: int, bits: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(-(1 << (bits - 1)), 1 << (bits - 1), (inputs, outputs))


@pytest.mark.parametrize("bits", [2, 4, 8, 12])
@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (9, 1), (3, 5), (8, 8), (16, 4)])
def test_evaluate_equals_the_matrix_product(shape: tuple[int, int], bits: int) -> None:
    matrix = random_matrix(*shape, bits)
    graph = optimize(matrix, [(-128, 127)] * shape[0])
    x = np.random.default_rng(1).integers(-128, 128, (50, shape[0]))
    assert np.array_equal(graph.evaluate(x), x @ matrix)


@settings(max_examples=80, deadline=None, derandomize=True)
@given(st.data())
def test_any_matrix_and_any_ranges_give_exact_values_inside_exact_ranges(data: st.DataObject) -> None:
    inputs = data.draw(st.integers(1, 5))
    outputs = data.draw(st.integers(1, 5))
    entries = st.lists(st.integers(-200, 200), min_size=inputs * outputs, max_size=inputs * outputs)
    matrix = np.array(data.draw(entries)).reshape(inputs, outputs)
    ranges = data.draw(st.lists(RANGES, min_size=inputs, max_size=inputs))
    graph = optimize(matrix, ranges, effort=data.draw(st.sampled_from([0, 1])))
    corners = np.array(np.meshgrid(*ranges)).reshape(inputs, -1).T
    values = corners.astype(object)
    columns = list(values.T)
    for node in graph.nodes:
        left, right = columns[node.left] << node.left_shift, columns[node.right] << node.right_shift
        columns.append(left - right if node.subtract else left + right)
    for column, (low, high) in zip(columns, graph.ranges, strict=True):
        # A linear form takes its extremes at corners, so the ranges must be met exactly.
        assert (min(column), max(column)) == (low, high)
    assert np.array_equal(graph.evaluate(corners), corners @ matrix)


def test_a_zero_column_is_the_constant_zero() -> None:
    graph = optimize(np.array([[0, 3], [0, -5]]), [(0, 7), (-4, 3)])
    assert graph.outputs[0].source is None
    assert np.array_equal(graph.coefficients(), [[0, 3], [0, -5]])


def test_an_input_that_is_always_zero_gets_no_adders() -> None:
    graph = optimize(np.array([[3], [5]]), [(0, 0), (-8, 7)])
    assert graph.adders == 1
    assert np.array_equal(graph.evaluate([[0, 7]]), [[35]])


def test_identity_and_powers_of_two_are_wires() -> None:
    graph = optimize(np.diag([1, 2, 4, 1024]), [(-128, 127)] * 4)
    assert graph.nodes == ()
    assert [(out.source, out.shift) for out in graph.outputs] == [(0, 0), (1, 1), (2, 2), (3, 10)]


def test_repeated_scaled_and_negated_columns_are_built_once() -> None:
    column = random_matrix(8, 1, 6)
    once = optimize(column, [(-128, 127)] * 8, effort=2)
    repeated = optimize(np.hstack([column, 4 * column, column, column * 16]), [(-128, 127)] * 8, effort=2)
    assert repeated.full_adder_bits <= once.full_adder_bits


def test_a_negated_copy_of_a_column_costs_at_most_one_adder() -> None:
    column = random_matrix(8, 1, 6)
    once = optimize(column, [(-128, 127)] * 8)
    both = optimize(np.hstack([column, -column]), [(-128, 127)] * 8)
    assert both.adders <= once.adders + 1


def test_an_all_ones_matrix_needs_the_adders_of_one_sum() -> None:
    assert optimize(np.ones((9, 6), int), [(0, 15)] * 9).adders == 8


def test_hadamard_reaches_the_butterflies_of_the_fast_transform() -> None:
    matrix = np.array([[1]])
    for _ in range(3):
        matrix = np.block([[matrix, matrix], [matrix, -matrix]])
    assert optimize(matrix, [(-128, 127)] * 8, effort=1).adders == 24


@pytest.mark.parametrize("seed", range(4))
def test_ternary_matrices_need_fewer_adders_than_separate_sums(seed: int) -> None:
    matrix = np.random.default_rng(seed).integers(-1, 2, (16, 16))
    separate = int(np.maximum(np.abs(matrix).sum(axis=0) - 1, 0).sum())
    graph = optimize(matrix, [(-128, 127)] * 16)
    assert graph.adders <= 0.72 * separate


def test_a_row_vector_of_constants_shares_one_multiplier_block() -> None:
    constants = np.array([[3, 5, 7, 9, 11, 13, 15, 17]])
    assert optimize(constants, [(-128, 127)]).adders == 8


@pytest.mark.parametrize("spare", [0, 1, 2])
def test_the_latency_limit_holds_and_is_refused_below_the_least_depth(spare: int) -> None:
    matrix = random_matrix(16, 16, 6)
    with pytest.raises(ValueError, match="at least 6") as refusal:
        optimize(matrix, [(-128, 127)] * 16, latency=1)
    assert "latency is 1" in str(refusal.value)
    graph = optimize(matrix, [(-128, 127)] * 16, latency=6 + spare)
    assert graph.depth <= 6 + spare


def test_late_inputs_are_added_last_and_outputs_come_within_the_latency() -> None:
    matrix = np.ones((5, 1), int)
    late = optimize(matrix, [(-8, 7)] * 5, arrival=[0, 0, 0, 0, 2], latency=3)
    assert late.delivery([0, 0, 0, 0, 2]) == (3,)
    with pytest.raises(ValueError, match="at least 3"):
        optimize(matrix, [(-8, 7)] * 5, arrival=[0, 0, 0, 0, 2], latency=2)
    matrix = random_matrix(12, 12, 5)
    arrival = [index % 4 for index in range(12)]
    graph = optimize(matrix, [(-128, 127)] * 12, arrival=arrival, latency=8)
    assert max(graph.delivery(arrival)) <= 8


def test_a_budget_in_steps_replaces_that_of_the_effort() -> None:
    matrix = random_matrix(10, 10, 5)
    ranges = [(-128, 127)] * 10
    assert optimize(matrix, ranges, budget=10**6) == optimize(matrix, ranges, budget=10**6)
    bits = [optimize(matrix, ranges, budget=budget).full_adder_bits for budget in (0, 10**6)]
    assert bits[1] < bits[0]


def test_wrong_arrival_times_and_budgets_are_refused() -> None:
    for change, text in (
        ({"arrival": [0]}, "1 arrival times for 2 inputs"),
        ({"arrival": [0, -1]}, "need 0..32"),
        ({"budget": -1}, "budget is -1"),
    ):
        with pytest.raises(ValueError, match=text):
            optimize(np.array([[1], [2]]), [(0, 1)] * 2, **change)


def test_one_seed_gives_one_graph_and_more_effort_is_never_worse() -> None:
    matrix = random_matrix(12, 12, 5)
    ranges = [(-128, 127)] * 12
    assert optimize(matrix, ranges, seed=3) == optimize(matrix, ranges, seed=3)
    bits = [optimize(matrix, ranges, effort=effort).full_adder_bits for effort in (0, 1)]
    assert bits[1] <= bits[0]


def test_counting_adders_instead_of_bits_finds_fewer_adders() -> None:
    matrix = random_matrix(6, 6, 6)
    narrow = optimize(matrix, [(-128, 127)] * 6, effort=2)
    few = optimize(matrix, [(-128, 127)] * 6, effort=2, cost=CostModel(per_adder=1.0, per_bit=0.0))
    assert few.adders <= narrow.adders
    with pytest.raises(ValueError, match="negative cost"):
        CostModel(per_adder=-1.0)


def test_unsigned_inputs_take_narrower_adders_than_signed_ones() -> None:
    matrix = np.abs(random_matrix(8, 8, 4)) + 1
    unsigned = optimize(matrix, [(0, 15)] * 8)
    signed = optimize(matrix, [(-16, 15)] * 8)
    assert unsigned.full_adder_bits < signed.full_adder_bits


def test_wide_constants_and_wide_inputs_stay_exact() -> None:
    matrix = np.array([[0x5A5A5A5A5A, -3], [12345678901, 77]])
    ranges = [(-(1 << 70), (1 << 70) - 1), (0, 1 << 40)]
    graph = optimize(matrix, ranges)
    x = [[-(1 << 70), 5], [(1 << 70) - 1, 1 << 40]]
    wanted = np.array(x, dtype=object) @ matrix.astype(object)
    assert np.array_equal(graph.evaluate(np.array(x, dtype=object)), wanted)


@pytest.mark.parametrize(
    ("matrix", "ranges", "text"),
    [
        ([1, 2], [(0, 1)], "shape"),
        ([[1.5]], [(0, 1)], "need integers"),
        ([[1], [2]], [(0, 1)], "1 input ranges for 2 inputs"),
        ([[1]], [(2, 1)], "empty range"),
        ([[1 << 50]], [(0, 1)], "51 bits"),
    ],
)
def test_a_mistake_is_refused_with_its_reason(matrix: list, ranges: list, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        optimize(np.array(matrix), ranges)


def test_an_unknown_effort_is_refused() -> None:
    with pytest.raises(ValueError, match="effort is 7"):
        optimize(np.array([[1]]), [(0, 1)], effort=7)


@pytest.mark.parametrize("change", ["shift", "sign", "operand"])
def test_a_mutated_graph_fails_its_verification(change: str) -> None:
    matrix = random_matrix(6, 6, 5)
    graph = optimize(matrix, [(-128, 127)] * 6)
    graph.verify(matrix)
    rng = np.random.default_rng(0)
    for k in rng.integers(0, len(graph.nodes), 10):
        node = graph.nodes[k]
        match change:
            case "shift":
                wrong = replace(node, right_shift=node.right_shift + 1)
            case "sign":
                wrong = replace(node, subtract=not node.subtract)
            case _:
                wrong = replace(node, left=(node.left + 1) % (graph.inputs + int(k)) if graph.inputs + k > 1 else 0)
        nodes = (*graph.nodes[:k], wrong, *graph.nodes[k + 1 :])
        with pytest.raises(AssertionError):
            AdderGraph.build(graph.input_ranges, nodes, graph.outputs).verify(matrix)


def test_wrong_ranges_fail_verification() -> None:
    matrix = random_matrix(3, 3, 4)
    graph = optimize(matrix, [(-8, 7)] * 3)
    with pytest.raises(AssertionError, match="ranges"):
        replace(graph, ranges=((-8, 8), *graph.ranges[1:])).verify(matrix)


def test_figures_count_wires_negations_and_depth() -> None:
    nodes = [AdderNode(0, 1, 0, 2, False), AdderNode(0, 2, 3, 0, True)]
    outputs = [AdderOutput(2, 1, False), AdderOutput(3, 0, True), AdderOutput(None, 0, False)]
    graph = AdderGraph.build([(0, 3), (0, 3)], nodes, outputs)
    # 0..15 without its two low wires; -15..24 whole, because the low bits are subtracted; its negation whole.
    assert graph.ranges == ((0, 3), (0, 3), (0, 15), (-12, 21))
    assert graph.full_adder_bits == 2 + 6 + 6
    assert graph.adders == 3
    assert graph.depth == 3


def test_a_graph_with_a_forward_reference_is_refused() -> None:
    with pytest.raises(ValueError, match="not both defined"):
        AdderGraph.build([(0, 1)], [AdderNode(0, 1, 0, 0, False)], [])
