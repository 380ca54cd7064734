"""Sums per fold over the positions of a frame."""

from __future__ import annotations

import pytest
from stream_bench import random_beats, run

from qcompile_hdl import FoldedAccumulate, Lane

LANES = [Lane(4, True, 8), Lane(3, False, 7), Lane(1, False, 1), Lane(5, True, 5)]


@pytest.mark.parametrize("count", [1, 2, 7])
@pytest.mark.parametrize("folds", [1, 2, 5, 8])
@pytest.mark.parametrize("stall", [0.0, 0.5])
def test_every_fold_is_summed_by_itself(count, folds, stall):
    accumulate = FoldedAccumulate(LANES, count, folds)
    beats = random_beats(6 * count * folds, 13)
    expected = []
    for frame in range(6):
        for fold in range(folds):
            words = beats[frame * count * folds + fold : (frame + 1) * count * folds : folds]
            a = sum((word & 15) - (word & 8) * 2 for word in words) % 2**8
            b = sum(word >> 4 & 7 for word in words) % 2**7
            c = sum(word >> 7 & 1 for word in words) % 2
            d = sum(word >> 8 for word in words) % 2**5
            expected.append(a | b << 8 | c << 15 | d << 16)
    trace = run(accumulate, [(accumulate.i, beats)], [(accumulate.o, 6 * folds)], stall=stall)
    assert trace.beats[0] == expected
    if stall == 0.0:
        assert trace.accepted[0] == list(range(6 * count * folds))
        assert trace.taken[0][:folds] == [(count - 1) * folds + fold + 1 for fold in range(folds)]


def test_impossible_arguments_raise():
    for arguments in [([], 2, 2), (LANES, 0, 2), (LANES, 2, 0), ([Lane(4, True, 3)], 2, 2)]:
        with pytest.raises(ValueError, match="must be an int of at least"):
            FoldedAccumulate(*arguments)
