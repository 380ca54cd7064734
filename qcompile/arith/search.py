"""Search for a cheap set of rows: greedy sharing from several starts, then destroy and repair with annealing."""

from __future__ import annotations

import math

import numpy as np

from qcompile.arith.compiled import compiled
from qcompile.arith.pricing import cost_rows, depth_limits
from qcompile.arith.rewriting import rebuild
from qcompile.arith.rows import Ints, Outputs, Rows, uniform
from qcompile.arith.sharing import Tables, make_tables, share
from qcompile.arith.starting import starting_rows


@compiled
def _shared(
    rows: Rows,
    row_count: int,
    outputs: Outputs,
    apart: Ints,
    fresh: Ints,
    recode: float,
    max_depth: int,
    bias: float,
    noise: float,
    random: Ints,
    tables: Tables,
) -> tuple[Rows, int, Outputs, Tables]:
    """The rows taken apart as asked and shared again."""
    while True:
        trial, size, ends = rebuild(rows, row_count, outputs, apart, fresh, recode, random)
        tables.work[0] += 4 * trial.start[size]
        active = np.ones(size, np.int64)
        limit = depth_limits(trial, size, max_depth)
        made = share(trial, size, active, limit, bias, noise, random, tables)
        if made >= 0:
            break
        tables = make_tables(4 * tables.key.shape[0], tables.work)
    nothing = np.zeros(made, np.int64)
    done, size, ends = rebuild(trial, made, ends, nothing, nothing, 0.0, random)
    return done, size, ends, tables


@compiled
def search(
    columns: Ints,
    low: Ints,
    high: Ints,
    max_depth: int,
    starts: Ints,
    budget: int,
    heat: float,
    per_adder: float,
    per_bit: float,
    random: Ints,
    work: Ints,
) -> tuple[Rows, int, Outputs, float]:
    """Cheapest rows found for ``columns`` [outputs, inputs] within about ``budget`` steps of work.

    ``starts`` [n, 4] are greedy runs: penalty and levels of the difference tree, dense digits or not, bias. Then parts
    of the current rows are taken apart and shared again; a worse result is kept with the probability of simulated
    annealing (Kirkpatrick, Gelatt and Vecchi, Optimization by Simulated Annealing, 1983), ``heat`` average adders at
    first, falling to none.
    """
    terms = 0
    for c in range(columns.shape[0]):
        for i in range(columns.shape[1]):
            terms += 1 if columns[c, i] else 0
    size = 1024
    while size < 16 * terms:
        size *= 2
    tables = make_tables(size, work)
    nothing = np.zeros(columns.shape[0], np.int64)
    rows, outputs = starting_rows(columns, low, high, max_depth, starts[0, 0], starts[0, 1], starts[0, 2] != 0, work)
    best, best_count, best_outputs, tables = _shared(
        rows, columns.shape[0], outputs, nothing, nothing, 0.0, max_depth, starts[0, 3], 0.0, random, tables
    )
    best_cost = cost_rows(best, best_count, best_outputs, max_depth, per_adder, per_bit, work)
    for k in range(1, starts.shape[0]):
        if work[0] * (k + 1) // k > budget:
            break
        rows, outputs = starting_rows(
            columns, low, high, max_depth, starts[k, 0], starts[k, 1], starts[k, 2] != 0, work
        )
        trial, size, ends, tables = _shared(
            rows, columns.shape[0], outputs, nothing, nothing, 0.0, max_depth, starts[k, 3], 0.0, random, tables
        )
        cost = cost_rows(trial, size, ends, max_depth, per_adder, per_bit, work)
        if cost < best_cost:
            best, best_count, best_outputs, best_cost = trial, size, ends, cost
    now, now_count, now_outputs, now_cost = best, best_count, best_outputs, best_cost
    adders = 0
    for r in range(best_count):
        adders += max(best.length[r] - 1, 0)
    begun = work[0]
    last = 0
    while adders and work[0] + last < budget:
        before = work[0]
        progress = (work[0] - begun) / (budget - begun)
        temperature = heat * best_cost / adders * (1.0 - progress)
        apart = np.zeros(now_count, np.int64)
        fresh = np.zeros(now_count, np.int64)
        share_apart = 0.9 * uniform(random)
        for r in range(now_count):
            if uniform(random) < share_apart:
                apart[r] = 1
        noise = 0.8 * uniform(random)
        bias = 1.0 + 12.0 * uniform(random)
        trial, size, ends, tables = _shared(
            now, now_count, now_outputs, apart, fresh, 0.1, max_depth, bias, noise, random, tables
        )
        cost = cost_rows(trial, size, ends, max_depth, per_adder, per_bit, work)
        if cost <= now_cost - temperature * math.log(uniform(random) + 1e-300):
            now, now_count, now_outputs, now_cost = trial, size, ends, cost
            if cost < best_cost:
                best, best_count, best_outputs, best_cost = trial, size, ends, cost
        last = work[0] - before
    return best, best_count, best_outputs, best_cost
