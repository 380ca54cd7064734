"""Folded layers are unrolled where that makes the design smaller."""

from __future__ import annotations

import numpy as np
import pytest
from integer_bench import network, source

from qcompile import targets
from qcompile.ir import integer
from qcompile.ir.array import Array
from qcompile.ir.graph import Node
from qcompile.ir.window import Window
from qcompile.lower.build import Effort
from qcompile.schedule import Design, schedule, schedule_fastest
from qcompile.schedule.estimate import total_cost
from qcompile.schedule.small import unroll_small_layers

BOARD = targets.get("icebreaker")
FEW = np.array([[1, 0, -1, 2], [0, 1, 1, 0]])
MANY = np.random.default_rng(1).integers(-100, 100, (16, 4))


def lanes(design: Design) -> dict[str, tuple[int, int] | None]:
    return {layer.name: layer.lanes for layer in design.layers}


@pytest.mark.parametrize(("first", "unrolled"), [(FEW, True), (MANY, False)], ids=["few", "many"])
def test_a_layer_is_unrolled_where_its_few_weights_take_less_so(first: np.ndarray, unrolled: bool) -> None:
    second = np.random.default_rng(0).integers(-7, 8, (4, 64))
    nodes = [
        source((first.shape[0],), -8, 7),
        Node("first", integer.MatMul(Array(first)), ("x",)),
        Node("second", integer.MatMul(Array(second)), ("first",)),
    ]
    graph = network("n", nodes)
    folded = schedule(graph, BOARD, 50.0, Effort(), cycles=256)
    assert None not in lanes(folded).values()
    found = unroll_small_layers(
        lambda choices: schedule(graph, BOARD, 50.0, Effort(), cycles=256, choices=choices), folded, graph, BOARD
    )
    assert lanes(found) == lanes(folded) | ({"first": None} if unrolled else {})
    assert (total_cost(found, BOARD).lut < total_cost(folded, BOARD).lut) == unrolled
    assert None in lanes(schedule_fastest(graph, BOARD, 50.0, Effort())).values() or not unrolled


def test_the_fastest_schedule_unrolls_what_no_folding_makes_fast_enough_and_fits() -> None:
    window = Window((3, 3), pads=(1, 1, 1, 1))
    weights = np.random.default_rng(0).integers(-7, 8, (3, 3, 8, 16))
    nodes = [
        source((8, 8, 8), -8, 7),
        Node("conv", integer.Conv(Array(weights), window), ("x",)),
        Node("pool", integer.SumPool(Window((8, 8))), ("conv",)),
    ]
    graph = network("n", nodes)
    found = {
        name: lanes(schedule_fastest(graph, targets.get(name), 50.0, Effort())) for name in ("ultra96", "icebreaker")
    }
    assert found["ultra96"]["conv"] is None  # 64 cycles a frame, where folded it takes 9 for each position
    assert found["icebreaker"]["conv"] is not None
