"""The builds that many tests share: made by whichever process comes first, read by the others."""

from __future__ import annotations

import fcntl
import os
import pickle
from collections.abc import Callable
from typing import TypeVar

import pytest
from datapath_bench import Outcome, simulate
from datapath_cases import CASES as DATAPATH_CASES
from integer_bench import Built, build_all, emit_all, network_of, scheduled, with_fifos
from integer_cases import CASES
from integer_networks import FOLDED, NETWORKS

from qcompile.errors import CompileError
from qcompile.verify import verilator

_Made = TypeVar("_Made")


def _once(factory: pytest.TempPathFactory, name: str, make: Callable[[], _Made]) -> _Made:
    """``make()``, run by one of the test processes."""
    folder = factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent
    kept = folder / f"{name}.pickle"
    with (folder / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not kept.exists():
            kept.write_bytes(pickle.dumps(make()))
    made: _Made = pickle.loads(kept.read_bytes())
    return made


@pytest.fixture(scope="session")
def simulator() -> None:
    try:
        verilator.find_verilator()
        verilator.find_compiler()
    except CompileError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def outcome(simulator: None, tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    """Every case of every datapath operation, simulated."""
    cases = [case for cases in DATAPATH_CASES.values() for case in cases]
    return _once(tmp_path_factory, "datapath", lambda: simulate(cases))


@pytest.fixture(scope="session")
def built(simulator: None, tmp_path_factory: pytest.TempPathFactory) -> Built:
    """Every network in one simulation."""
    designs = {str(case): scheduled(network_of(case)[0]) for case in CASES if case.hardware}
    designs |= {name: scheduled(graph) for name, graph in NETWORKS.items()}
    designs |= {f"{name}, folded": scheduled(NETWORKS[name], FOLDED[name]) for name in FOLDED}
    designs["residual, starved"] = with_fifos(designs["residual"], 6)

    def emitted_and_compiled() -> dict[str, object]:
        rtl = emit_all(designs)
        build_all(designs, rtl)
        return dict(rtl)

    return build_all(designs, _once(tmp_path_factory, "networks", emitted_and_compiled))  # type: ignore[arg-type]
