"""Pipeline stages keep the period and take the least register bits."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from qcompile.arith import assign_stages, longest_path, optimize, register_bits
from qcompile.arith.graph import width_of

Datapath = tuple[list[list[int]], list[int], list[float]]


def random_datapath(seed: int, nodes: int) -> Datapath:
    rng = np.random.default_rng(seed)
    operands: list[list[int]] = [[], []]
    for node in range(2, nodes):
        count = min(node, int(rng.integers(1, 3)))
        operands.append([int(s) for s in rng.choice(node, size=count, replace=False)])
    widths = [int(w) for w in rng.integers(0, 12, nodes)]
    delays = [0.0 if not sources else float(rng.integers(1, 5)) for sources in operands]
    return operands, widths, delays


def least_by_exhaustion(datapath: Datapath, period: float, stages: int) -> int:
    operands, widths, delays = datapath
    read = {source for sources in operands for source in sources}
    free = [node for node, sources in enumerate(operands) if sources and node in read]
    best = None
    for choice in itertools.product(range(stages), repeat=len(free)):
        trial = [0 if not sources else stages - 1 for sources in operands]
        for node, stage in zip(free, choice, strict=True):
            trial[node] = stage
        if any(trial[s] > trial[node] for node, sources in enumerate(operands) for s in sources):
            continue
        if longest_path(operands, delays, trial) <= period:
            bits = register_bits(operands, widths, trial)
            best = bits if best is None else min(best, bits)
    assert best is not None
    return best


@pytest.mark.parametrize("seed", range(25))
def test_small_datapaths_get_the_register_bits_of_exhaustive_search(seed: int) -> None:
    datapath = random_datapath(seed, 5 + seed % 4)
    operands, widths, delays = datapath
    for stages in (1, 2, 3):
        found = assign_stages(operands, widths, delays, stages=stages)
        period = longest_path(operands, delays, found)
        assert register_bits(operands, widths, found) == least_by_exhaustion(datapath, period, stages)
    found = assign_stages(operands, widths, delays, period=5.0)
    assert longest_path(operands, delays, found) <= 5.0
    assert register_bits(operands, widths, found) == least_by_exhaustion(datapath, 5.0, max(found) + 1)


def adder_datapath(size: int) -> Datapath:
    matrix = np.random.default_rng(0).integers(-32, 32, (size, size))
    graph = optimize(matrix, [(-128, 127)] * size)
    operands: list[list[int]] = [[] for _ in range(size)] + [[node.left, node.right] for node in graph.nodes]
    widths = [width_of(low, high) for low, high in graph.ranges]
    return operands, widths, [0.0] * size + [1.0] * len(graph.nodes)


@pytest.mark.parametrize("stages", [1, 2, 3, 5])
def test_adder_graphs_keep_order_period_and_ends(stages: int) -> None:
    operands, widths, delays = adder_datapath(16)
    found = assign_stages(operands, widths, delays, stages=stages)
    depth = int(longest_path(operands, delays, [0] * len(operands)))
    assert longest_path(operands, delays, found) == -(-depth // stages)
    read = {source for sources in operands for source in sources}
    for node, sources in enumerate(operands):
        assert all(found[source] <= found[node] for source in sources)
        if not sources:
            assert found[node] == 0
        elif node not in read:
            assert found[node] == stages - 1


def test_a_longer_period_and_more_stages_never_need_more_registers() -> None:
    operands, widths, delays = adder_datapath(12)
    bits = []
    for period in (3.0, 4.0, 6.0):
        found = assign_stages(operands, widths, delays, period=period, stages=3)
        bits.append(register_bits(operands, widths, found))
    assert bits == sorted(bits, reverse=True)


def test_nodes_in_any_order_and_a_later_input_stage_give_the_same_stages() -> None:
    operands, widths, delays = random_datapath(3, 40)
    plain = assign_stages(operands, widths, delays, period=6.0)
    back = list(reversed(range(40)))
    turned = assign_stages(
        [[39 - s for s in operands[node]] for node in back],
        [widths[node] for node in back],
        [delays[node] for node in back],
        period=6.0,
        input_stage=2,
    )
    mirrored = [stage - 2 for stage in reversed(turned)]
    assert register_bits(operands, widths, mirrored) == register_bits(operands, widths, plain)
    assert max(mirrored) == max(plain)
    assert min(turned) == 2


def test_a_value_read_late_by_many_is_registered_once() -> None:
    operands = [[], [0], [0, 1], [0, 2], [1, 3]]
    found = assign_stages(operands, [8, 9, 10, 11, 12], [0.0, 1.0, 1.0, 1.0, 1.0], period=1.0)
    assert found == [0, 0, 1, 2, 3]
    assert register_bits(operands, [8, 9, 10, 11, 12], found) == 8 * 2 + 9 * 3 + 10 + 11


def test_an_empty_datapath_has_no_stages() -> None:
    assert assign_stages([], [], [], stages=4) == []


@pytest.mark.parametrize(
    ("arguments", "options", "text"),
    [
        (([[]], [1, 2], [0.0]), {"period": 1.0}, "must be as many"),
        (([[]], [1], [0.0]), {}, "give a period"),
        (([[]], [1], [0.0]), {"stages": 0}, "at least 1"),
        (([[], [0]], [1, 1], [0.0, 3.0]), {"period": 2.0}, "node 1 alone takes 3.0"),
        (([[], [0], [1]], [1, 1, 1], [0.0, 3.0, 3.0]), {"period": 4.0, "stages": 1}, "takes 2 stages"),
        (([[1], [0]], [1, 1], [0.0, 0.0]), {"period": 2.0}, "cycle"),
        (([[5]], [1], [0.0]), {"period": 2.0}, "does not exist"),
        (([[]], [-1], [0.0]), {"period": 2.0}, "must not be negative"),
    ],
)
def test_a_mistake_is_refused_with_its_reason(arguments: Datapath, options: dict[str, float], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        assign_stages(*arguments, **options)
