"""Pipelining of any datapath: the stage of every node at the least register bits."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import Any

import numpy as np
import numpy.typing as npt

from qcompile.arith.retiming import earliest_stages, least_registers

_Array = npt.NDArray[Any]

_ROUNDING = 1 + 1e-12
"""Sums of delays in different orders differ by less than this."""


def assign_stages(
    operands: Sequence[Sequence[int]],
    widths: Sequence[int],
    delays: Sequence[float],
    *,
    period: float | None = None,
    stages: int | None = None,
    input_stage: int = 0,
) -> list[int]:
    """Pipeline stage of every node of a datapath, with the least total register bits.

    ``operands[i]`` are the nodes that node i reads, ``widths[i]`` its bits, ``delays[i]`` its combinational delay in
    any unit. Nodes without operands arrive in ``input_stage``, all other nodes that nobody reads are delivered in the
    last stage. A value read k stages later takes ``k * width`` register bits, however many nodes read it.

    With ``period`` alone, every path between registers takes at most that, in the fewest stages. With ``stages``
    alone, there are exactly that many, at the shortest period they allow. With both, both hold.
    """
    if len(operands) != len(widths) or len(operands) != len(delays):
        raise ValueError(f"{len(operands)} operands, {len(widths)} widths and {len(delays)} delays must be as many")
    if period is None and stages is None:
        raise ValueError("give a period, a number of stages, or both")
    if stages is not None and stages < 1:
        raise ValueError(f"stages is {stages}, need at least 1")
    if not operands:
        return []
    order = _topological_order(operands)
    place = np.empty(len(order), dtype=np.int64)
    place[order] = np.arange(len(order))
    sorted_operands = [operands[node] for node in order]
    counts = np.array([len(sources) for sources in sorted_operands], dtype=np.int64)
    first = np.concatenate(([0], np.cumsum(counts)))
    operand = place[np.fromiter(chain.from_iterable(sorted_operands), dtype=np.int64, count=int(first[-1]))]
    width = np.array([int(widths[node]) for node in order], dtype=np.int64)
    delay = np.array([float(delays[node]) for node in order], dtype=np.float64)
    if delay.min() < 0 or width.min() < 0:
        raise ValueError("delays and widths must not be negative")
    stage = np.zeros(len(order), dtype=np.int64)
    limit = period * _ROUNDING if period is not None else _shortest_period(first, operand, delay, stages or 1)
    last = earliest_stages(first, operand, delay, limit, stage, np.zeros(len(order)))
    if last < 0:
        slow = int(np.argmax(delay))
        raise ValueError(f"node {order[slow]} alone takes {delay[slow]}, longer than the period {period}")
    if stages is not None:
        if last >= stages:
            raise ValueError(f"a period of {period} takes {last + 1} stages, more than {stages}")
        last = stages - 1
    reads = np.argsort(operand, kind="stable")
    reader = np.repeat(np.arange(len(order)), counts)[reads]
    reader_first = np.searchsorted(operand[reads], np.arange(len(order) + 1))
    pairs = np.zeros((4 * len(order), 2), dtype=np.int64)
    while True:
        early = stage.copy()
        missing = least_registers(first, operand, reader_first, reader, width, delay, limit, last, early, pairs)
        if not missing:
            break
        pairs = np.zeros((missing, 2), dtype=np.int64)
    return [int(s) + input_stage for s in early[place]]


def register_bits(operands: Sequence[Sequence[int]], widths: Sequence[int], stages: Sequence[int]) -> int:
    """Register bits of a datapath with these stages, counted as ``assign_stages`` does."""
    furthest = list(stages)
    for node, sources in enumerate(operands):
        for source in sources:
            furthest[source] = max(furthest[source], stages[node])
    return sum(width * (far - own) for width, far, own in zip(widths, furthest, stages, strict=True))


def longest_path(operands: Sequence[Sequence[int]], delays: Sequence[float], stages: Sequence[int]) -> float:
    """Longest combinational delay within a stage."""
    arrival = [0.0] * len(operands)
    for node in _topological_order(operands):
        own = stages[node]
        arrival[node] = max((arrival[s] for s in operands[node] if stages[s] == own), default=0.0) + delays[node]
    return max(arrival, default=0.0)


def _shortest_period(first: _Array, operand: _Array, delay: _Array, stages: int) -> float:
    """Shortest period in which the datapath fits into so many stages: halving between sure bounds."""
    stage = np.zeros(len(delay), dtype=np.int64)
    arrival = np.zeros(len(delay))
    low, high = 0.0, float(delay.sum())
    earliest_stages(first, operand, delay, high, stage, arrival)
    high = float(arrival.max())
    low = max(float(delay.max()), high / stages) * (1 - 1e-9)
    for _ in range(48):
        middle = (low + high) / 2
        last = earliest_stages(first, operand, delay, middle, stage, arrival)
        if 0 <= last < stages:
            high = float(arrival.max())
        else:
            low = middle
        if high - low < 1e-9 * high:
            break
    return high * _ROUNDING


def _topological_order(operands: Sequence[Sequence[int]]) -> list[int]:
    """Node numbers, operands first; unchanged where they are so already."""
    if all(source < node for node, sources in enumerate(operands) for source in sources):
        return list(range(len(operands)))
    readers: list[list[int]] = [[] for _ in operands]
    waiting = [len(sources) for sources in operands]
    for node, sources in enumerate(operands):
        for source in sources:
            if not 0 <= source < len(operands):
                raise ValueError(f"node {node} reads {source}, which does not exist")
            readers[source].append(node)
    ready = [node for node, count in enumerate(waiting) if not count]
    for node in ready:
        for reader in readers[node]:
            waiting[reader] -= 1
            if not waiting[reader]:
                ready.append(reader)
    if len(ready) < len(operands):
        raise ValueError("the datapath has a cycle")
    return ready
