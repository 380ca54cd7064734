"""What the scheduler says of a design's timing is what the simulation measures."""

from __future__ import annotations

import numpy as np
import pytest
from integer_bench import Built, network_of
from integer_cases import CASES
from integer_networks import FOLDED, NETWORKS

from qcompile.ir import integer
from qcompile.ir.graph import Graph
from qcompile.schedule.trace import initiation_interval, trace
from qcompile.verify.simulator import Deadlock

PINS = 2
"""Cycles of the register slices behind the input pins and before the output pins."""
GRAPHS: dict[str, Graph] = {str(case): network_of(case)[0] for case in CASES if case.hardware} | NETWORKS
ON_ENGINES = {f"{name}, folded": NETWORKS[name] for name in FOLDED}


def timing(built: Built, name: str) -> tuple[tuple[int, int, int], tuple[int, int, int | None]]:
    """First and last result beat of a frame, and cycles between frames: foretold, and measured."""
    source = (GRAPHS | ON_ENGINES)[name].nodes[0].op
    assert isinstance(source, integer.Input) and source.quantizer.span is not None
    codes = np.random.default_rng(0).integers(0, source.quantizer.span.high + 1, (16, *source.order.shape))
    _, run = built.run(name, codes, stall=0.0)
    design = built.designs[name]
    graph = design.graph
    latencies = {path: datapath.latency for path, datapath in design.datapaths.items()}
    cycle = trace(graph, latencies)[graph.outputs[0]].cycle
    foretold = (int(cycle[0]) + PINS, int(cycle[-1]) + PINS, initiation_interval(graph))
    return foretold, (run.latency_cycles, run.frame_latency_cycles, run.ii_cycles)


@pytest.mark.xdist_group("conformance_rtl")
@pytest.mark.parametrize("name", GRAPHS)
def test_a_design_takes_the_cycles_that_the_schedule_says(built: Built, name: str) -> None:
    foretold, measured = timing(built, name)
    assert measured == foretold


@pytest.mark.xdist_group("conformance_rtl")
@pytest.mark.parametrize("name", ON_ENGINES)
def test_a_folded_design_gives_a_frame_as_often_as_the_schedule_says(built: Built, name: str) -> None:
    """Also where a layer gives in bursts what the next takes slowly."""
    (*_, foretold), (*_, measured) = timing(built, name)
    assert measured == foretold


@pytest.mark.xdist_group("conformance_rtl")
def test_a_join_whose_fifo_is_too_shallow_deadlocks(built: Built) -> None:
    """The other side needs two rows and two pixels more before it has its first beat."""
    source = NETWORKS["residual"].nodes[0].op
    assert isinstance(source, integer.Input)
    codes = np.zeros((2, *source.order.shape), np.int64)
    for stall in (0.0, 0.4):
        with pytest.raises(Deadlock) as error:
            built.run("residual, starved", codes, stall=stall)
        assert error.value.out_beats == 0
    assert len(built.run("residual", codes)[0]) == 2
