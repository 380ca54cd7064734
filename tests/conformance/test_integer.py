"""Every integer operation: its definition against its law, its NumPy kernel and its RTL against its definition."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from integer_bench import Built, network_of
from integer_cases import CASES, SAMPLES, Case, Operand
from integer_laws import LAWS
from integer_networks import FOLDED, NETWORKS

from qcompile.emulator import Emulator
from qcompile.emulator.kernels import KERNELS, PLANAR, storage
from qcompile.ir import hardware, integer
from qcompile.ir.graph import Graph, IRError
from qcompile.ir.integer import INTEGER, IntegerOp
from qcompile.lower.rules import RULES

ALL = {op.mnemonic for op in INTEGER.registry.values()}
LEAVES = {"input"}
"""No value goes in: `test_input_and_output` has its definition."""
NO_DATAPATH = LEAVES | {
    "output",  # lanes leave as they are
    "reshape",  # beats are collected and distributed, nothing is computed
    "requantize",  # a pass has put a cheaper operation in its place
}
IN_HARDWARE = [case for case in CASES if case.hardware]


def mnemonics(table: dict[type[IntegerOp], Any]) -> set[str]:
    return {op.mnemonic for op in table}


def test_every_operation_has_cases_a_law_a_kernel_and_a_rule() -> None:
    assert {case.op.mnemonic for case in CASES} == ALL - LEAVES
    assert set(LAWS) == ALL - LEAVES
    assert mnemonics(KERNELS) | mnemonics(PLANAR) == ALL - LEAVES
    assert mnemonics(RULES) == ALL - NO_DATAPATH
    assert {case.op.mnemonic for case in IN_HARDWARE} == ALL - LEAVES


@pytest.mark.xdist_group("conformance_rtl")
def test_the_networks_use_every_component(built: Built) -> None:
    used = {node.op.mnemonic for design in built.designs.values() for node in design.graph.nodes}
    assert used == set(hardware.HARDWARE.registry)


def test_case_names_differ() -> None:
    assert len({str(case) for case in CASES}) == len(CASES)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_definition_obeys_its_law(case: Case) -> None:
    for sample in range(SAMPLES):
        found, meant = LAWS[case.op.mnemonic](case.op, case.wanted[sample], *(v[sample] for v in case.values))
        assert found == meant
        assert len(meant) == case.wanted[sample].size > 0


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_type_holds_every_result(case: Case) -> None:
    assert case.wanted.shape[1:] == case.result.shape
    for channel, span in enumerate(case.result.spans):
        assert set(map(type, case.wanted[..., channel].ravel().tolist())) == {int}
        assert all(value in span for value in case.wanted[..., channel].ravel().tolist())


def emulator_differs(case: Case, pooled: bool = False) -> bool:
    """Of the one-operation network, both as it runs and with every value kept."""
    graph, codes = network_of(case, pooled)
    emulator = Emulator(graph)
    wanted = case.wanted.ravel().tolist()
    runs = (emulator.run(codes)["y"], emulator.trace(codes)["y"])
    assert all(found.shape == case.wanted.shape for found in runs)
    return any([int(v) for v in found.ravel().tolist()] != wanted for found in runs)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_the_emulator_gives_what_the_definition_gives(case: Case) -> None:
    assert not emulator_differs(case)


IMAGES = [case for case in CASES if all(len(kind.shape) == 3 for kind in case.types)]


@pytest.mark.parametrize("case", IMAGES, ids=str)
def test_the_emulator_gives_what_the_definition_gives_behind_a_pool(case: Case) -> None:
    assert not emulator_differs(case, pooled=True)


def test_every_operation_is_tried_in_all_four_number_types() -> None:
    kinds: dict[str, set[np.dtype[Any]]] = {}
    for case in CASES:
        kinds.setdefault(case.op.mnemonic, set()).update(storage(kind) for kind in (*case.types, case.result))
    every = {np.dtype(kind) for kind in (np.float32, np.float64, np.int64, object)}
    few = {mnemonic for mnemonic, found in kinds.items() if found != every}
    assert few == {"lookup", "xnor"}  # a table has int64 entries, and its index few values; bits have two


def rtl_differs(built: Built, case: Case, stall: float, seed: int) -> bool:
    _, codes = network_of(case)
    found, _ = built.run(str(case), codes, seed=seed, stall=stall)
    return found.ravel().tolist() != case.wanted.ravel().tolist()


@pytest.mark.xdist_group("conformance_rtl")
@pytest.mark.parametrize("case", IN_HARDWARE, ids=str)
def test_the_rtl_gives_what_the_definition_gives_with_and_without_stalls(built: Built, case: Case) -> None:
    assert not rtl_differs(built, case, 0.0, 0)
    assert not rtl_differs(built, case, 0.3, 1)
    assert not rtl_differs(built, case, 0.8, 2)


@pytest.mark.xdist_group("conformance_rtl")
@pytest.mark.parametrize("name", [*NETWORKS, *(f"{name}, folded" for name in FOLDED)])
@pytest.mark.parametrize("stall", [0.0, 0.05, 0.5, 0.9])
def test_networks_with_joins_never_deadlock_and_agree_with_the_emulator(built: Built, name: str, stall: float) -> None:
    graph = NETWORKS[name.removesuffix(", folded")]
    codes = random_codes(graph, 40)
    wanted = Emulator(graph).run(codes)["y"]
    for seed in range(4):
        found, _ = built.run(name, codes, seed=seed, stall=stall)
        assert found.ravel().tolist() == wanted.ravel().tolist()


def random_codes(graph: Graph, samples: int) -> Any:
    source = graph.nodes[0].op
    assert isinstance(source, integer.Input) and source.quantizer.span is not None
    span = source.quantizer.span
    return np.random.default_rng(5).integers(span.low, span.high + 1, (samples, *source.order.shape))


@pytest.mark.parametrize("name", NETWORKS)
def test_the_emulator_of_a_network_composes_the_definitions(name: str) -> None:
    graph = NETWORKS[name]
    codes = random_codes(graph, 5)
    found = Emulator(graph).run(codes)["y"]
    for sample in range(len(codes)):
        values = {"x": codes[sample].astype(object)}
        for node in graph.nodes[1:]:
            assert isinstance(node.op, IntegerOp)
            values[node.name] = node.op.evaluate(*(values[name] for name in node.inputs))
        assert (found[sample] == values["y"]).all()


BAD: list[tuple[IntegerOp, tuple[Any, ...], str]] = [
    (integer.Reshape((5,)), ((2, 3),), "(2, 3) has other elements than (5,)"),
    (integer.Concat(), ((2, 3), (3, 3)), "shapes [(2, 3), (3, 3)]"),
    (integer.Maximum(), ((2, 3), (2, 2)), "shapes (2, 3) and (2, 2)"),
    (integer.Product(), ((2, 3), (3, 2)), "shapes (2, 3) and (3, 2)"),
    (integer.MaxPool(CASES[0].op.window), ((4, 3),), "needs [rows, columns, channels], found (4, 3)"),  # type: ignore[attr-defined]
    (integer.Rescale((1,), (0,), (-1,), 0, 1), ((3,),), "rounding must be FLOOR or HALF_EVEN, shifts non-negative"),
    (integer.WeightedSum(((1,),), (0,)), ((3,), (3,)), "1 factors for operands [(3,), (3,)]"),
    (CASES[0].op, ((4, 4, 3),), "weights (3, 3, 2, 3), groups 1, input (4, 4, 3)"),
]


@pytest.mark.parametrize(("op", "shapes", "message"), BAD, ids=lambda value: getattr(value, "mnemonic", None))
def test_operands_that_do_not_fit_are_refused(op: IntegerOp, shapes: tuple[Any, ...], message: str) -> None:
    with pytest.raises(IRError) as error:
        op.result_type(*(Operand(shape).type for shape in shapes))
    assert str(error.value) == message


def test_input_and_output_read_and_show_reals_exactly() -> None:
    """The input's codes are those of the affine function of the reals, the output's reals those of its codes."""
    case = next(case for case in CASES if isinstance(case.op, integer.Output) and case.hardware)
    graph, _ = network_of(case)
    emulator = Emulator(graph)
    reals = np.arange(-12, 12).reshape(3, *case.op.onnx_shape) / 2  # type: ignore[attr-defined]
    codes = emulator.encode(reals)
    wanted = [max(-8, min(7, round(Fraction(float(v))))) for v in reals.ravel()]
    assert [int(v) for v in codes.ravel()] == wanted
