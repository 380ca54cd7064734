"""Every form that weights from ROM can take gives the same sums, and counts are counts."""

from __future__ import annotations

import numpy as np
import pytest

from qcompile.ir import datapath
from qcompile.ir.graph import Graph
from qcompile.lower.build import Builder, Effort
from qcompile.lower.counting import count_steps, popcount
from qcompile.lower.folded import forms, products
from qcompile.lower.words import Words
from qcompile.numerics.span import Span

WEIGHTS = {
    "signs": (-1, 1),
    "ternary": (-1, 0, 1),
    "one digit": (-2, -1, 0, 1, 2),
    "three bits": (-4, -3, -2, -1, 0, 1, 2, 3),
    "powers": (-8, -4, -2, -1, 0, 1, 2, 4, 8),
    "powers without zero": (-16, -4, 4, 16),
    "two powers": (-20, -7, 0, 3, 12, 24),
    "none": (0,),
    "positive": (1, 5),
}
OPERANDS = (Span(0, 1), Span(-1, 1), Span(0, 7), Span(-8, 7), Span(-3, 200))


def computed(graph: Graph, lanes: dict[tuple[int, int], int]) -> dict[str, int]:
    values: dict[str, int] = {}
    for node in graph.nodes:
        op = node.op
        assert isinstance(op, datapath.DatapathOp)
        held = isinstance(op, datapath.Input)
        values[node.name] = lanes[op.stream, op.lane] if held else op.evaluate(*(values[i] for i in node.inputs))
        assert values[node.name] in graph.types[node.name]
    return values


@pytest.mark.parametrize("span", OPERANDS, ids=str)
@pytest.mark.parametrize("kind", WEIGHTS)
def test_all_forms_of_weights_give_the_sum_of_products(kind: str, span: Span) -> None:
    draw = np.random.default_rng(1)
    weights = draw.choice(WEIGHTS[kind], (9, 2, 5))
    for name, form in forms([span] * 5, weights).items():
        build = Builder("sums", Effort(0))
        x = [build.add(f"x{k}", datapath.Input(0, k, span)) for k in range(5)]
        words = Words(9)
        nodes, deficits = products(build, x, weights, words, form)
        graph = build.finish(nodes)
        for word in range(9):
            operands = draw.integers(span.low, span.high + 1, 5)
            lanes = {(0, k): int(value) for k, value in enumerate(operands)}
            lanes |= {(1, k): words.values[word] >> k & 1 for k in range(words.width)}
            values = computed(graph, lanes)
            found = [values[node] + deficits[word, result] for result, node in enumerate(nodes)]
            assert found == (weights[word] @ operands).tolist(), name


def test_the_forms_that_weights_can_take() -> None:
    def names(kind: str, span: Span) -> set[str]:
        return set(forms([span], np.array(WEIGHTS[kind]).reshape(-1, 1, 1)))

    assert names("signs", Span(0, 1)) == {"signs"}
    assert names("ternary", Span(0, 1)) == {"digits", "bit planes"}
    assert names("powers", Span(-128, 127)) == {"digits", "powers of two"}
    assert names("two powers", Span(0, 3)) == {"digits", "bit planes", "powers of two"}


@pytest.mark.parametrize("together", [2, 3])
@pytest.mark.parametrize("count", [0, 1, 2, 3, 4, 7, 8, 15, 22, 40])
def test_a_popcount_counts(count: int, together: int) -> None:
    build = Builder("count", Effort(0))
    total = popcount(build, [build.add(f"b{k}", datapath.Input(0, k, Span(0, 1))) for k in range(count)], together)
    graph = build.finish([total])
    assert build.spans[total] == Span(0, count)
    for bits in np.random.default_rng(2).integers(0, 2, (8, count)).tolist():
        assert computed(graph, {(0, k): bit for k, bit in enumerate(bits)})[total] == sum(bits)


@pytest.mark.parametrize("count", [0, 1, 2, 3, 5, 7, 12, 15])
def test_steps_in_order_are_counted_by_choices_alone(count: int) -> None:
    build = Builder("steps", Effort(0))
    total = count_steps(build, [build.add(f"b{k}", datapath.Input(0, k, Span(0, 1))) for k in range(count)])
    graph = build.finish([total])
    assert build.spans[total] == Span(0, count)
    for reached in range(count + 1):
        assert computed(graph, {(0, k): int(k < reached) for k in range(count)})[total] == reached
    adders = [(n.op, n.inputs) for n in graph.nodes if isinstance(n.op, datapath.ShiftAdd)]
    assert all(op.disjoint(*(graph.types[i] for i in inputs)) for op, inputs in adders)
