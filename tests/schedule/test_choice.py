"""schedule.json: what was chosen, edited, and fed back."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from test_folded import ULTRA96, golden

from qcompile.errors import CompileError
from qcompile.ir import hardware
from qcompile.lower.build import Effort
from qcompile.schedule import Choice, read_schedule, schedule, schedule_text

MLP = "digits_mlp_qdq.onnx"


def test_a_schedule_fed_back_gives_the_same_design(tmp_path: Path) -> None:
    design = schedule(golden(MLP), ULTRA96, 200.0, Effort(), cycles=300)
    path = tmp_path / "schedule.json"
    path.write_text(schedule_text(design))
    again = schedule(golden(MLP), ULTRA96, 200.0, Effort(), choices=read_schedule(path))
    assert again == design


def test_an_edited_schedule_changes_the_layers_that_it_names(tmp_path: Path) -> None:
    design = schedule(golden(MLP), ULTRA96, 200.0, Effort(), cycles=300)
    held = json.loads(schedule_text(design))
    held["layers"]["fc1"] |= {"simd": 4, "pe": 1}
    path = tmp_path / "schedule.json"
    path.write_text(json.dumps(held))
    edited = schedule(golden(MLP), ULTRA96, 200.0, Effort(), choices=read_schedule(path))
    assert [layer.lanes for layer in edited.layers if layer.name == "fc1"] == [(4, 1)]
    engine = next(n.op for n in edited.graph.nodes if isinstance(n.op, hardware.FoldedEngine) and n.op.layer == "fc1")
    assert (engine.vector, engine.repeats) == (16, 32)


def test_impossible_choices_are_told_together() -> None:
    choices = {"fc1": Choice(5, 3), "fc9": Choice(1, 1)}
    with pytest.raises(CompileError) as caught:
        schedule(golden(MLP), ULTRA96, 200.0, Effort(), choices=choices)
    assert str(caught.value) == (
        "error[QC505]: schedule: layer fc1: simd 5, pe 3\n"
        "  = help: simd must divide 64 and pe 32\n"
        "error[QC505]: schedule: there is no layer 'fc9' to fold\n"
        "  = help: did you mean fc3?"
    )


@pytest.mark.parametrize("text", ["", "{}", '{"layers": 3}', "[1]"])
def test_a_file_that_is_no_schedule_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "schedule.json"
    path.write_text(text)
    with pytest.raises(CompileError, match=r"QC505.*is not a schedule"):
        read_schedule(path)
