"""Sweeps measure every point once, whatever happens in between."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from qcompile.cli import main
from qcompile.errors import CompileError
from qcompile.explore import Point, Subject, format_pairs, pareto, sweep

ROOT = Path(__file__).resolve().parents[2]
MODEL, DIGITS = ROOT / "examples" / "digits_mlp.onnx", ROOT / "examples" / "digits.npz"
PAIRS = format_pairs(["fixed"], 2, 4)


def subject() -> Subject:
    with np.load(DIGITS) as data:
        return Subject(str(MODEL), "ultra96", data["x_calib"], data["x_test"], data["y_test"], {})


def timeless(found: list[Point | str]) -> list[Point | str]:
    return [replace(p, seconds=0.0, layers=[]) if isinstance(p, Point) else p for p in found]


@pytest.fixture(scope="module")
def whole() -> list[Point | str]:
    return sweep(subject(), PAIRS)


def test_every_split_of_the_bits_of_a_minifloat_is_a_point() -> None:
    assert format_pairs(["minifloat"], 4, 4) == [(f"minifloat:e{e}m{3 - e}",) * 2 for e in (1, 2, 3)]
    assert len(format_pairs(["fixed", "minifloat"], 3, 8)) == 6 + 2 + 3 + 4 + 5 + 5 + 5
    assert format_pairs(["pow2"], 3, 6) == [("pow2:3", "fixed:4"), ("pow2:4", "fixed:4"), ("pow2:5", "fixed:5")]


def test_more_bits_cost_more_and_come_closer(whole: list[Point | str]) -> None:
    points = [p for p in whole if isinstance(p, Point)]
    assert [p.weights for p in points] == ["fixed:2", "fixed:3", "fixed:4"]
    assert points[0].lut < points[1].lut < points[2].lut
    assert points[0].error > points[1].error > points[2].error
    assert points[2].accuracy is not None and points[2].accuracy > 95


def test_a_killed_sweep_goes_on_where_it_was_and_ends_as_if_nothing_had_happened(
    whole: list[Point | str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = tmp_path / "points.jsonl"
    program = (
        "from pathlib import Path; import sys; sys.path.insert(0, sys.argv[1]); import test_sweep as t;"
        "t.sweep(t.subject(), t.PAIRS, Path(sys.argv[2]))"
    )
    running = subprocess.Popen([sys.executable, "-c", program, str(Path(__file__).parent), str(record)], cwd=ROOT)
    while running.poll() is None and not (record.exists() and record.read_text().count("\n")):
        time.sleep(0.02)
    running.send_signal(signal.SIGKILL)
    running.wait()
    finished = record.read_text().count("\n")
    assert 1 <= finished < len(PAIRS), "the sweep ended before it was killed"
    with record.open("a") as file:
        file.write('{"digest": "cut o')  # what a kill in the middle of a line leaves
    import qcompile.explore.sweep

    module = sys.modules["qcompile.explore.sweep"]
    assert qcompile.explore.sweep is not None
    real, measured = module.attempt, []  # type: ignore[attr-defined]

    def counted(subject: Subject, pair: tuple[str, str]) -> Point | str:
        measured.append(pair)
        return real(subject, pair)

    monkeypatch.setattr(module, "attempt", counted)
    assert timeless(sweep(subject(), PAIRS, record)) == timeless(whole)
    assert measured == PAIRS[finished:]
    measured.clear()
    assert timeless(sweep(subject(), PAIRS, record)) == timeless(whole)
    assert measured == []


def test_points_of_another_network_or_option_are_not_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = sys.modules["qcompile.explore.sweep"]
    record = tmp_path / "points.jsonl"
    monkeypatch.setattr(module, "attempt", lambda subject, pair: str(dict(subject.options)))
    first, other = subject(), replace(subject(), options={"scales": "free"})
    assert sweep(first, PAIRS[:1], record) == ["{}"]
    assert sweep(other, PAIRS[:1], record) == ["{'scales': 'free'}"]
    assert sweep(replace(first, calibration=first.calibration[:5]), PAIRS[:1], None) == ["{}"]
    held = [json.loads(line)["digest"] for line in record.read_text().splitlines()]
    assert len(set(held)) == 2


def test_processes_and_a_dask_cluster_give_the_same_points(whole: list[Point | str]) -> None:
    assert timeless(sweep(subject(), PAIRS[:2], workers=2)) == timeless(whole[:2])
    distributed = pytest.importorskip("dask.distributed", reason="dask[distributed] is not installed")
    with distributed.LocalCluster(
        n_workers=1, threads_per_worker=1, processes=False, dashboard_address=None
    ) as cluster:
        found = sweep(subject(), PAIRS[:1], scheduler=cluster.scheduler_address)
    assert timeless(found) == timeless(whole[:1])


def test_a_scheduler_that_does_not_answer_is_named() -> None:
    pytest.importorskip("dask.distributed", reason="dask[distributed] is not installed")
    with pytest.raises(CompileError, match=r"QC209.*tcp://127\.0\.0\.1:1.*no Dask scheduler answers"):
        sweep(subject(), PAIRS[:1], scheduler="tcp://127.0.0.1:1")


def test_a_quantized_network_is_refused() -> None:
    with pytest.raises(CompileError, match=r"QC208.*brings quantizers of its own"):
        sweep(replace(subject(), model=str(ROOT / "examples" / "digits_mlp_qdq.onnx")), PAIRS[:1])


def test_the_front_has_what_nothing_cheaper_beats() -> None:
    def point(lut: int, accuracy: float) -> Point:
        return Point("w", "a", lut, 0, 0, 0, accuracy, 0.0, 0.0, 0.0)

    points = [point(10, 90), point(5, 80), point(7, 79), point(10, 91), point(20, 91), point(30, 95)]
    assert pareto(points) == [point(5, 80), point(10, 91), point(30, 95)]


def test_the_command_prints_a_table_and_writes_csv_and_picture(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("matplotlib", reason="matplotlib is not installed")
    out, pictures = tmp_path / "points.csv", [tmp_path / "a.svg", tmp_path / "b.png"]
    record = tmp_path / "points.jsonl"
    for picture in pictures:
        words = ["sweep", str(MODEL), "--target", "ultra96", "--calibrate", str(DIGITS), "--kinds", "fixed", "-q"]
        words += ["--bits", "3", "4", "--csv", str(out), "--plot", str(picture), "--record", str(record)]
        assert main(words) == 0
    printed = capsys.readouterr().out
    assert "fixed:3" in printed and "% right" not in printed and "* no other point" in printed
    assert len(out.read_text().splitlines()) == 3 and out.read_text().startswith("weights,activations,accuracy")
    assert b"<svg" in pictures[0].read_bytes()[:400] and pictures[1].read_bytes().startswith(b"\x89PNG")
