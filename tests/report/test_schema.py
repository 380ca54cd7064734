"""report.json: the structure that others script against, and its checker."""

import json
from typing import Any, get_type_hints, is_typeddict

import pytest
from report_example import example_report

from qcompile.report import SCHEMA_VERSION, check, schema, to_json


def test_a_full_report_is_good_and_survives_json() -> None:
    report = example_report()
    assert check(report) == []
    assert check(json.loads(to_json(report))) == []


def test_the_promised_keys_are_there_and_required() -> None:
    promised = {
        "Report": ["model", "target", "layers", "totals"],
        "Layer": ["name", "onnx_nodes", "engine", "input_format", "weight_format", "output_format", "inputs", "shape"],
        "Totals": ["adders", "lut", "ff", "bram18", "dsp", "latency_cycles", "ii_cycles", "fps", "clock_mhz"],
        "Verify": ["samples", "rtl_mismatches", "reference_max_abs_error"],
        "Synth": ["lut", "ff", "carry", "bram18", "dsp"],
    }
    promised["Layer"] += ["adders", "lut", "ff", "bram18", "dsp", "latency_cycles"]
    for name, keys in promised.items():
        assert set(keys) <= getattr(schema, name).__required_keys__, name
    assert {"accuracy_float", "accuracy_emulator"} <= schema.Verify.__optional_keys__
    assert SCHEMA_VERSION == 2


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda r: r.pop("model"), "report.model is missing"),
        (lambda r: r["layers"][1].pop("lut"), "report.layers[1].lut is missing"),
        (lambda r: r["layers"][0].update(lut=1.5), "report.layers[0].lut is float 1.5, not an integer"),
        (lambda r: r["layers"][0].update(lut=True), "report.layers[0].lut is bool True, not an integer"),
        (lambda r: r["totals"].update(fps="fast"), "report.totals.fps is str 'fast', not a number"),
        (lambda r: r.update(target=3), "report.target is int 3, not text or null"),
        (lambda r: r.update(layers={}), "report.layers is dict {}, not a list"),
        (lambda r: r["synth"]["cells"].update(FDRE=None), "report.synth.cells.FDRE is null, not an integer"),
        (lambda r: r.update(verify=[]), "report.verify is list [], not an object"),
        (lambda r: r["verify"].update(speed=1), "report.verify.speed is not documented"),
        (lambda r: r.update(schema_version=1), "report.schema_version is 1, this qcompile reads 2"),
    ],
)
def test_each_flaw_is_named_with_its_place(change: Any, problem: str) -> None:
    report = example_report()
    change(report)
    assert check(report) == [problem]


def test_lists_of_numbers_take_one_line_and_no_text_is_touched() -> None:
    report = example_report()
    report["layers"][0]["reason"] = "[ 1,\n 2 ]"
    text = to_json(report)
    assert '"shape": [8, 8, 4],\n' in text
    assert json.loads(text) == report


def test_something_else_than_a_report_is_told_apart() -> None:
    assert check([1]) == ["report is list [1], not an object"]


def test_every_key_is_documented(docs_report: str) -> None:
    structures = [kind for kind in vars(schema).values() if is_typeddict(kind)]
    assert len(structures) > 10
    keys = {key for kind in structures for key in get_type_hints(kind)}
    assert sorted(key for key in keys if f"`{key}`" not in docs_report) == []
