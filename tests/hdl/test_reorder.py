"""Beats in another order, and streams in turn."""

from __future__ import annotations

import random

import pytest
from stream_bench import random_beats, run

from qcompile_hdl import Alternate, Reorder, ReorderScan


def upsampling(height, width, folds, scale):
    """Every position twice (or more) in both directions."""
    return [
        ((row // scale) * width + column // scale) * folds + fold
        for row in range(height * scale)
        for column in range(width * scale)
        for fold in range(folds)
    ]


def depth_to_space(height, width, block, channels):
    """Beats of one channel each: channel ``(i * block + j) * channels + c`` of (row, column) goes to its own pixel."""
    return [
        ((row // block) * width + column // block) * block * block * channels
        + (row % block * block + column % block) * channels
        + c
        for row in range(height * block)
        for column in range(width * block)
        for c in range(channels)
    ]


ORDERS = {
    "as it is": (6, list(range(6))),
    "backwards": (7, list(range(6, -1, -1))),
    "one beat often": (1, [0] * 5),
    "some never": (9, [2, 3, 5]),
    "transposed": (12, [row * 4 + column for column in range(4) for row in range(3)]),
    "upsampled": (4 * 3 * 2, upsampling(4, 3, 2, 2)),
    "depth to space": (3 * 4 * 8, depth_to_space(3, 4, 2, 2)),
    "at random": (11, random.Random(0).choices(range(11), k=16)),
}


@pytest.mark.parametrize("name", ORDERS)
@pytest.mark.parametrize("stall", [0.0, 0.5])
def test_every_frame_leaves_in_the_order_asked_for(name, stall):
    inputs, order = ORDERS[name]
    frames = 4
    beats = random_beats(frames * inputs, 9)
    expected = [beats[frame * inputs + k] for frame in range(frames) for k in order]
    for depth in (None, ReorderScan(inputs, order).least_depth):
        component = Reorder(9, inputs, order, depth)
        trace = run(component, [(component.i, beats)], [(component.o, len(expected))], stall=stall)
        assert trace.beats[0] == expected


@pytest.mark.parametrize("name", ORDERS)
def test_a_result_comes_two_cycles_after_the_last_input_it_needs(name):
    inputs, order = ORDERS[name]
    component = Reorder(4, inputs, order)
    trace = run(component, [(component.i, random_beats(inputs, 4))], [(component.o, len(order))])
    cycle = 0
    for taken, needed in zip(trace.taken[0], component.scan.needed, strict=True):
        cycle = max(cycle + 1, trace.accepted[0][needed - 1] + 2)
        assert taken == cycle


def test_a_move_within_rows_repeats_itself_and_keeps_rows_alone():
    upsampled = ReorderScan(8 * 5, upsampling(8, 5, 1, 2))
    assert (upsampled.period, upsampled.least_depth, upsampled.memory_words) == (20, 5, 10)
    shuffled = ReorderScan(8 * 5 * 4, depth_to_space(8, 5, 2, 1))
    assert (shuffled.period, shuffled.period_inputs, shuffled.memory_words) == (20, 20, 36)


def test_frames_follow_each_other_without_a_gap():
    for inputs, order in (ORDERS["upsampled"], ORDERS["depth to space"], ORDERS["transposed"]):
        component = Reorder(5, inputs, order)
        beats = random_beats(5 * inputs, 5)
        trace = run(component, [(component.i, beats)], [(component.o, 5 * len(order))])
        taken = trace.taken[0]
        pace = max(inputs, len(order))
        assert taken[-1] - taken[3 * len(order) - 1] == 2 * pace


@pytest.mark.parametrize("counts", [(1, 1), (2, 3), (1, 4, 2)])
@pytest.mark.parametrize("stall", [0.0, 0.5])
def test_streams_take_turns(counts, stall):
    component = Alternate(6, counts)
    rounds = 7
    sources = [random_beats(rounds * count, 6, seed=k) for k, count in enumerate(counts)]
    expected = [
        beat
        for turn in range(rounds)
        for beats, count in zip(sources, counts, strict=True)
        for beat in beats[turn * count : (turn + 1) * count]
    ]
    ports = [(getattr(component, f"i{k}"), beats) for k, beats in enumerate(sources)]
    assert run(component, ports, [(component.o, len(expected))], stall=stall).beats[0] == expected


def test_impossible_arguments_raise():
    with pytest.raises(ValueError, match="beat 4 of 4"):
        Reorder(3, 4, [0, 4])
    for arguments in [(0, 4, [0]), (3, 0, [0]), (3, 4, []), (3, 4, [-1]), (3, 4, [3, 0], 3)]:
        with pytest.raises(ValueError):
            Reorder(*arguments)
    with pytest.raises(ValueError, match="count_1"):
        Alternate(3, (1, 0))
