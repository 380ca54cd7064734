"""Sums spelled out in terms of the inputs, for comments in generated sources."""

from __future__ import annotations

from collections.abc import Sequence

from qcompile.ir import datapath
from qcompile.ir.graph import Graph

_Form = dict[str, int]
_MOST_TERMS = 4  # of a linear form that is worth a comment


def linear_forms(graph: Graph) -> dict[str, str]:
    """``"x0 - 3 x2"`` for every adder of a datapath graph whose result is a short sum of inputs."""
    forms: dict[str, _Form | None] = {}
    texts: dict[str, str] = {}
    for node in graph.nodes:
        form: _Form | None = None
        match node.op:
            case datapath.Input():
                form = {node.name: 1}
            case datapath.ShiftAdd(left_shift=left, right_shift=right, subtract=subtract):
                form = _sum([forms[name] for name in node.inputs], [1 << left, -1 << right if subtract else 1 << right])
            case datapath.AddThree(shifts=shifts, subtracted=subtracted):
                factors = [-1 << s if k >= 3 - subtracted else 1 << s for k, s in enumerate(shifts)]
                form = _sum([forms[name] for name in node.inputs], factors)
            case _:
                pass
        if form is not None and len(form) > _MOST_TERMS:
            form = None
        forms[node.name] = form
        if form is not None and not isinstance(node.op, datapath.Input):
            texts[node.name] = _text(form)
    return texts


def _sum(forms: Sequence[_Form | None], factors: Sequence[int]) -> _Form | None:
    """The sum of the forms times their factors; None where one of them is unknown."""
    total: _Form = {}
    for form, factor in zip(forms, factors, strict=True):
        if form is None:
            return None
        for name, own in form.items():
            total[name] = total.get(name, 0) + factor * own
    return {name: factor for name, factor in total.items() if factor}


def _text(form: _Form) -> str:
    terms = [f"{'-' if f < 0 else '+'} {'' if abs(f) == 1 else f'{abs(f)} '}{lane}" for lane, f in form.items()]
    return " ".join(terms).removeprefix("+ ")
