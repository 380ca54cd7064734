"""Search for a cheap set of rows: greedy sharing from several starts, then destroy and repair with annealing."""

from __future__ import annotations

import math

import numpy as np

from qcompile.arith.candidates import Scoring
from qcompile.arith.compiled import compiled
from qcompile.arith.pricing import cost_rows, depth_limits
from qcompile.arith.rewriting import rebuild
from qcompile.arith.rows import Ints, Outputs, Rows, uniform
from qcompile.arith.sharing import share
from qcompile.arith.starting import starting_rows


@compiled
def _take_apart(rows: Rows, count: int, portion: int, random: Ints) -> Ints:
    """Marks up to ``portion`` rows used by the same few rows, because neighbours can be shared anew together."""
    apart = np.zeros(count, np.int64)
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
    return apart


@compiled
def search(
    columns: Ints,
    low: Ints,
    high: Ints,
    arrival: Ints,
    max_depth: int,
    starts: Ints,
    budget: int,
    heat: float,
    portion: int,
    per_adder: float,
    per_bit: float,
    random: Ints,
    work: Ints,
) -> tuple[Rows, int, Outputs]:
    """Cheapest rows found for ``columns`` [outputs, inputs] within about ``budget`` steps of work.

    ``starts`` [n, 4] are greedy runs: penalty and levels of the difference tree, dense digits or not, bias. Then up
    to ``portion`` neighbouring rows, at random, are taken apart and shared again; a worse result is kept with the
    probability of simulated annealing (Kirkpatrick, Gelatt and Vecchi, Optimization by Simulated Annealing, 1983),
    ``heat`` average adders at first, falling to none.
    """
    outputs = columns.shape[0]
    first, ends = starting_rows(
        columns, low, high, arrival, max_depth, starts[0, 0], starts[0, 1], starts[0, 2] != 0, work
    )
    now, now_count, now_ends, now_cost = first, outputs, ends, np.inf
    best, best_count, best_ends, best_cost = first, outputs, ends, np.inf
    begun = 0
    last = 0
    step = 0
    while step == 0 or work[0] + last < budget:
        before = work[0]
        temperature = 0.0
        bias = 0.0
        noise = 0.0
        recode = 0.0
        if step < starts.shape[0]:
            if step > 0:
                first, ends = starting_rows(
                    columns, low, high, arrival, max_depth, starts[step, 0], starts[step, 1], starts[step, 2] != 0, work
                )
            source, count, source_ends = first, outputs, ends
            apart = np.zeros(count, np.int64)
            bias = starts[step, 3]
        else:
            if step == starts.shape[0]:
                now, now_count, now_ends, now_cost = best, best_count, best_ends, best_cost
                begun = before
            source, count, source_ends = now, now_count, now_ends
            left = (budget - before) / (budget - begun)
            temperature = heat * left * best_cost / best.start[best_count]
            apart = _take_apart(source, count, portion, random)
            noise = 0.8 * uniform(random)
            bias = 1.0 + 12.0 * uniform(random)
            recode = 0.1
        trial, size, trial_ends = rebuild(source, count, source_ends, apart, recode, random)
        work[0] += 64 + 4 * trial.start[size]
        made = share(trial, size, depth_limits(trial, size, max_depth), Scoring(bias, noise), random, work)
        trial, size, trial_ends = rebuild(trial, made, trial_ends, np.zeros(made, np.int64), 0.0, random)
        cost = cost_rows(trial, size, trial_ends, max_depth, per_adder, per_bit, work)
        if cost <= now_cost - temperature * math.log(uniform(random) + 1e-300):
            now, now_count, now_ends, now_cost = trial, size, trial_ends, cost
        if cost < best_cost:
            best, best_count, best_ends, best_cost = trial, size, trial_ends, cost
        last = work[0] - before
        step += 1
        if best_cost == 0.0:
            break
    return best, best_count, best_ends
