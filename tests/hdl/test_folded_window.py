"""The folded window against a NumPy reference: values, order, stalls, and the figures of its scan."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
from stream_bench import random_beats, run

from qcompile_hdl import FoldedScan, FoldedWindow

WORD = 8


def case(folds, height, width, kernel, stride=(1, 1), pads=(0, 0, 0, 0), dilation=(1, 1), order="window", depth=None):
    return {
        "folds": folds,
        "height": height,
        "width": width,
        "kernel": kernel,
        "stride": stride,
        "pads": pads,
        "dilation": dilation,
        "order": order,
        "depth": depth,
    }


CASES = {
    "valid 3x3": case(2, 5, 6, (3, 3)),
    "same 3x3": case(3, 4, 5, (3, 3), pads=(1, 1, 1, 1)),
    "same 3x3, depthwise": case(3, 4, 5, (3, 3), pads=(1, 1, 1, 1), order="channel"),
    "same 3x3, one fold": case(1, 6, 5, (3, 3), pads=(1, 1, 1, 1)),
    "same 5x5 on a 3x3 image": case(2, 3, 3, (5, 5), pads=(2, 2, 2, 2)),
    "stride 2, keras padding": case(2, 6, 6, (3, 3), (2, 2), (0, 0, 1, 1)),
    "stride 2, torch padding, depthwise": case(2, 6, 7, (3, 3), (2, 2), (1, 1, 1, 1), order="channel"),
    "full padding, more windows than positions": case(2, 3, 3, (3, 3), pads=(2, 2, 2, 2)),
    "full padding with stride 3": case(2, 4, 4, (3, 3), (3, 3), (2, 2, 2, 2)),
    "only left and top": case(1, 4, 4, (3, 3), pads=(2, 2, 0, 0)),
    "only right and bottom": case(3, 4, 4, (3, 3), pads=(0, 0, 2, 2), order="channel"),
    "pool 2x2": case(3, 4, 6, (2, 2), (2, 2), order="channel"),
    "pool with positions left over": case(2, 5, 7, (2, 2), (2, 2), order="channel"),
    "stride larger than the kernel": case(2, 7, 8, (2, 2), (3, 3)),
    "many positions left over": case(1, 9, 9, (2, 2), (7, 7)),
    "1x1": case(3, 3, 4, (1, 1)),
    "1x1 with stride": case(3, 5, 6, (1, 1), (2, 3)),
    "1x1, one fold, stride 2": case(1, 6, 6, (1, 1), (2, 2), order="channel"),
    "1x1 with padding": case(2, 3, 3, (1, 1), pads=(1, 1, 1, 1)),
    "3x3 with more padding than kernel": case(1, 2, 3, (3, 3), (1, 1), (3, 4, 3, 3)),
    "1x1 image": case(4, 1, 1, (1, 1)),
    "1x1 image, padded 3x3": case(2, 1, 1, (3, 3), pads=(1, 1, 1, 1)),
    "one column": case(2, 6, 1, (3, 1), pads=(1, 0, 1, 0)),
    "one column, padded 3x5": case(1, 4, 1, (3, 5), pads=(1, 2, 1, 2)),
    "1-D": case(2, 1, 12, (1, 3), pads=(0, 1, 0, 1)),
    "1-D, stride 2, depthwise": case(2, 1, 11, (1, 4), (1, 2), (0, 1, 0, 2), order="channel"),
    "1-D, kernel as long as the image": case(3, 1, 6, (1, 6)),
    "1-D dilated": case(2, 1, 10, (1, 3), dilation=(1, 3), pads=(0, 3, 0, 3)),
    "dilated 2": case(2, 6, 7, (3, 3), dilation=(2, 2), pads=(2, 2, 2, 2)),
    "dilated rows, strided columns": case(1, 7, 6, (3, 2), (1, 2), (2, 1, 2, 0), (2, 1)),
    "tall kernel": case(2, 6, 4, (4, 1), (2, 1), (1, 0, 2, 0)),
    "wide kernel": case(2, 3, 6, (1, 4), (1, 1), (0, 3, 0, 3)),
    "whole image": case(3, 4, 4, (4, 4)),
    "whole image, depthwise": case(3, 3, 4, (3, 4), order="channel"),
    "asymmetric": case(2, 5, 4, (3, 2), (2, 1), (1, 0, 0, 1)),
    "least memory": case(2, 5, 6, (3, 3), (2, 2), (1, 1, 1, 1), depth=30),
    "memory of no power of two": case(60, 1, 12, (1, 2), (1, 2), (0, 1, 0, 0), (1, 9)),
}
EVERY_CASE = pytest.mark.parametrize("c", CASES.values(), ids=CASES)


def reference(frames, c, pad_word):
    (kh, kw), (sh, sw), (top, left, bottom, right), (dh, dw) = (c[k] for k in ("kernel", "stride", "pads", "dilation"))
    words = []
    for frame in frames:
        image = np.pad(frame, ((top, bottom), (left, right), (0, 0)), constant_values=pad_word)
        for y in range(0, image.shape[0] - (kh - 1) * dh, sh):
            for x in range(0, image.shape[1] - (kw - 1) * dw, sw):
                taps = image[y : y + (kh - 1) * dh + 1 : dh, x : x + (kw - 1) * dw + 1 : dw]
                words += (taps.transpose(2, 0, 1) if c["order"] == "channel" else taps).ravel().tolist()
    return words


def images(c, frames):
    words = random_beats(frames * c["height"] * c["width"] * c["folds"], WORD)
    return np.array(words).reshape(frames, c["height"], c["width"], c["folds"]), words


@pytest.fixture
def tight(monkeypatch):
    """Memories as small as they can be, most of them of no power of two."""
    monkeypatch.setattr(FoldedScan, "BLOCK_WORDS", 1)


@EVERY_CASE
@pytest.mark.parametrize("stall", [0.0, 0.5])
def test_windows_equal_the_reference_for_frames_back_to_back(c, stall, request):
    if stall:
        request.getfixturevalue("tight")
    frames, words = images(c, 3)
    expected = reference(frames, c, 0xA5)
    window = FoldedWindow(WORD, **c, pad_word=0xA5)
    assert window.scan.out_words * 3 == len(expected)
    trace = run(window, [(window.i, words)], [(window.o, len(expected))], stall=stall, seed=7)
    assert trace.beats[0] == expected


@EVERY_CASE
def test_cycles_per_frame_are_exact_without_stalls(c, tight):
    window = FoldedWindow(WORD, **c)
    _, words = images(c, 4)
    trace = run(window, [(window.i, words)], [(window.o, 4 * window.scan.out_words)])
    last = trace.taken[0][window.scan.out_words - 1 :: window.scan.out_words]
    measured = max(b - a for a, b in itertools.pairwise(last))
    assert measured == window.cycles_per_frame


@EVERY_CASE
def test_every_word_appears_two_cycles_after_the_last_input_it_needs(c):
    window = FoldedWindow(WORD, **c)
    _, words = images(c, 2)
    needs = [window.needed_inputs(k) for k in range(window.scan.out_words)]
    needs += [window.scan.in_words + need if need else 0 for need in needs]
    trace = run(window, [(window.i, words)], [(window.o, len(needs))], stall=0.7, sink_stalls=[0.0], seed=3)
    expected, last = [], 0
    for need in needs:
        last = max(last + 1, trace.accepted[0][need - 1] + 2 if need else 0)
        expected.append(last)
    assert trace.taken[0] == expected


def test_the_default_memory_lets_only_the_start_of_a_frame_wait(tight):
    scan = FoldedScan(4, 32, 32, (3, 3))
    least, seamless = (replace(scan, depth=depth) for depth in (scan.least_words, scan.seamless_words))
    memories = [s.memory_words for s in (least, scan, seamless)]
    assert memories == [4 * (2 * 32 + 3), 4 * (2 * 32 + 6), 4 * (4 * 32 + 6)]
    assert [s.cycles_per_frame - s.out_words for s in (least, scan, seamless)] == [233, 221, 0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"pads": (-1, 0, 0, 0)}, "pads"),
        ({"kernel": (7, 3)}, "exceeds"),
        ({"stride": (0, 1)}, "stride"),
        ({"folds": 0}, "folds"),
        ({"order": "row"}, "order"),
        ({"depth": 25}, "depth must be an int of at least 26"),
        ({"pad_word": 256}, "does not fit"),
        ({"width": np.int64(5)}, "width"),
    ],
)
def test_impossible_arguments_raise(change, message):
    with pytest.raises(ValueError, match=message):
        FoldedWindow(WORD, **{**case(2, 5, 5, (3, 3)), **change})
