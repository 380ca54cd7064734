"""Pipelining of any datapath: the stage of every node."""

from __future__ import annotations

from collections.abc import Sequence


def assign_stages(
    operands: Sequence[Sequence[int]],
    widths: Sequence[int],
    delays: Sequence[float],
    *,
    period: float | None = None,
    stages: int | None = None,
    input_stage: int = 0,
) -> list[int]:
    """Pipeline stage of every node; ``operands[i]`` are the predecessors of node i, all smaller than i.

    Nodes without operands arrive in ``input_stage``; nodes nobody reads are delivered in the last stage. No
    path between registers is longer than ``period``, or there are ``stages`` stages at the least feasible period.
    """
    if len(operands) != len(widths) or len(operands) != len(delays):
        raise ValueError("operands, widths and delays must have the same length")
    if (period is None) == (stages is None):
        raise ValueError("give either period or stages")
    if period is not None:
        return _earliest(operands, delays, period, input_stage)
    assert stages is not None
    if stages < 1:
        raise ValueError(f"stages is {stages}, need at least 1")
    low = max(delays, default=0)
    high = sum(delays)
    for _ in range(60):
        middle = (low + high) / 2
        if max(_earliest(operands, delays, middle, 0), default=0) < stages:
            high = middle
        else:
            low = middle
    return _earliest(operands, delays, high, input_stage)


def _earliest(operands: Sequence[Sequence[int]], delays: Sequence[float], period: float, input_stage: int) -> list[int]:
    stage: list[int] = []
    arrival: list[float] = []
    for node, sources in enumerate(operands):
        if delays[node] > period:
            raise ValueError(f"node {node} alone takes {delays[node]}, more than the period {period}")
        own = max((stage[s] for s in sources), default=input_stage)
        time = max((arrival[s] for s in sources if stage[s] == own), default=0) + delays[node]
        if time > period:
            own, time = own + 1, delays[node]
        stage.append(own)
        arrival.append(time)
    read = {source for sources in operands for source in sources}
    last = max(stage, default=input_stage)
    return [own if node in read or not operands[node] else last for node, own in enumerate(stage)]
