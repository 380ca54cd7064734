"""Every datapath operation: its definition against its law, and its Verilog against its definition."""

from __future__ import annotations

from fractions import Fraction

import pytest
from datapath_bench import Outcome, case_graph, rendered
from datapath_cases import CASES, SPANS, evaluate
from datapath_laws import LAWS

from qcompile import templates
from qcompile.ir.array import Array
from qcompile.ir.datapath import DATAPATH, AddThree, CountOnes, Extend, Lookup, RoundEven, Select, ShiftAdd
from qcompile.ir.graph import IRError
from qcompile.numerics.span import Span

EVERY_CASE = [case for cases in CASES.values() for case in cases]
HELPERS = {"shifted", "passing_sum", "aligned", "half", "by_binade", "chosen_power"}
"""Macros that other macros use."""


def test_every_operation_has_cases_a_law_and_a_verilog_macro() -> None:
    template = templates.environment().get_template("verilog/ops.v.j2")
    macros = {name for name in vars(template.module) if not name.startswith("_")} - HELPERS
    assert set(CASES) == set(DATAPATH.registry)
    assert set(LAWS) == set(DATAPATH.registry)
    assert macros == set(DATAPATH.registry)


@pytest.mark.parametrize("mnemonic", CASES)
def test_the_cases_are_of_their_operation_and_more_than_one(mnemonic: str) -> None:
    assert len(CASES[mnemonic]) > 5
    assert {case.op.mnemonic for case in CASES[mnemonic]} == {mnemonic}


def test_the_spans_are_signed_and_unsigned_narrow_and_wide() -> None:
    assert {span.signed for span in SPANS} == {False, True}
    assert {span.width for span in SPANS} >= {1, 3, 4, 8, 34, 41}


@pytest.mark.parametrize("mnemonic", sorted(set(CASES) - {"input", "constant", "count_ones", "signed_shift"}))
def test_an_operand_too_many_or_too_few_is_refused(mnemonic: str) -> None:
    for case in CASES[mnemonic][:1]:
        for spans in ((*case.lanes, case.lanes[0]), case.lanes[1:]):
            with pytest.raises((IRError, ValueError)):
                case.op.result_type(*spans)


@pytest.mark.parametrize("mnemonic", CASES)
def test_a_definition_obeys_its_law(mnemonic: str) -> None:
    for case in CASES[mnemonic]:
        for lanes in case.inputs:
            assert Fraction(evaluate(case, lanes)) == LAWS[mnemonic](case.op, *case.arguments(lanes)), (case, lanes)


@pytest.mark.parametrize("mnemonic", CASES)
def test_a_result_type_is_the_least_that_holds_every_result(mnemonic: str) -> None:
    """Save where that is the operation's purpose, or where a choice is never made."""
    for case in CASES[mnemonic]:
        found = [evaluate(case, lanes) for lanes in case.inputs]
        assert case.result.holds(Span.of(found)), case
        chosen = isinstance(case.op, Select) and case.lanes[0].size == 1
        widened = isinstance(case.op, Extend)
        if case.exhaustive and not chosen and not widened:
            assert case.result == Span.of(found), case


@pytest.mark.xdist_group("conformance_datapath")
@pytest.mark.parametrize("mnemonic", CASES)
def test_the_verilog_gives_what_the_definition_gives(outcome: Outcome, mnemonic: str) -> None:
    wrong = [EVERY_CASE[k] for k in outcome.wrong()]
    assert [case for case in wrong if case.op.mnemonic == mnemonic] == []


def test_the_verilog_of_the_cases_has_registers_only_where_there_are_stages() -> None:
    files = rendered(case_graph(EVERY_CASE))
    assert "posedge" not in files["cases_plain.v"]
    assert files["cases_staged.v"].count("posedge") == 3


@pytest.mark.parametrize(
    ("op", "operands", "message"),
    [
        (RoundEven(0), [Span(0, 7)], "rounding needs at least one bit to drop"),
        (Select(), [Span(0, 2), Span(0, 1), Span(0, 1)], "condition in 0..2"),
        (CountOnes(), [Span(-1, 0)], "needs one-bit operands"),
        (CountOnes(), [], "needs one-bit operands"),
        (Lookup(Array([1, 2]), 0), [Span(0, 2)], "a table from 0 with 2 entries for 0..2"),
        (Lookup(Array([1, 2]), 1), [Span(0, 1)], "a table from 1 with 2 entries for 0..1"),
        (ShiftAdd(0, 0, span=Span(0, 15)), [Span(0, 7), Span(0, 7)], "claimed span 0..15 exceeds 0..14"),
        (AddThree((0, 0, 1), span=Span(0, 5)), [Span(0, 1)] * 3, "claimed span 0..5 exceeds 0..4"),
        (AddThree((0, 0, 0), 3), [Span(0, 1)] * 3, "3 of three operands are subtracted"),
    ],
)
def test_operands_that_do_not_fit_are_refused(op: object, operands: list[Span], message: str) -> None:
    with pytest.raises(IRError) as error:
        op.result_type(*operands)  # type: ignore[attr-defined]
    assert str(error.value) == message
