"""report.txt: the verdict first, 100 columns, and nothing that differs from run to run."""

from pathlib import Path

from report_example import example_report

from qcompile.report import render_text
from qcompile.report.table import Column, bar, shortened, table

EXPECTED = Path(__file__).with_name("expected.txt")


def test_the_whole_report_reads_as_expected() -> None:
    assert render_text(example_report()) == EXPECTED.read_text()


def test_a_report_of_the_integer_graph_alone_says_so() -> None:
    report = example_report()
    for key in ("part", "available", "fits", "excess", "synth", "warnings"):
        del report[key]
    report |= {"target": None, "layers": [], "verify": {"samples": 8, "rtl_mismatches": None}}
    report["verify"]["reference_max_abs_error"] = 0.5
    assert render_text(report).splitlines() == [
        "digits without a target: the integer graph only",
        "",
        "exact     no RTL to compare: compile for a target",
        "error     at most 0.5 against the ONNX model on 8 samples",
        "",
        "verification",
        "------------------------------------------  ---",
        "samples                                       8",
        "ONNX model against emulator, largest error  0.5",
    ]


def test_a_design_that_does_not_fit_says_so_first_with_the_numbers() -> None:
    report = example_report()
    report |= {"fits": False, "excess": ["81,000 LUTs needed, the part has 70,560", "2 DSP blocks needed"]}
    lines = render_text(report).splitlines()
    assert lines[2:5] == [
        "fits      NO",
        "          81,000 LUTs needed, the part has 70,560",
        "          2 DSP blocks needed",
    ]


def test_rounding_that_was_asked_for_is_said_with_its_formats() -> None:
    report = example_report()
    report["residuals"] = {
        "format": "fixed:16:7 half_up",
        "constants": "fixed:12:8 half_up",
        "tensors": 1203,
        "constant_tensors": 153,
    }
    line = "rounded   as asked: 1,203 tensors to fixed:16:7 half_up, 153 constants to fixed:12:8 half_up"
    assert render_text(report).splitlines()[4] == line


def test_the_rate_is_what_was_measured_and_says_what_was_foretold() -> None:
    report = example_report()
    report["verify"] |= {"ii_cycles": 80}
    (line,) = (line for line in render_text(report).splitlines() if line.startswith("speed"))
    assert line.startswith("speed     2,500,000 samples/s at 200 MHz; ")
    assert line.endswith(", one sample every 80 (measured; the schedule foretold 64)")


def test_a_mismatch_is_not_overlooked() -> None:
    report = example_report()
    report["verify"]["rtl_mismatches"] = 2
    assert "exact     NO: 2 of 100 samples differ between RTL and emulator\n" in render_text(report)


def test_no_line_is_wider_than_100_columns_whatever_the_names() -> None:
    report = example_report()
    for layer in report["layers"]:
        layer |= {"name": "n" * 200, "engine": "e" * 80, "output_format": "o" * 60, "lut": 10**9, "ff": 10**9}
    report["synth"]["modules"] = {"m" * 150: report["synth"]["modules"]["digits_conv"]}
    tables = [line for line in render_text(report).splitlines() if not line.startswith("by ")]
    assert max(map(len, tables)) <= 100


def test_long_text_loses_its_middle_and_numbers_stay_whole() -> None:
    assert shortened("abcdefghij", 6) == "ab..ij"
    assert shortened("abc", 6) == "abc"
    rows = [["a" * 30, "1234567"], ["b", "1"]]
    assert table([Column("text", 20), Column("n", right=True)], rows, 22) == (
        "text                 n\n-------------  -------\naaaaaa..aaaaa  1234567\nb                    1"
    )


def test_bars_show_something_for_little_and_mark_what_is_too_much() -> None:
    assert [bar(share, 10) for share in (0, 0.001, 0.5, 1, 1.2)] == ["", "#", "#####", "##########", "#########!"]
