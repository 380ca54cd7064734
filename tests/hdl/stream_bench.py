"""Drives the streams of a component in Amaranth's simulator, with random stalls on both sides."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Any

from amaranth.hdl import ClockDomain, Module
from amaranth.sim import Simulator


@dataclass
class Trace:
    """Per input stream the cycle in which each beat was accepted; per output stream the beats and their
    cycles.
    """

    accepted: list[list[int]] = field(default_factory=list)
    beats: list[list[int]] = field(default_factory=list)
    taken: list[list[int]] = field(default_factory=list)


def run(
    component: Any,
    sources: list[tuple[Any, list[int]]],
    sinks: list[tuple[Any, int]],
    *,
    stall: float = 0.0,
    sink_stalls: list[float] | None = None,
    seed: int = 0,
    limit: int | None = None,
) -> Trace:
    """Feeds every source its beats and takes ``count`` beats from every sink; checks the stream rules on the
    way.

    Stops after ``limit`` cycles without an error; otherwise 300 cycles without any transfer are a deadlock.
    """
    rng = random.Random(seed)
    stalls = sink_stalls if sink_stalls is not None else [stall] * len(sinks)
    trace = Trace([[] for _ in sources], [[] for _ in sinks], [[] for _ in sinks])

    async def bench(ctx: Any) -> None:
        offered = [False] * len(sources)
        waiting: list[int | None] = [None] * len(sinks)
        cycle = idle = 0
        while any(len(got) < count for got, (_, count) in zip(trace.beats, sinks, strict=True)):
            if limit is not None and cycle >= limit:
                return
            assert idle < 300, f"deadlock in cycle {cycle}: {[len(got) for got in trace.beats]} beats came out"
            for k, (port, beats) in enumerate(sources):
                position = len(trace.accepted[k])
                offered[k] = position < len(beats) and (offered[k] or rng.random() >= stall)
                ctx.set(port.valid, offered[k])
                if offered[k]:
                    ctx.set(port.payload, beats[position])
            ready = []
            for k, (port, count) in enumerate(sinks):
                ready.append(len(trace.beats[k]) < count and rng.random() >= stalls[k])
                ctx.set(port.ready, ready[k])
            idle += 1
            for k, (port, _) in enumerate(sinks):
                valid = ctx.get(port.valid)
                beat = ctx.get(port.payload) if valid else None
                assert waiting[k] is None or beat == waiting[k], "a waiting beat changed or vanished"
                waiting[k] = beat
                if valid and ready[k]:
                    trace.beats[k].append(beat)
                    trace.taken[k].append(cycle)
                    waiting[k] = None
                    idle = 0
            for k, (port, _) in enumerate(sources):
                if offered[k] and ctx.get(port.ready):
                    trace.accepted[k].append(cycle)
                    offered[k] = False
                    idle = 0
            await ctx.tick()
            cycle += 1

    bench_module = Module()
    # A combinational component brings no clock of its own.
    bench_module.domains.sync = ClockDomain("sync")
    bench_module.submodules.component = component
    simulator = Simulator(bench_module)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
    return trace


def random_beats(count: int, width: int, seed: int = 1) -> list[int]:
    rng = random.Random(seed)
    return [rng.getrandbits(width) for _ in range(count)]
