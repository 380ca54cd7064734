"""The integer program of an allocation: one format for each layer's weights and for each tensor."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import product

import numpy as np

from qcompile.explore.structure import Site

Choice = tuple[int, int]
"""Indices of the weights' format and of the format of what the layer reads."""


@dataclass(frozen=True)
class Program:
    """``loss_of_weights`` [site][format], ``loss_of_tensors`` [tensor][format]: what each choice costs in accuracy;
    below 0 where it gains.

    ``cost`` [site][choice]: what the layer costs in hardware; ``moved`` [tensor][format]: layers without weights of
    their own that move that tensor. ``fixed``: what the rest costs.
    """

    sites: list[Site]
    loss_of_weights: Mapping[str, list[float]]
    loss_of_tensors: Mapping[int, list[float]]
    cost: Mapping[str, Mapping[Choice, float]]
    moved: Mapping[int, list[float]]
    fixed: float


@dataclass(frozen=True)
class Solution:
    """Index of the format by site (those with weights) and by tensor; ``loss`` and ``cost`` as a program foretells."""

    weights: Mapping[str, int]
    tensors: Mapping[int, int]
    loss: float = field(default=0.0, compare=False)
    cost: float = field(default=0.0, compare=False)

    def __hash__(self) -> int:
        return hash((frozenset(self.weights.items()), frozenset(self.tensors.items())))


def solve(program: Program, budget: float) -> Solution | None:
    """The least predicted loss within ``budget``, by HiGHS; None where nothing is cheap enough."""
    from scipy.optimize import Bounds, LinearConstraint, milp

    index: dict[tuple[object, ...], int] = {}
    loss: list[float] = []
    cost: list[float] = []

    def variable(key: tuple[object, ...], loses: float, costs: float) -> int:
        index[key] = len(loss)
        loss.append(loses)
        cost.append(costs)
        return index[key]

    rows: list[tuple[dict[int, float], float]] = []
    for tensor, losses in program.loss_of_tensors.items():
        moved = program.moved.get(tensor, [0.0] * len(losses))
        made = [variable(("tensor", tensor, a), losses[a], moved[a]) for a in range(len(losses))]
        rows.append((dict.fromkeys(made, 1.0), 1.0))
    for site in program.sites:
        if site.name not in program.cost:
            continue
        losses = program.loss_of_weights.get(site.name, [0.0])
        formats = sorted({a for _, a in program.cost[site.name]})
        for w, a in product(range(len(losses)), formats):
            variable(("site", site.name, w, a), losses[w], program.cost[site.name][w, a])
        every = [index["site", site.name, w, a] for w, a in product(range(len(losses)), formats)]
        rows.append((dict.fromkeys(every, 1.0), 1.0))
        if site.reads:
            for a in formats:
                # The layer reads format a exactly where the tensor has it.
                row = {index["site", site.name, w, a]: 1.0 for w in range(len(losses))}
                rows.append((row | {index["tensor", site.reads[0], a]: -1.0}, 0.0))
    matrix = np.zeros((len(rows), len(loss)))
    for number, (row, _) in enumerate(rows):
        for column, value in row.items():
            matrix[number, column] = value
    equal = np.array([right for _, right in rows])
    scale = max(1e-30, *map(abs, loss))  # HiGHS has absolute tolerances
    found = milp(
        np.array(loss) / scale,
        constraints=[
            LinearConstraint(matrix, equal, equal),
            LinearConstraint(np.array(cost)[None], -np.inf, budget - program.fixed),
        ],
        integrality=np.ones(len(loss)),
        bounds=Bounds(0, 1),
        options={"mip_rel_gap": 1e-4},
    )
    if found.x is None:
        return None
    chosen = [key for key, column in index.items() if found.x[column] > 0.5]
    return Solution(
        {str(key[1]): int(str(key[2])) for key in chosen if key[0] == "site" and key[1] in program.loss_of_weights},
        {int(str(key[1])): int(str(key[2])) for key in chosen if key[0] == "tensor"},
        float(sum(loss[index[key]] for key in chosen)),
        program.fixed + float(sum(cost[index[key]] for key in chosen)),
    )
