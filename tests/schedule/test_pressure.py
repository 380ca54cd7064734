"""FIFOs at joins under random stalls: never a deadlock, never fuller than computed, and not much deeper than needed."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from integer_networks import NETWORKS
from pressure_model import Stuck, run
from test_folded import NONE, ONE, ULTRA96, small_network

from qcompile.ir import hardware, integer
from qcompile.ir.array import Array
from qcompile.ir.graph import Graph, Node
from qcompile.ir.window import Window
from qcompile.lower.build import Effort
from qcompile.numerics.function import Affine
from qcompile.numerics.quantizer import Quantizer
from qcompile.schedule import Design, schedule

FRAMES = 3
FOLDINGS = [None, 60, 400]


def many_branches() -> Graph:
    """A value with three users of different reach, joined by two sums behind a residual."""
    rng = np.random.default_rng(5)
    same = Window((3, 3), pads=(1, 1, 1, 1))

    def conv(window: Window) -> integer.Conv:
        return integer.Conv(Array(rng.integers(-3, 4, (*window.kernel, 4, 4))), window, 1, 0)

    codes = integer.Rescale((1,), (0,), (4,), -8, 7)
    both = integer.WeightedSum(((1,), (1,)), (0,))
    order = Array(np.arange(6 * 5 * 4).reshape(6, 5, 4))
    source = integer.Input((1, 6, 5, 4), order, Affine(ONE, NONE), Quantizer(ONE, NONE, -8, 7))
    nodes = [Node("x", source, ())]
    for name, op, operands in (
        ("a", conv(same), ("x",)),
        ("s", both, ("x", "a_q")),
        ("far", conv(same), ("s_q",)),
        ("farther", conv(same), ("far_q",)),
        ("near", conv(Window((1, 1))), ("s_q",)),
        ("t", both, ("farther_q", "near_q")),
        ("u", both, ("t_q", "s_q")),
    ):
        nodes += [Node(name, op, operands), Node(f"{name}_q", codes, (name,))]
    shape = Array(np.arange(6 * 5 * 4).reshape(1, 6, 5, 4))
    nodes.append(Node("y", integer.Output((1, 6, 5, 4), shape, ONE, NONE), ("u_q",)))
    return Graph(integer.INTEGER, "branches", tuple(nodes), ("y",)).verify()


@cache
def design(name: str, cycles: int | None) -> Design:
    made = {"branches": many_branches, "residual": lambda: small_network(1, pads=(1, 1, 1, 1))}
    graph = made[name]() if name in made else NETWORKS[name]
    return schedule(graph, ULTRA96, 200.0, Effort(0), cycles=cycles)


def joins(graph: Graph) -> dict[str, int]:
    """The FIFOs before joins, and their depths."""
    fifos = (node for node in graph.nodes if isinstance(node.op, hardware.Fifo) and ".fifo" in node.name)
    return {node.name: node.op.depth for node in fifos}  # type: ignore[attr-defined]


@pytest.mark.parametrize("cycles", FOLDINGS)
@pytest.mark.parametrize("name", ["residual", "branches", "attention"])
def test_no_stall_makes_a_design_deadlock_or_a_fifo_overflow(name: str, cycles: int | None) -> None:
    graph = design(name, cycles).graph
    depths = joins(graph)
    marks = dict.fromkeys(depths, 0)
    for stall, seed in ((0.0, 0), (0.3, 1), (0.7, 2)):
        _, high = run(graph, FRAMES, stall, seed)
        marks = {fifo: max(mark, high[fifo]) for fifo, mark in marks.items()}
    assert depths
    assert all(marks[fifo] <= depth for fifo, depth in depths.items())
    if name != "attention":  # there FIFOs further up the branch hold beats that this depth counts once more
        assert max(depths.values()) <= 2 * max(marks.values())


@pytest.mark.parametrize("cycles", FOLDINGS)
@pytest.mark.parametrize("name", ["residual", "branches", "attention"])
def test_deeper_fifos_make_nothing_faster(name: str, cycles: int | None) -> None:
    graph = design(name, cycles).graph
    needed, _ = run(graph, FRAMES)
    unlimited, _ = run(graph, FRAMES, depths=dict.fromkeys(joins(graph), 10**6))
    assert needed == unlimited


@pytest.mark.parametrize("cycles", FOLDINGS)
@pytest.mark.parametrize("name", ["residual", "branches"])
def test_a_fifo_of_one_beat_deadlocks(name: str, cycles: int | None) -> None:
    graph = design(name, cycles).graph
    _, high = run(graph, FRAMES)
    fullest = max(joins(graph), key=high.__getitem__)
    with pytest.raises(Stuck):
        run(graph, FRAMES, depths={fullest: 1})
