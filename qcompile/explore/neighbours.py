"""Allocations next to one that is known: one format changed, or one narrowed to pay for another."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import product

from qcompile.explore.solve import Program, Solution

Variable = tuple[str, str | int]
"""("weights", site) or ("tensors", tensor)."""


def neighbours(program: Program, start: Solution) -> list[Solution]:
    """Every change of one or two formats by one step, with what the program foretells; the least loss first."""
    single = list(steps(program, start))
    found = dict.fromkeys(one for _, one in single)
    for (moved, one), (other, _) in product(single, single):
        if moved != other:
            found |= dict.fromkeys(two for variable, two in steps(program, one) if variable == other)
    found.pop(start, None)
    return sorted((foretold(program, one) for one in found), key=lambda one: (one.loss, one.cost))


def foretold(program: Program, chosen: Solution) -> Solution:
    """``chosen`` with the program's loss and cost of it."""
    loss = sum(program.loss_of_weights[name][w] for name, w in chosen.weights.items())
    loss += sum(program.loss_of_tensors[tensor][a] for tensor, a in chosen.tensors.items())
    cost = program.fixed + sum(program.moved[t][a] for t, a in chosen.tensors.items() if t in program.moved)
    for site in program.sites:
        own = program.cost.get(site.name)
        if own is None:
            continue
        a = chosen.tensors[site.reads[0]] if site.reads else min(a for _, a in own)
        cost += own[chosen.weights.get(site.name, 0), a]
    return replace(chosen, loss=loss, cost=cost)


def steps(program: Program, start: Solution) -> Iterator[tuple[Variable, Solution]]:
    """Every change of one format by one step, and which it is."""
    for name, held in start.weights.items():
        for index in _next(held, program.loss_of_weights[name]):
            yield ("weights", name), replace(start, weights={**start.weights, name: index})
    for tensor, held in start.tensors.items():
        for index in _next(held, program.loss_of_tensors[tensor]):
            yield ("tensors", tensor), replace(start, tensors={**start.tensors, tensor: index})


def _next(index: int, choices: list[float]) -> Iterator[int]:
    return (other for other in (index - 1, index + 1) if 0 <= other < len(choices))
