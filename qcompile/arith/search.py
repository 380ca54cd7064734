"""Search for a cheap set of rows: greedy sharing from several starts, then destroy and repair with annealing."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from qcompile.arith.candidates import Scoring
from qcompile.arith.compiled import entry, in_place
from qcompile.arith.pricing import cost_rows, depth_limits, emit_adders
from qcompile.arith.rewriting import rebuild
from qcompile.arith.rows import Ints, Outputs, Rows, uniform
from qcompile.arith.sharing import make_tables, share
from qcompile.arith.starting import starting_rows

_HOPELESS = 0.5
"""Width of an adder, in those of an average one, that more adders must come down to for a result to be priced."""


class Problem(NamedTuple):
    """Columns [outputs, inputs]; ranges and arrival times of the inputs; the depth allowed; what adders cost."""

    columns: Ints
    low: Ints
    high: Ints
    arrival: Ints
    max_depth: int
    per_adder: float
    per_bit: float


class Plan(NamedTuple):
    """How to search, within about ``budget`` steps of work.

    ``starts`` [n, 4] are greedy runs: penalty and levels of the difference tree, dense digits or not, bias. Then up
    to ``portion`` neighbouring rows, at random, are taken apart and shared again, with scores scaled by up to
    ``1 ± noise / 2``; ``heat`` is the temperature at first, in average adders.
    """

    starts: Ints
    budget: int
    heat: float
    noise: float
    portion: int


class _Found(NamedTuple):
    rows: Rows
    size: int
    outputs: Outputs
    cost: float


@in_place
def _take_apart(rows: Rows, count: int, portion: int, random: Ints, apart: Ints) -> None:
    """Marks up to ``portion`` rows used by the same few rows, because neighbours can be shared anew together."""
    wanted = 1 + int(min(0.9 * count, portion) * uniform(random))
    chance = 0.3 + 0.7 * uniform(random)
    marked = 0
    for _ in range(count):
        user = int(uniform(random) * count)
        for i in range(rows.start[user], rows.start[user] + rows.length[user]):
            r = rows.source[i] - rows.inputs
            if r >= 0 and not apart[r] and uniform(random) < chance:
                apart[r] = 1
                marked += 1
        if marked >= wanted:
            break


@in_place
def _adders(rows: Rows, count: int) -> int:
    total = 0
    for r in range(count):
        total += rows.length[r] - 1
    return total


@entry
def search(problem: Problem, plan: Plan, random: Ints) -> tuple[Ints, Ints]:
    """Adders [n, 5] and outputs [columns, 3], see ``emit_adders``, of the cheapest rows found.

    In annealing a worse result is kept with the probability of Kirkpatrick, Gelatt and Vecchi, Optimization by
    Simulated Annealing, 1983, at a temperature that falls to nothing. ``work[0]`` counts steps.
    """
    work = np.zeros(1, np.int64)
    ends = np.empty((problem.columns.shape[0], 3), np.int64)
    starts, budget, max_depth = plan.starts, plan.budget, problem.max_depth
    outputs = problem.columns.shape[0]
    tables = make_tables(1024, 4 * problem.columns.size, 1024)
    rows, start_ends = starting_rows(
        problem.columns, problem.low, problem.high, problem.arrival, max_depth, starts[0], work
    )
    now = _Found(rows, outputs, start_ends, np.inf)
    best = now
    begun = 0
    last = 0
    step = 0
    while step == 0 or work[0] + last < budget:
        before = work[0]
        temperature = 0.0
        noise = 0.0
        recode = 0.0
        if step < starts.shape[0]:
            if step > 0:
                rows, start_ends = starting_rows(
                    problem.columns, problem.low, problem.high, problem.arrival, max_depth, starts[step], work
                )
            source = _Found(rows, outputs, start_ends, np.inf)
            apart = np.zeros(outputs, np.int64)
            bias = float(starts[step, 3])
        else:
            if step == starts.shape[0]:
                now = best
                begun = before
            source = now
            apart = np.zeros(source.size, np.int64)
            left = (budget - before) / (budget - begun)
            temperature = plan.heat * left * best.cost / best.rows.start[best.size]
            _take_apart(source.rows, source.size, plan.portion, random, apart)
            noise = plan.noise * uniform(random)
            bias = 1.0 + 12.0 * uniform(random)
            recode = 0.1
        trial, size, trial_ends = rebuild(source.rows, source.size, source.outputs, apart, recode, random)
        work[0] += 64 + 4 * trial.start[size]
        limit = depth_limits(trial, size, max_depth)
        made, tables = share(trial, size, limit, Scoring(bias, noise), tables, random, work)
        worse = -temperature * math.log(uniform(random) + 1e-300)
        adders = _adders(now.rows, now.size)
        more = _adders(trial, made) - adders
        # Pricing takes a fifth of the time, and most results can be told to be worse without it.
        if step < starts.shape[0] or more * _HOPELESS * now.cost <= worse * adders:
            trial, size, trial_ends = rebuild(trial, made, trial_ends, np.zeros(made, np.int64), 0.0, random)
            cost = cost_rows(trial, size, trial_ends, max_depth, problem.per_adder, problem.per_bit, work)
            found = _Found(trial, size, trial_ends, cost)
            if cost <= now.cost + worse:
                now = found
            if cost < best.cost:
                best = found
        last = work[0] - before
        step += 1
        if best.cost == 0.0:
            break
    return emit_adders(best.rows, best.size, best.outputs, max_depth, ends), ends
