"""Every datapath operation and every component as C++: bits equal to their definitions."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from datapath_bench import case_graph
from datapath_cases import CASES as DATAPATH_CASES
from datapath_cases import evaluate
from hls_bench import csims, natives, only_datapath, projects
from integer_bench import network_of, scheduled
from integer_cases import CASES, Case
from integer_networks import FOLDED, NETWORKS
from test_integer import random_codes

from qcompile import templates
from qcompile.backends.hls import Hls, lint_no_runtime_multiplication
from qcompile.emulator import Emulator
from qcompile.ir.datapath import DATAPATH
from qcompile.ir.hardware import HARDWARE
from qcompile.verify.csim import Csim, Native, ap_types
from qcompile.verify.vectors import pack, unpack

EVERY_CASE = [case for cases in DATAPATH_CASES.values() for case in cases]
IN_HARDWARE = [case for case in CASES if case.hardware]
EVERY_NETWORK = [*NETWORKS, *(f"{name}, folded" for name in FOLDED)]
HELPERS = {"type", "entry", "number", "only_value", "shifted", "balanced_sum", "moved_by"}
"""Macros that other macros use."""


def macros(template: str) -> set[str]:
    module = templates.environment().get_template(template).module
    return {name for name in vars(module) if not name.startswith("_")}


def test_every_datapath_operation_has_a_macro_and_no_macro_is_left_over() -> None:
    assert macros("hls/ops.cpp.j2") - HELPERS == set(DATAPATH.registry)


def test_every_component_has_a_macro_and_no_macro_is_left_over() -> None:
    assert macros("hls/hardware.cpp.j2") == set(HARDWARE.registry)


# Datapath operations --------------------------------------------------------------------------------------


def rows() -> tuple[np.ndarray, np.ndarray]:  # type: ignore[type-arg]
    """Operands [row, lane] and results [row, case] of all cases side by side."""
    count = max(len(case.inputs) for case in EVERY_CASE)
    lanes = [[case.inputs[r % len(case.inputs)] for r in range(count)] for case in EVERY_CASE]
    wanted = [[evaluate(case, row) for row in values] for case, values in zip(EVERY_CASE, lanes, strict=True)]
    return np.concatenate([np.array(v, np.int64).reshape(count, -1) for v in lanes], axis=1), np.array(wanted).T


@pytest.fixture(scope="module")
def cases() -> dict[str, Hls]:
    return projects({"cases": only_datapath(case_graph(EVERY_CASE))})


def wrong(found: np.ndarray, wanted: np.ndarray) -> list[Any]:  # type: ignore[type-arg]
    return [EVERY_CASE[k] for k in np.nonzero((found != wanted).any(axis=0))[0]]


@pytest.mark.xdist_group("hls_cases")
@pytest.mark.parametrize("headers", ["shim", "ap_types"])
def test_every_operation_computes_what_its_definition_gives(cases: dict[str, Hls], headers: str, tmp_path: Any) -> None:
    folder = ap_types()
    if headers == "ap_types" and folder is None:
        pytest.skip("ap_types headers are not installed: pip install qcompile[hls]")
    include = ("shim",) if headers == "shim" else (f"-I{folder}", "shim")
    simulation = csims(cases, tmp_path, ("-O0", *include))["cases"]
    source, sink = cases["cases"].source, cases["cases"].sink
    operands, wanted = rows()
    assert wrong(unpack(simulation.run(pack(operands, source)), sink)[:, 0], wanted) == []


@pytest.mark.xdist_group("hls_cases")
@pytest.mark.parametrize("lanes", [1, 4])
def test_every_operation_on_the_hosts_integers_too(cases: dict[str, Hls], lanes: int, tmp_path: Any) -> None:
    operands, wanted = rows()
    assert wrong(natives(cases, tmp_path, lanes)["cases"].run(operands)[:, 0], wanted) == []


# Components -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def networks() -> dict[str, Hls]:
    designs = {str(case): scheduled(network_of(case)[0]) for case in IN_HARDWARE}
    designs |= {name: scheduled(graph) for name, graph in NETWORKS.items()}
    return projects(designs | {f"{name}, folded": scheduled(NETWORKS[name], FOLDED[name]) for name in FOLDED})


@pytest.fixture(scope="module")
def simulations(networks: dict[str, Hls], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Csim]:
    return csims(networks, tmp_path_factory.mktemp("csim"), ("-O0", "shim"))


def run(simulation: Csim, hls: Hls, codes: Any) -> list[int]:
    return [int(v) for v in unpack(simulation.run(pack(codes, hls.source)), hls.sink).ravel()]


@pytest.mark.xdist_group("hls_networks")
@pytest.mark.parametrize("case", IN_HARDWARE, ids=str)
def test_an_operation_gives_what_its_definition_gives(
    networks: dict[str, Hls], simulations: dict[str, Csim], case: Case
) -> None:
    codes = network_of(case)[1]
    assert run(simulations[str(case)], networks[str(case)], codes) == [int(v) for v in case.wanted.ravel()]


@pytest.mark.xdist_group("hls_networks")
@pytest.mark.parametrize("name", EVERY_NETWORK)
def test_a_network_gives_what_the_emulator_gives(
    networks: dict[str, Hls], simulations: dict[str, Csim], name: str
) -> None:
    graph = NETWORKS[name.removesuffix(", folded")]
    codes = random_codes(graph, 40)
    assert run(simulations[name], networks[name], codes) == Emulator(graph).run(codes)["y"].ravel().tolist()


@pytest.mark.xdist_group("hls_networks")
def test_networks_on_the_hosts_integers_give_what_the_emulator_gives(networks: dict[str, Hls], tmp_path: Any) -> None:
    chosen = {name: networks[name] for name in EVERY_NETWORK}
    emulators: dict[str, Native] = natives(chosen, tmp_path, 4)
    for name, emulator in emulators.items():
        graph = NETWORKS[name.removesuffix(", folded")]
        codes = random_codes(graph, 7)
        assert (emulator.run(codes).ravel() == Emulator(graph).run(codes)["y"].ravel()).all(), name


def test_no_network_multiplies_at_run_time(networks: dict[str, Hls], cases: dict[str, Hls]) -> None:
    for hls in (*networks.values(), *cases.values()):
        for name in hls.synthesized:
            assert lint_no_runtime_multiplication(hls.files[name]) == []
