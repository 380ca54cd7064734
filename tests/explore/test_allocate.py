"""Allocations meet their budget, beat the same formats everywhere, and can be fed back."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import numpy as np
import pytest

import qcompile
from qcompile.cli import main
from qcompile.errors import Collector, CompileError
from qcompile.explore import Allocation, Budget, Subject, allocate
from qcompile.explore.neighbours import foretold, neighbours
from qcompile.explore.solve import Program, solve
from qcompile.explore.structure import Site, carried_by, sites
from qcompile.frontend import read

ROOT = Path(__file__).resolve().parents[2]
MODEL, DIGITS = ROOT / "examples" / "digits_mlp.onnx", ROOT / "examples" / "digits.npz"
WEIGHTS, ACTIVATIONS = ["fixed:2", "fixed:3", "fixed:5"], ["fixed:3", "fixed:4"]


def subject() -> Subject:
    with np.load(DIGITS) as data:
        return Subject(str(MODEL), "ultra96", data["x_calib"], data["x_test"], data["y_test"], {})


def program(seed: int) -> Program:
    """Three layers in a row, the first two of which read tensors that a residual sum ties."""
    random = np.random.default_rng(seed)
    chain = [
        Site("input", frozenset(), 0, (), 0),
        Site("a", frozenset(), 0, (0,), 10),
        Site("b", frozenset(), 1, (0,), 10),
        Site("c", frozenset(), None, (1,), 10),
    ]

    def falling(count: int) -> list[float]:
        return [*np.sort(random.uniform(0, 1, count - 1))[::-1], 0.0]

    cost = {
        name: {(w, a): float((w + 1) * (a + 1) * random.integers(5, 20)) for w in range(3) for a in range(2)}
        for name in "abc"
    }
    losses = {name: falling(3) for name in "abc"}
    return Program(chain, losses, {0: falling(2), 1: falling(2)}, cost, {1: [1.0, 2.0]}, 5.0)


@pytest.mark.parametrize("seed", range(6))
def test_the_program_finds_the_best_of_all_choices(seed: int) -> None:
    given = program(seed)
    for budget in (40.0, 90.0, 150.0, 1000.0):
        best = None
        for wa, wb, wc, t0, t1 in product(range(3), range(3), range(3), range(2), range(2)):
            cost = given.cost["a"][wa, t0] + given.cost["b"][wb, t0] + given.cost["c"][wc, t1] + given.moved[1][t1] + 5
            loss = sum(given.loss_of_weights[n][w] for n, w in zip("abc", (wa, wb, wc), strict=True))
            loss += given.loss_of_tensors[0][t0] + given.loss_of_tensors[1][t1]
            if cost <= budget and (best is None or loss < best):
                best = loss
        found = solve(given, budget)
        assert (found is None) == (best is None)
        if found is not None and best is not None:
            assert found.loss == pytest.approx(best, rel=1e-3, abs=1e-6)
            assert found.cost <= budget + 1e-6


@pytest.mark.parametrize("seed", range(3))
def test_neighbours_change_one_or_two_formats_and_are_foretold_as_the_program_solves(seed: int) -> None:
    given = program(seed)
    best = solve(given, 90.0) or solve(given, 1000.0)
    assert best is not None
    again = foretold(given, best)
    assert (again.loss, again.cost) == (pytest.approx(best.loss), pytest.approx(best.cost))
    found = neighbours(given, best)
    assert found and [one.loss for one in found] == sorted(one.loss for one in found)
    for one in found:
        steps = [abs(one.weights[n] - best.weights[n]) for n in best.weights]
        steps += [abs(one.tensors[t] - best.tensors[t]) for t in best.tensors]
        assert sum(steps) in (1, 2) and max(steps) == 1
        assert one.cost > 90.0 or best.cost > 90.0 or one.loss >= best.loss - 1e-6


def test_layers_tensors_and_what_moves_them_are_found() -> None:
    graph = read(ROOT / "examples" / "digits_cnn.onnx", Collector()).graph
    found = sites(graph)
    assert [(s.name, s.weights, s.tensor, s.reads) for s in found] == [
        ("image", 0, 0, ()),
        ("conv1", 72, 1, (0,)),
        ("conv2", 576, 2, (1,)),
        ("fc", 320, None, (2,)),
    ]
    moved = carried_by(graph, found)
    assert (moved["pool1"], moved["pool2"]) == (1, 2)


@pytest.fixture(scope="module")
def within() -> Allocation:
    return allocate(subject(), WEIGHTS, ACTIVATIONS, Budget("luts", 6500))


def test_an_allocation_meets_its_budget_and_no_uniform_choice_in_it_is_better(within: Allocation) -> None:
    assert within.cost == within.point.lut <= 6500
    fitting = [point for point, cost in within.uniform if cost <= 6500]
    assert fitting and all(within.point.error <= point.error for point in fitting)
    assert len(within.uniform) == 6


def test_an_allocation_can_be_fed_back(within: Allocation, tmp_path: Path) -> None:
    written = tmp_path / "qcompile.toml"
    written.write_text(within.toml({}))
    made = qcompile.compile(MODEL, target="ultra96", calibration=subject().calibration, config=written, effort=0)
    assert made.report["totals"]["lut"] == within.point.lut


def test_the_reverse_finds_something_cheaper_than_the_widest_formats_and_good_enough() -> None:
    found = allocate(subject(), WEIGHTS[1:], ACTIVATIONS[1:], max_accuracy_loss=1.5)
    assert found.point.accuracy is not None and found.point.accuracy >= 97.25 - 1.5
    assert found.cost < max(cost for _, cost in found.uniform)
    enough = [cost for point, cost in found.uniform if point.accuracy is not None and point.accuracy >= 97.25 - 1.5]
    assert found.cost <= min(enough)


def test_goals_out_of_reach_are_refused_with_the_nearest_that_is_not() -> None:
    with pytest.raises(CompileError, match=r"QC206.*luts:10.*the cheapest choice takes \d"):
        allocate(subject(), WEIGHTS[:1], ACTIVATIONS[:1], Budget("luts", 10))
    with pytest.raises(CompileError, match=r"QC207.*--max-accuracy-loss 0.*the best choice loses \d+\.\d\d points"):
        allocate(subject(), WEIGHTS[:1], ACTIVATIONS[:1], max_accuracy_loss=0)


def test_bytes_of_weights_are_a_budget_too() -> None:
    found = allocate(subject(), WEIGHTS, ACTIVATIONS[-1:], Budget("bytes", 1300))
    bits = {name: int(formats["weights"][-1]) for name, formats in found.layers.items() if "weights" in formats}
    counts = {"fc1": 2048, "fc2": 1024, "fc3": 320}
    default = int(found.point.weights[-1])
    assert found.cost == sum(count * bits.get(name, default) / 8 for name, count in counts.items()) <= 1300


@pytest.mark.parametrize("text", ["luts", "luts:", "luts:-3", "lut:100", "bytes:1.5", "luts:0"])
def test_a_budget_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(CompileError, match=r"QC505.*is not a budget"):
        Budget.parse(text, "--budget")


def test_the_command_writes_a_configuration(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "qcompile.toml"
    words = ["allocate", str(MODEL), "--target", "ultra96", "--calibrate", str(DIGITS), "--budget", "luts:9000", "-q"]
    assert main([*words, "--weights", "fixed:2,fixed:4", "--activations", "fixed:4", "-o", str(out)]) == 0
    assert "LUTs" in capsys.readouterr().out
    assert '[layers."fc' in out.read_text() or "fixed:2" in out.read_text()
