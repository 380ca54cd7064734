"""The cost model: figures of single operations as Yosys counts them, and what must hold whatever the figures are."""

from itertools import pairwise

import numpy as np
import pytest

import qcompile
from qcompile.ir import datapath
from qcompile.ir.array import Array
from qcompile.ir.graph import Graph, Node
from qcompile.numerics.span import Span
from qcompile.schedule.cells import luts
from qcompile.schedule.estimate import _memory
from qcompile.targets import get, names

ULTRA96 = get("ultra96")


def _luts(op: datapath.DatapathOp, *spans: Span, target: str = "ultra96") -> float:
    inputs = tuple(Node(f"i{k}", datapath.Input(0, k, span), ()) for k, span in enumerate(spans))
    node = Node("y", op, tuple(n.name for n in inputs))
    graph = Graph(datapath.DATAPATH, "g", (*inputs, node), ("y",))
    return luts(node, list(spans), graph.types["y"], get(target))


def _signed(width: int) -> Span:
    return Span.of_bits(width, True)


def _unsigned(width: int) -> Span:
    return Span.of_bits(width, False)


# As `python benchmarks/resources.py --operations` prints them.
@pytest.mark.parametrize(
    ("op", "spans", "measured"),
    [
        (datapath.ShiftAdd(0, 0), (_unsigned(8), _unsigned(8)), 8),
        (datapath.ShiftAdd(3, 0), (_unsigned(8), _unsigned(8)), 5),
        (datapath.ShiftAdd(3, 0), (_signed(8), _signed(8)), 8),
        (datapath.ShiftAdd(0, 2), (_signed(12), _signed(6)), 10),
        (datapath.ShiftAdd(0, 4), (_unsigned(6), _unsigned(12)), 2),
        (datapath.ShiftAdd(10, 0), (_unsigned(8), _unsigned(8)), 0),
        (datapath.ShiftAdd(0, 0, True), (_signed(8), _signed(8)), 9),
        (datapath.ShiftAdd(3, 0, True), (_signed(8), _signed(8)), 11),
        (datapath.ShiftAdd(0, 3, True), (_unsigned(8), _unsigned(8)), 9),
        (datapath.ShiftAdd(10, 0, True), (_signed(8), _signed(8)), 16),
        (datapath.AddConstant(37), (_signed(14),), 3),
        (datapath.AddConstant(-37), (_signed(14),), 12),
        (datapath.AddConstant(-16), (_signed(8),), 4),
        (datapath.Negate(), (_signed(8),), 7),
        (datapath.Select(), (Span(0, 1), _signed(8), _signed(8)), 8),
    ],
)
def test_additions_cost_what_yosys_counts(op: datapath.DatapathOp, spans: tuple[Span, ...], measured: int) -> None:
    assert _luts(op, *spans) == measured


@pytest.mark.parametrize("target", names())
@pytest.mark.parametrize("signed", [True, False])
def test_wider_operands_never_cost_less(target: str, signed: bool) -> None:
    def kind(width: int) -> Span:
        return Span.of_bits(width, signed)

    one_operand = [datapath.Negate(), datapath.Clamp(0, 7), datapath.AtLeast(3), datapath.AddConstant(5)]
    two_operands = [datapath.ShiftAdd(a, b, s) for a in (0, 2) for b in (0, 3) for s in (False, True)]
    two_operands += [datapath.Maximum(), datapath.Greater()]
    for op in one_operand:
        costs = [_luts(op, kind(w), target=target) for w in range(4, 20)]
        assert costs == sorted(costs), op
    for op in two_operands:
        costs = [_luts(op, kind(w), kind(w), target=target) for w in range(4, 20)]
        assert costs == sorted(costs), op
    tables = [datapath.Lookup(Array(np.arange(1 << w) % 16), 0) for w in range(4, 12)]
    costs = [_luts(op, Span.of_bits(w, False), target=target) for w, op in zip(range(4, 12), tables, strict=True)]
    assert costs == sorted(costs)


def test_a_constant_costs_nothing() -> None:
    assert _luts(datapath.Clamp(3, 3), _signed(8)) == 0


# (words, bits) of memories with registered reads, as Yosys maps them for UltraScale+: LUTs or block RAMs.
@pytest.mark.parametrize(
    ("depth", "width", "lut", "bram18"),
    [
        (8, 8, 8, 0),
        (32, 96, 56, 0),
        (48, 32, 40, 0),
        (64, 96, 112, 0),
        (128, 8, 42, 0),
        (100, 32, 0, 1),
        (128, 96, 0, 3),
        (256, 8, 76, 0),
        (512, 8, 0, 1),
        (1024, 32, 0, 2),
        (1024, 96, 0, 6),
    ],
)
def test_memories_become_what_yosys_makes_of_them(depth: int, width: int, lut: int, bram18: int) -> None:
    cost = _memory(depth, width, ULTRA96)
    assert cost.bram18 == bram18
    assert cost.lut == pytest.approx(lut, rel=0.1)


@pytest.mark.parametrize("target", names())
def test_larger_memories_never_take_fewer_blocks(target: str) -> None:
    for width in (4, 16, 40, 100):
        blocks = [_memory(depth, width, get(target)).bram18 for depth in (8, 32, 64, 128, 500, 512, 1000, 5000)]
        assert blocks == sorted(blocks)


def test_more_bits_cost_more() -> None:
    """LUTs, flip-flops and adders of a dense network, in its weights' and in its activations' bits."""
    random = np.random.default_rng(0)
    model = _dense(random.normal(size=(8, 6)).astype(np.float32))
    samples = random.normal(size=(64, 8)).astype(np.float32)

    def totals(weights: int, activations: int) -> list[int]:
        formats = {"weights": f"fixed:{weights}", "activations": f"fixed:{activations}"}
        report = qcompile.compile(model, target="ultra96", calibration=samples, **formats).report
        return [report["totals"][key] for key in ("lut", "ff", "adders")]

    by_weights = [totals(bits, 6) for bits in (3, 5, 8)]
    assert all(a <= b for less, more in pairwise(by_weights) for a, b in zip(less, more, strict=True))
    by_activations = [totals(5, bits)[:2] for bits in (3, 5, 8)]
    assert by_activations == sorted(by_activations)


def _dense(weights: np.ndarray) -> object:
    from onnx import TensorProto, helper, numpy_helper

    node = helper.make_node("Gemm", ["x", "w"], ["y"], name="fc")
    ends = [
        helper.make_tensor_value_info(n, TensorProto.FLOAT, [1, s]) for n, s in zip("xy", weights.shape, strict=True)
    ]
    graph = helper.make_graph([node], "dense", ends[:1], ends[1:], [numpy_helper.from_array(weights, "w")])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)
