"""Sums spelled out in terms of the inputs, for comments in generated sources."""

from __future__ import annotations

from qcompile.ir import datapath
from qcompile.ir.graph import Graph

_MOST_TERMS = 4  # of a linear form that is worth a comment


def linear_forms(graph: Graph) -> dict[str, str]:
    """``"x0 - 3 x2"`` for every adder of a datapath graph whose result is a short sum of inputs."""
    forms: dict[str, dict[str, int] | None] = {}
    texts: dict[str, str] = {}
    for node in graph.nodes:
        form: dict[str, int] | None = None
        match node.op:
            case datapath.Input():
                form = {node.name: 1}
            case datapath.ShiftAdd(left_shift=left, right_shift=right, subtract=subtract):
                a, b = (forms.get(name) for name in node.inputs)
                if a is not None and b is not None:
                    form = {name: factor << left for name, factor in a.items()}
                    for name, factor in b.items():
                        form[name] = form.get(name, 0) + ((-factor if subtract else factor) << right)
                    form = {name: factor for name, factor in form.items() if factor}
                if form is not None and len(form) <= _MOST_TERMS:
                    texts[node.name] = _text(form)
            case _:
                pass
        forms[node.name] = form if form is not None and len(form) <= _MOST_TERMS else None
    return texts


def _text(form: dict[str, int]) -> str:
    terms = [f"{'-' if f < 0 else '+'} {'' if abs(f) == 1 else f'{abs(f)} '}{lane}" for lane, f in form.items()]
    return " ".join(terms).removeprefix("+ ")
