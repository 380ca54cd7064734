"""`qcompile.estimate`: the report of a compile, without the hardware."""

from pathlib import Path
from typing import Any

import pytest

import qcompile
from qcompile.report import check

MODEL = Path(__file__).resolve().parents[2] / "examples" / "digits_cnn_qdq.onnx"


@pytest.mark.parametrize("choice", [{}, {"fps": 50_000}, {"fold": True}])
def test_an_estimate_is_what_a_compile_reports(choice: dict[str, Any]) -> None:
    stages: list[str] = []
    found = qcompile.estimate(MODEL, target="pynq-z2", progress=lambda stage, done: stages.append(stage), **choice)
    assert found == qcompile.compile(MODEL, target="pynq-z2", **choice).report
    assert check(found) == []
    assert "emit" not in stages


def test_a_design_that_does_not_fit_is_an_answer() -> None:
    found = qcompile.estimate(MODEL, target="icebreaker")
    assert not found["fits"] and found["excess"]


def test_the_report_says_what_was_asked_for() -> None:
    found = qcompile.estimate(MODEL.with_name("digits_mlp.onnx"), target="zcu104", fps=1000, weights="fixed:4")
    assert found["asked"] == {"weights": "fixed:4", "activations": "fixed:8", "fps": "1,000"}
    assert "asked" in qcompile.estimate(MODEL, target="zcu104", fold=True)
