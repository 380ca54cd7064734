"""ONNX's own single-node cases: what agrees may only grow, nothing fails, every difference is explained."""

from __future__ import annotations

from collections import Counter
from importlib.metadata import version
from pathlib import Path

import pytest
from node_cases import claimed_cases, outcome, page
from node_counts import AGREE, ONNX_VERSION

DIFFER = {
    # The stored result is rounded to four decimals.
    "test_averagepool_2d_ceil_last_window_starts_on_pad",
    # Numbers beyond the integer type: the specification leaves the result open, the reference wraps.
    *(
        f"test_{cast}_{source}_to_{target}"
        for cast in ("cast", "castlike")
        for source in ("FLOAT", "FLOAT16")
        for target in ("INT2", "INT4", "UINT2", "UINT4")
    ),
}


@pytest.fixture(scope="module")
def outcomes():
    return [outcome(case) for case in claimed_cases()]


def test_no_case_of_a_claimed_operator_ends_in_an_exception(outcomes):
    assert [f"{o.case}: {o.text}" for o in outcomes if o.verdict == "failed"] == []


def test_every_difference_to_the_stored_results_is_known_and_explained(outcomes):
    assert {o.case for o in outcomes if o.verdict == "differs"} <= DIFFER


def test_the_cases_that_agree_only_grow_in_number(outcomes):
    if version("onnx") != ONNX_VERSION:
        pytest.skip(f"the counts are those of onnx {ONNX_VERSION}, installed is {version('onnx')}")
    found = Counter(o.operator for o in outcomes if o.verdict == "agrees")
    assert {op: (found[op], count) for op, count in AGREE.items() if found[op] < count} == {}
    assert set(found) <= set(AGREE), "record the new operators in node_counts.py"


def test_the_published_page_is_todays(outcomes):
    if version("onnx") != ONNX_VERSION:
        pytest.skip(f"the counts are those of onnx {ONNX_VERSION}, installed is {version('onnx')}")
    published = Path(__file__).resolve().parents[2] / "docs" / "operators.md"
    assert published.read_text() == page(outcomes)


def test_every_refusal_is_a_diagnostic_that_names_the_node_or_tensor(outcomes):
    for o in outcomes:
        if o.verdict == "refused":
            code, _, rest = o.text.partition(": ")
            assert code in {"error[QC103]", "error[QC104]", "error[QC105]", "error[QC106]", "error[QC107]"}
            assert rest
