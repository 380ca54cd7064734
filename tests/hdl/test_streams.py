"""Slices, FIFO, fork, join, collect, distribute, accumulate, pipeline: values, order, throughput."""

from __future__ import annotations

import pytest
from amaranth.hdl import Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out
from stream_bench import random_beats, run

from qcompile_hdl import (
    Accumulate,
    Collect,
    Distribute,
    Fork,
    Join,
    Lane,
    RegisterSlice,
    StallPipeline,
    StreamFifo,
)

STALLS = pytest.mark.parametrize("stall", [0.0, 0.3, 0.8])


def join_lanes(beats, width):
    return sum(beat << (k * width) for k, beat in enumerate(beats))


@STALLS
@pytest.mark.parametrize("depth", [None, 1, 2, 3, 5, 64, 65])
def test_slices_and_fifos_pass_beats_unchanged_and_in_order(depth, stall):
    element = RegisterSlice(9) if depth is None else StreamFifo(9, depth)
    beats = random_beats(150, 9)
    trace = run(element, [(element.i, beats)], [(element.o, 150)], stall=stall)
    assert trace.beats[0] == beats
    if stall == 0.0:
        assert trace.taken[0][-1] - trace.taken[0][0] == 149


@pytest.mark.parametrize("depth", [1, 2, 3, 4, 63, 64, 65, 100])
def test_a_fifo_holds_at_least_its_depth_and_stays_at_full_throughput_when_full(depth):
    fifo = StreamFifo(8, depth)
    full = run(fifo, [(fifo.i, random_beats(depth + 9, 8))], [(fifo.o, 1)], sink_stalls=[1.0], limit=depth + 20)
    assert len(full.accepted[0]) == (2 if depth == 1 else depth)


def test_a_slice_does_not_let_ready_through():
    element = RegisterSlice(4)
    trace = run(element, [(element.i, [1, 2, 3, 4])], [(element.o, 1)], sink_stalls=[1.0], limit=20)
    assert len(trace.accepted[0]) == 2


@pytest.mark.parametrize("consumers", [1, 2, 3])
@STALLS
def test_a_fork_gives_every_consumer_every_beat_once(consumers, stall):
    fork = Fork(8, consumers)
    beats = random_beats(80, 8)
    trace = run(fork, [(fork.i, beats)], [(o, 80) for o in fork.o], stall=stall)
    assert trace.beats == [beats] * consumers
    if stall == 0.0:
        assert trace.taken[0][-1] == 79


def test_a_fork_lets_a_consumer_be_one_beat_ahead_of_a_blocked_one():
    fork = Fork(8, 2)
    trace = run(fork, [(fork.i, [1, 2, 3])], [(fork.o[0], 3), (fork.o[1], 3)], sink_stalls=[0.0, 1.0], limit=20)
    assert trace.beats == [[1], []]


@STALLS
def test_a_join_pairs_the_beats_of_all_inputs(stall):
    join = Join([3, 5, 1])
    beats = [random_beats(60, width, seed=width) for width in (3, 5, 1)]
    trace = run(join, list(zip(join.i, beats, strict=True)), [(join.o, 60)], stall=stall)
    assert trace.beats[0] == [a | b << 3 | c << 8 for a, b, c in zip(*beats, strict=True)]


@pytest.mark.parametrize("double_buffer", [False, True])
@pytest.mark.parametrize("count", [1, 2, 5])
@STALLS
def test_collect_packs_the_first_beat_lowest(count, double_buffer, stall):
    collect = Collect(6, count, double_buffer=double_buffer)
    beats = random_beats(12 * count, 6)
    trace = run(collect, [(collect.i, beats)], [(collect.o, 12)], stall=stall)
    assert trace.beats[0] == [join_lanes(beats[k : k + count], 6) for k in range(0, len(beats), count)]
    if stall == 0.0:
        assert trace.accepted[0] == list(range(12 * count))


def test_collect_takes_the_next_frame_while_the_result_waits():
    collect = Collect(6, 4)
    trace = run(collect, [(collect.i, random_beats(20, 6))], [(collect.o, 1)], sink_stalls=[1.0], limit=40)
    assert len(trace.accepted[0]) == 4 + 3


@pytest.mark.parametrize("count", [1, 2, 5])
@STALLS
def test_distribute_sends_the_lowest_beat_first_without_gaps(count, stall):
    distribute = Distribute(6, count)
    beats = random_beats(12 * count, 6)
    wide = [join_lanes(beats[k : k + count], 6) for k in range(0, len(beats), count)]
    trace = run(distribute, [(distribute.i, wide)], [(distribute.o, len(beats))], stall=stall)
    assert trace.beats[0] == beats
    if stall == 0.0:
        assert trace.taken[0] == list(range(1, 1 + len(beats)))


@pytest.mark.parametrize("count", [1, 2, 7])
@STALLS
def test_accumulate_sums_signed_and_unsigned_lanes(count, stall):
    accumulate = Accumulate([Lane(4, True, 8), Lane(3, False, 7), Lane(1, False, 1), Lane(5, True, 5)], count)
    beats = random_beats(15 * count, 13)
    expected = []
    for k in range(0, len(beats), count):
        frame = beats[k : k + count]
        a = sum(((b & 15) ^ 8) - 8 for b in frame) % 256
        b = sum((b >> 4) & 7 for b in frame) % 128
        c = sum((b >> 7) & 1 for b in frame) % 2
        d = sum((b >> 8) & 31 for b in frame) % 32
        expected.append(a | b << 8 | c << 15 | d << 16)
    trace = run(accumulate, [(accumulate.i, beats)], [(accumulate.o, 15)], stall=stall)
    assert trace.beats[0] == expected
    if stall == 0.0:
        assert trace.accepted[0] == list(range(15 * count))


class Increment(wiring.Component):
    """A pipeline of ``latency`` stages that each add 1, as a datapath would be bound."""

    def __init__(self, latency):
        self.latency = latency
        signature = stream.Signature(8)
        super().__init__({"i": In(signature), "o": Out(signature)})

    def elaborate(self, platform):
        m = Module()
        m.submodules.control = control = StallPipeline(self.latency, 8, 8)
        wiring.connect(m, wiring.flipped(self.i), control.i)
        wiring.connect(m, control.o, wiring.flipped(self.o))
        value = control.x
        for k in range(self.latency):
            stage = Signal(8, name=f"stage_{k}")
            with m.If(control.enable):
                m.d.sync += stage.eq(value + 1)
            value = stage
        m.d.comb += control.y.eq(value)
        return m


@pytest.mark.parametrize("latency", [0, 1, 2, 5])
@STALLS
def test_a_stalled_pipeline_keeps_every_beat_and_drains_by_itself(latency, stall):
    pipeline = Increment(latency)
    beats = random_beats(100, 8)
    trace = run(pipeline, [(pipeline.i, beats)], [(pipeline.o, 100)], stall=stall)
    assert trace.beats[0] == [(beat + latency) % 256 for beat in beats]
    if stall == 0.0:
        assert trace.taken[0] == list(range(latency, latency + 100))


@pytest.mark.parametrize(
    "build",
    [
        lambda: RegisterSlice(0),
        lambda: StreamFifo(8, 0),
        lambda: Fork(8, 0),
        lambda: Join([]),
        lambda: Collect(8, 0),
        lambda: Distribute(8, True),
        lambda: Accumulate([Lane(8, False, 7)], 2),
        lambda: StallPipeline(-1, 8, 8),
    ],
)
def test_impossible_arguments_raise(build):
    with pytest.raises(ValueError, match="must be an int of at least"):
        build()
