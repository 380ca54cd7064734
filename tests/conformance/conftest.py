"""The one build of all networks, shared by the tests of results and of timing."""

from __future__ import annotations

import pytest
from integer_bench import Built, build_all, network_of, scheduled, with_fifos
from integer_cases import CASES
from networks import FOLDED, NETWORKS

from qcompile.errors import CompileError
from qcompile.verify import verilator


@pytest.fixture(scope="session")
def built() -> Built:
    try:
        verilator.find_verilator()
        verilator.find_compiler()
    except CompileError as error:
        pytest.skip(str(error))
    designs = {str(case): scheduled(network_of(case)[0]) for case in CASES if case.hardware}
    designs |= {name: scheduled(graph) for name, graph in NETWORKS.items()}
    designs |= {f"{name}, folded": scheduled(NETWORKS[name], FOLDED[name]) for name in FOLDED}
    return build_all(designs | {"residual, starved": with_fifos(designs["residual"], 6)})
