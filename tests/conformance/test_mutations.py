"""The suite's comparisons find faults: every lowering of every operation, made wrong, is reported."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from datapath_bench import simulate
from datapath_cases import CASES as DATAPATH_CASES
from integer_bench import build_all, network_of, scheduled
from integer_cases import CASES, Case
from integer_laws import LAWS
from jinja2 import DictLoader, Environment
from test_integer import IMAGES, IN_HARDWARE, SAMPLES, emulator_differs, rtl_differs

from qcompile import templates
from qcompile.emulator import kernels
from qcompile.ir import datapath, integer
from qcompile.ir.array import Array
from qcompile.ir.integer import IntegerOp
from qcompile.lower import rules
from qcompile.lower.build import Builder, Lanes, Term
from qcompile.numerics.rounding import Rounding
from qcompile.numerics.span import Span

# Verilog macros -----------------------------------------------------------------------------------------------

FAULTS: dict[str, tuple[str, str]] = {
    "shift_add": ('"-" if n.op.subtract else "+"', '"+" if n.op.subtract else "-"'),
    "add_carry": (">> 1", ">> 2"),
    "add_three": ("n.op.shifts[loop.index0] - first", "n.op.shifts[loop.index0]"),
    "shift_left": ("<<< {{ n.op.amount }}", "<<< {{ n.op.amount - 1 }}"),
    "negate": ("-{{", "~{{"),
    "add_constant": ('"-" if n.op.value < 0 else "+"', '"+" if n.op.value < 0 else "-"'),
    "shift_right": ('">>>" if n.signed else ">>"', '">>"'),
    "round_even": ("- 1, 2)", ", 2)"),
    "round_significand": (") & (", ") | ("),
    "clamp": ("({{ n.inputs[0] }} < {{ n.literal(n.op.low) }}) ?", "({{ n.inputs[0] }} > {{ n.literal(n.op.low) }}) ?"),
    "maximum": ("> {{ n.inputs[1] }}", "< {{ n.inputs[1] }}"),
    "at_least": (">=", ">"),
    "greater": (">", ">="),
    "select": ("{{ n.inputs[1] }} : {{ n.inputs[2] }}", "{{ n.inputs[2] }} : {{ n.inputs[1] }}"),
    "count_ones": ('" + "', '" | "'),
    "constant": ("n.op.value", "n.op.value + 1"),
    "input": ("n.high }}:{{ n.low", "n.high + 1 }}:{{ n.low + 1"),
    "lookup": ("({{ n.inputs[0] }})", "(~{{ n.inputs[0] }})"),
    "xnor": ("~(", "("),
    "signed_shift": ("~{{ power", "{{ power"),
    "bit": ("n.op.index", "n.op.index + 1"),
    "booth_digit": ("<<< 1", "<<< 2"),
    "extend": ("n.inputs[0] }}", "n.inputs[0] }} >>> 1"),
}
SEPARATE = "input"
"""Every case reads its lanes: with this one wrong, nothing would be right."""
UNUSED = "constant"
"""A constant's value is written where it is used, so its macro is rendered for no design."""


def with_faults(monkeypatch: pytest.MonkeyPatch, *mnemonics: str) -> None:
    """Rendering uses templates in which these macros are wrong."""
    names = ("verilog/ops.v.j2", "verilog/datapath.v.j2", "verilog/add_three.v.j2")
    sources = {name: (templates.path() / name).read_text() for name in names}
    lines = sources["verilog/ops.v.j2"].split("{% macro ")
    for mnemonic in mnemonics:
        right, wrong = FAULTS[mnemonic]
        (place,) = [k for k, text in enumerate(lines) if text.startswith(f"{mnemonic}(")]
        assert right in lines[place], mnemonic
        lines[place] = lines[place].replace(right, wrong)
    sources["verilog/ops.v.j2"] = "{% macro ".join(lines)
    faulty: Environment = templates.environment().overlay(loader=DictLoader(sources))
    faulty.cache = None

    def render(template: str, /, **names: object) -> str:
        return faulty.get_template(template).render(**names)

    monkeypatch.setattr("qcompile.backends.verilog.datapath.render", render)


def reported(monkeypatch: pytest.MonkeyPatch, *mnemonics: str) -> set[str]:
    with_faults(monkeypatch, *mnemonics)
    # A few hundred cases less: the build is what takes long.
    cases = [case for cases in DATAPATH_CASES.values() for case in (cases if len(cases) < 30 else cases[::5])]
    return {cases[k].op.mnemonic for k in simulate(cases).wrong()}


def test_every_macro_has_a_fault() -> None:
    assert set(FAULTS) == set(datapath.DATAPATH.registry)


@pytest.mark.xdist_group("conformance_datapath")
def test_a_wrong_verilog_macro_is_reported_for_its_operation(monkeypatch: pytest.MonkeyPatch, simulator: None) -> None:
    faulty = set(FAULTS) - {SEPARATE, UNUSED}
    assert reported(monkeypatch, *faulty) == faulty


@pytest.mark.xdist_group("conformance_datapath")
def test_wrong_lanes_are_reported(monkeypatch: pytest.MonkeyPatch, simulator: None) -> None:
    with_faults(monkeypatch, SEPARATE)
    cases = [*DATAPATH_CASES["input"], *DATAPATH_CASES["negate"][:2]]
    assert {cases[k].op.mnemonic for k in simulate(cases).wrong()} >= {SEPARATE}


# Rules from integer operations to datapaths, and NumPy kernels ------------------------------------------------


def _array(array: Array, change: Callable[[Any], Any]) -> Array:
    return Array(change(array.values.copy()))


def _first_more(values: Any) -> Any:
    values.flat[0] += 1
    return values


def wrong_operation(op: IntegerOp) -> IntegerOp | None:
    """The same operation with one parameter that is not its own; None where it has none."""
    match op:
        case integer.Conv() | integer.MatMul():
            return replace(op, weights=_array(op.weights, _first_more))
        case integer.WeightedSum(offsets=offsets):
            return replace(op, offsets=(offsets[0] + 1, *offsets[1:]))
        case integer.Rescale(rounding=rounding):
            return replace(op, rounding=Rounding.FLOOR if rounding is Rounding.HALF_EVEN else Rounding.HALF_EVEN)
        case integer.RoundSignificand(bits=bits):
            return replace(op, bits=bits + 1)
        case integer.Thresholds():
            return replace(op, at=_array(op.at, lambda at: at + 1))
        case integer.Lookup():
            return replace(op, table=_array(op.table, lambda table: table[:, ::-1]))
        case integer.Gather():
            return replace(op, order=_array(op.order, lambda order: order[..., ::-1]))
        case integer.Requantize(function=function):
            return replace(
                op, function=replace(function, quantizer=replace(function.quantizer, rounding=Rounding.CEIL))
            )
    return None


def faulty_kernel(make: Callable[..., kernels.Kernel]) -> Callable[..., kernels.Kernel]:
    """A kernel of a wrong operation, or of the right one with a wrong last step."""

    def wrong(op: IntegerOp, *types: Any, **layout: Any) -> kernels.Kernel:
        changed = wrong_operation(op)
        if changed is not None:
            return make(changed, *types, **layout)
        right = make(op, *types, **layout)

        def kernel(*values: Any) -> Any:
            result = np.array(right(*values), copy=True)
            result.flat[0] += 1
            return result

        return kernel

    return wrong


TABLES = {"samples first": kernels.KERNELS, "planar": kernels.PLANAR}
KERNELS = [(layout, kind) for layout, table in TABLES.items() for kind in table]


@pytest.mark.parametrize(("layout", "kind"), KERNELS, ids=[f"{kind.mnemonic}, {layout}" for layout, kind in KERNELS])
def test_a_wrong_kernel_is_reported(monkeypatch: pytest.MonkeyPatch, layout: str, kind: type[IntegerOp]) -> None:
    pooled = layout == "planar"
    cases = [case for case in (IMAGES if pooled else CASES) if type(case.op) is kind]
    assert not any(emulator_differs(case, pooled) for case in cases)
    monkeypatch.setitem(TABLES[layout], kind, faulty_kernel(TABLES[layout][kind]))
    assert any(emulator_differs(case, pooled) for case in cases)


def faulty_rule(rule: Callable[..., Lanes]) -> Callable[..., Lanes]:
    """A rule that lowers a wrong operation, or the right one with a wrong first lane."""

    def wrong(build: Builder, op: IntegerOp, *operands: Lanes) -> Lanes:
        changed = wrong_operation(op)
        if changed is not None:
            return rule(build, changed, *operands)
        first, *rest = rule(build, op, *operands)
        node = build.value(first, "wrong")
        span = build.spans[node]
        # Within the lane's own type, so that nothing but the value is wrong.
        flipped = build.add("wrong_", datapath.AddConstant(1), node)
        return [Term(build.add("wrong_", datapath.Clamp(span.low, span.high), flipped)), *rest]

    return wrong


@pytest.mark.xdist_group("conformance_rtl")
def test_a_wrong_rule_is_reported_for_its_operation(monkeypatch: pytest.MonkeyPatch, simulator: None) -> None:
    """One design per rule, of the first case whose fault shows in its values."""
    chosen = {type(case.op): case for case in reversed(IN_HARDWARE) if fault_shows(case)}
    chosen = {kind: case for kind, case in chosen.items() if kind in rules.RULES}
    assert set(chosen) == set(rules.RULES)
    designs = {}
    for kind, case in chosen.items():
        with monkeypatch.context() as patch:
            patch.setitem(rules.RULES, kind, faulty_rule(rules.RULES[kind]))
            designs[str(case)] = scheduled(network_of(case)[0])
    built = build_all(designs)
    assert {type(case.op) for case in chosen.values() if rtl_differs(built, case, 0.3, 1)} == set(rules.RULES)


def fault_shows(case: Case) -> bool:
    """Whether the wrong operation gives other values in this case."""
    changed = wrong_operation(case.op)
    if changed is None:
        return True
    found = [changed.evaluate(*(v[s] for v in case.values)).ravel().tolist() for s in range(SAMPLES)]
    return found != [wanted.ravel().tolist() for wanted in case.wanted]


# Definitions --------------------------------------------------------------------------------------------------


def _mutated_cases() -> Iterator[tuple[Case, IntegerOp]]:
    for case in CASES:
        changed = wrong_operation(case.op)
        if changed is not None:
            yield case, changed


def test_a_wrong_definition_breaks_its_law() -> None:
    """The laws know what an operation means without asking it."""
    broken = set()
    for case, changed in _mutated_cases():
        for sample in range(SAMPLES):
            operands = [v[sample] for v in case.values]
            found, meant = LAWS[case.op.mnemonic](case.op, changed.evaluate(*operands), *operands)
            if found != meant:
                broken.add(case.op.mnemonic)
    assert broken == {case.op.mnemonic for case, _ in _mutated_cases()}
    assert len(broken) > 6 and Span(0, 1).size == 2
