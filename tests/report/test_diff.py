"""Two builds side by side: what differs, layer by layer."""

from typing import Any

from report_example import example_report

from qcompile.report.diff import compare, render_diff


def _other() -> dict[str, Any]:
    report = example_report()
    report["totals"] |= {"lut": 1635, "fps": 6250000.0}
    report["layers"][0] |= {"lut": 1000, "engine": "folded convolution", "lanes": [2, 4], "sqnr_db": 20.5}
    report["layers"][0]["schedule"]["busy"] = 640
    report["layers"][1] |= {"name": "pool"}
    report["verify"]["accuracy_emulator"] = 0.97
    return report


def test_a_build_and_itself_do_not_differ() -> None:
    found = compare(example_report(), example_report())
    assert {layer["change"] for layer in found["layers"]} == {"same"}
    assert (found["verify"], "target" in found) == ({}, False)
    assert render_diff(found, "a", "b").endswith("\n2 of 2 layers are the same\n")


def test_layers_are_matched_by_name_and_their_figures_stand_side_by_side() -> None:
    found = compare(example_report(), _other())
    assert [(layer["name"], layer["change"]) for layer in found["layers"]] == [
        ("conv", "changed"),
        ("pool", "added"),
        ("a_very_long_name_as_exporters_like_to_write_it/GlobalAveragePool", "removed"),
    ]
    assert found["layers"][0]["pairs"] == {
        "engine": ["spatial adder graph", "folded convolution"],
        "lanes": [None, [2, 4]],
        "lut": [3120, 1000],
        "sqnr_db": [31.25, 20.5],
        "busy": [64, 640],
    }
    text = render_diff(found, "a", "b")
    assert max(map(len, text.splitlines())) <= 100
    words = [line.split() for line in text.splitlines()]
    assert ["LUT", "3,270", "1,635", "-1,635", "-50.0%"] in words
    assert ["accuracy", "97.50%", "97.00%", "-0.50", "points"] in words
    assert ["conv", "3,120", "1,000", "64", "640", "31.25", "20.5"] in words
    assert "\nconv: engine spatial adder graph -> folded convolution\n" in text
    assert text.endswith("\n0 of 3 layers are the same\n")


def test_the_verdict_is_part_of_it() -> None:
    found = compare(example_report(), example_report() | {"fits": False})
    assert found["fits"] == [True, False]
    assert "\nfits      yes -> NO\n" in render_diff(found, "a", "b")
