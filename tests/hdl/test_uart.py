"""The serial line and what stands behind it, in Amaranth's simulator: bytes, samples, pauses, classes."""

from __future__ import annotations

import random

import pytest
from amaranth.hdl import ClockDomain, Module
from amaranth.sim import Simulator
from stream_bench import random_beats, run

from qcompile_hdl import Answer, SampleBuffer, UartReceiver, UartTransmitter


def simulate(component, bench):
    m = Module()
    m.domains.sync = ClockDomain()
    m.submodules.dut = component
    simulator = Simulator(m)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()


def frame(byte):
    """Start bit, data bits lowest first, stop bit."""
    return [0, *((byte >> k & 1) for k in range(8)), 1]


@pytest.mark.parametrize(("divisor", "drift"), [(4, 0.0), (5, 0.0), (16, 0.0), (16, -0.03), (16, 0.03)])
def test_a_receiver_takes_bytes_back_to_back_from_a_clock_that_drifts(divisor, drift):
    receiver = UartReceiver(divisor)
    sent = [0x00, 0xFF, 0x55, 0xAA, 0x80, 0x01, *random.Random(1).randbytes(6)]
    got = []

    async def bench(ctx):
        line = [bit for byte in sent for bit in frame(byte)] + [1, 1]
        for cycle in range(int(len(line) * divisor * (1 + drift))):
            ctx.set(receiver.rx, line[min(int(cycle / (divisor * (1 + drift))), len(line) - 1)])
            await ctx.tick()
            if ctx.get(receiver.valid):
                got.append(ctx.get(receiver.byte))

    simulate(receiver, bench)
    assert got == sent


def test_a_receiver_drops_a_glitch_and_a_byte_without_a_stop_bit():
    receiver = UartReceiver(8)
    got = []

    async def bench(ctx):
        line = [1] * 8 + [0] * 2 + [1] * 80  # a glitch of a quarter of a bit
        line += [bit for bit in [0, *[1, 0] * 4, 0] for _ in range(8)] + [1] * 16  # no stop bit
        line += [bit for bit in frame(0x42) for _ in range(8)] + [1] * 16
        for level in line:
            ctx.set(receiver.rx, level)
            await ctx.tick()
            if ctx.get(receiver.valid):
                got.append(ctx.get(receiver.byte))

    simulate(receiver, bench)
    assert got == [0x42]


@pytest.mark.parametrize("divisor", [4, 7])
def test_a_transmitter_sends_frames_back_to_back_and_idles_high(divisor):
    transmitter = UartTransmitter(divisor)
    levels = []

    async def bench(ctx):
        ctx.set(transmitter.i.valid, 1)
        for byte in (0x53, 0xA0):
            ctx.set(transmitter.i.payload, byte)
            while not ctx.get(transmitter.i.ready):
                await ctx.tick()
                levels.append(ctx.get(transmitter.tx))
            await ctx.tick()
            levels.append(ctx.get(transmitter.tx))
        ctx.set(transmitter.i.valid, 0)
        for _ in range(11 * divisor):
            await ctx.tick()
            levels.append(ctx.get(transmitter.tx))

    simulate(transmitter, bench)
    expected = [bit for bit in frame(0x53) for _ in range(divisor)]
    start = levels.index(0)
    assert levels[start : start + 10 * divisor] == expected
    second = start + 10 * divisor
    second += levels[second:].index(0)
    assert second - start - 10 * divisor <= 1
    assert levels[second : second + 10 * divisor] == [bit for bit in frame(0xA0) for _ in range(divisor)]
    assert set(levels[second + 10 * divisor :]) == {1}


def feed(buffer, script, out):
    """``script``: bytes, or a number of silent cycles as a negative number; ``out`` gets the beats."""

    async def bench(ctx):
        ctx.set(buffer.o.ready, 1)
        for item in script:
            ctx.set(buffer.valid, item >= 0)
            ctx.set(buffer.byte, max(item, 0))
            for _ in range(max(1, -item)):
                if ctx.get(buffer.o.valid):
                    out.append(ctx.get(buffer.o.payload))
                await ctx.tick()
            ctx.set(buffer.valid, 0)

    return bench


@pytest.mark.parametrize(("beats", "beat_bytes"), [(1, 1), (1, 3), (4, 1), (3, 2)])
def test_a_sample_buffer_sends_whole_samples_one_after_the_other(beats, beat_bytes):
    size = beats * beat_bytes
    samples = [random_beats(size, 8, seed=seed) for seed in range(3)]
    script = [item for sample in samples for item in (*sample, -(4 * size + 8))]
    got = []
    buffer = SampleBuffer(beats, beat_bytes, 1000)
    simulate(buffer, feed(buffer, script, got))
    words = [sample[k : k + beat_bytes] for sample in samples for k in range(0, size, beat_bytes)]
    assert got == [int.from_bytes(bytes(word), "little") for word in words]


def test_a_pause_forgets_an_unfinished_sample_and_bytes_during_sending_are_dropped():
    got = []
    buffer = SampleBuffer(2, 2, 20)
    script = [9, 9, 9, -25, 1, 2, -10, 3, 4, 77, 78, -40, 5, 6, 7, 8, -40]
    simulate(buffer, feed(buffer, script, got))
    assert got == [0x0201, 0x0403, 0x0605, 0x0807]


@pytest.mark.parametrize("stall", [0.0, 0.6])
@pytest.mark.parametrize("lanes", [[(4, True)], [(3, False), (4, True), (2, False)], [(5, True)] * 4])
@pytest.mark.parametrize("beats", [1, 3])
def test_an_answer_is_the_beats_as_bytes_and_then_the_first_of_the_largest(beats, lanes, stall):
    width = -(-sum(bits for bits, _ in lanes) // 8) * 8
    frames = 12
    words = random_beats(frames * beats, sum(bits for bits, _ in lanes), seed=len(lanes))
    answer = Answer(beats, width, lanes)
    per_frame = beats * width // 8 + 2
    trace = run(answer, [(answer.i, words)], [(answer.o, frames * per_frame)], stall=stall)
    expected = []
    for k in range(0, len(words), beats):
        values = []
        for word in words[k : k + beats]:
            expected += word.to_bytes(width // 8, "little")
            for bits, sign in lanes:
                value = word & ((1 << bits) - 1)
                values.append(value - (1 << bits) if sign and value >> (bits - 1) else value)
                word >>= bits
        expected += values.index(max(values)).to_bytes(2, "little")
    assert trace.beats[0] == expected


def test_an_answer_without_lanes_has_no_class():
    answer = Answer(2, 16, [])
    trace = run(answer, [(answer.i, [0x1234, 0x5678, 0x9ABC, 0xDEF0])], [(answer.o, 8)])
    assert bytes(trace.beats[0]).hex() == "34127856bc9af0de"
