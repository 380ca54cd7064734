"""The sliding window against a NumPy reference: values, order, stalls, and the cycle figures it promises."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from stream_bench import random_beats, run

from qcompile_hdl import Window

BEAT = 8


def case(height, width, kernel, stride=(1, 1), pads=(0, 0, 0, 0), dilation=(1, 1), pad_beat=0):
    return {
        "height": height,
        "width": width,
        "kernel": kernel,
        "stride": stride,
        "pads": pads,
        "dilation": dilation,
        "pad_beat": pad_beat,
    }


CASES = {
    "valid 3x3": case(5, 6, (3, 3)),
    "same 3x3": case(4, 5, (3, 3), pads=(1, 1, 1, 1)),
    "same 3x3 with a pad value": case(4, 4, (3, 3), pads=(1, 1, 1, 1), pad_beat=0xA5),
    "same 5x5 on a 3x3 image": case(3, 3, (5, 5), pads=(2, 2, 2, 2)),
    "stride 2, keras padding": case(6, 6, (3, 3), (2, 2), (0, 0, 1, 1)),
    "stride 2, torch padding": case(6, 7, (3, 3), (2, 2), (1, 1, 1, 1)),
    "full padding, more windows than beats": case(3, 3, (3, 3), pads=(2, 2, 2, 2)),
    "full padding with stride 3": case(4, 4, (3, 3), (3, 3), (2, 2, 2, 2)),
    "only left and top": case(4, 4, (3, 3), pads=(2, 2, 0, 0)),
    "only right and bottom": case(4, 4, (3, 3), pads=(0, 0, 2, 2), pad_beat=1),
    "pool 2x2": case(4, 6, (2, 2), (2, 2)),
    "pool with beats left over": case(5, 7, (2, 2), (2, 2)),
    "stride larger than the kernel": case(7, 8, (2, 2), (3, 3)),
    "many beats left over": case(9, 9, (2, 2), (7, 7)),
    "1x1": case(3, 4, (1, 1)),
    "1x1 with stride": case(5, 6, (1, 1), (2, 3)),
    "1x1 image": case(1, 1, (1, 1)),
    "1x1 image, padded 3x3": case(1, 1, (3, 3), pads=(1, 1, 1, 1)),
    "one column": case(6, 1, (3, 1), pads=(1, 0, 1, 0)),
    "one column, padded 3x5": case(4, 1, (3, 5), pads=(1, 2, 1, 2)),
    "1-D": case(1, 12, (1, 3), pads=(0, 1, 0, 1)),
    "1-D, stride 2": case(1, 11, (1, 4), (1, 2), (0, 1, 0, 2)),
    "1-D, kernel as long as the image": case(1, 6, (1, 6)),
    "1-D dilated": case(1, 10, (1, 3), dilation=(1, 3), pads=(0, 3, 0, 3)),
    "dilated 2": case(6, 7, (3, 3), dilation=(2, 2), pads=(2, 2, 2, 2)),
    "dilated rows, strided columns": case(7, 6, (3, 2), (1, 2), (2, 1, 2, 0), (2, 1)),
    "tall kernel": case(6, 4, (4, 1), (2, 1), (1, 0, 2, 0)),
    "wide kernel": case(3, 6, (1, 4), (1, 1), (0, 3, 0, 3)),
    "global": case(4, 4, (4, 4)),
    "asymmetric": case(5, 4, (3, 2), (2, 1), (1, 0, 0, 1)),
}


def reference(frames: np.ndarray, c: dict) -> list[int]:
    (kh, kw), (sh, sw), (top, left, bottom, right), (dh, dw) = (c[k] for k in ("kernel", "stride", "pads", "dilation"))
    beats = []
    for frame in frames:
        image = np.pad(frame, ((top, bottom), (left, right)), constant_values=c["pad_beat"])
        for y in range(0, image.shape[0] - (kh - 1) * dh, sh):
            for x in range(0, image.shape[1] - (kw - 1) * dw, sw):
                taps = image[y : y + (kh - 1) * dh + 1 : dh, x : x + (kw - 1) * dw + 1 : dw].ravel()
                beats.append(sum(int(t) << (BEAT * k) for k, t in enumerate(taps)))
    return beats


def images(c: dict, frames: int) -> tuple[np.ndarray, list[int]]:
    beats = random_beats(frames * c["height"] * c["width"], BEAT)
    return np.array(beats, dtype=np.int64).reshape(frames, c["height"], c["width"]), beats


@pytest.mark.parametrize("c", CASES.values(), ids=CASES)
@pytest.mark.parametrize("stall", [0.0, 0.5])
def test_windows_equal_the_reference_for_frames_back_to_back(c, stall):
    frames, beats = images(c, 3)
    expected = reference(frames, c)
    window = Window(BEAT, **c)
    assert window.scan.out_beats * 3 == len(expected)
    trace = run(window, [(window.i, beats)], [(window.o, len(expected))], stall=stall, seed=7)
    assert trace.beats[0] == expected


@pytest.mark.parametrize("c", CASES.values(), ids=CASES)
def test_cycles_per_frame_is_exact_without_stalls(c):
    window = Window(BEAT, **c)
    _, beats = images(c, 4)
    trace = run(window, [(window.i, beats)], [(window.o, 4 * window.scan.out_beats)])
    last = trace.taken[0][window.scan.out_beats - 1 :: window.scan.out_beats]
    assert {b - a for a, b in itertools.pairwise(last)} == {window.cycles_per_frame}
    assert window.cycles_per_frame >= max(window.scan.in_beats, window.scan.out_beats)


@pytest.mark.parametrize("c", CASES.values(), ids=CASES)
def test_needed_inputs_are_sufficient_and_necessary(c):
    window = Window(BEAT, **c)
    _, beats = images(c, 2)
    per_frame = window.scan.in_beats
    needs = [window.needed_inputs(k) for k in range(window.scan.out_beats)]
    needs += [per_frame + n for n in needs]
    # With n beats exactly the windows that need at most n appear, never one more.
    for n in sorted({*needs, per_frame, *range(0, 2 * per_frame, 7)}):
        window = Window(BEAT, **c)
        trace = run(
            window,
            [(window.i, beats[:n])],
            [(window.o, len(needs) + 1)],
            limit=n + 3 * window.cycles_per_frame + 8,
        )
        assert len(trace.beats[0]) == sum(need <= n for need in needs), f"after {n} beats"


def test_side_and_top_padding_cost_no_cycles():
    assert Window(8, 28, 28, (3, 3)).cycles_per_frame == 28 * 28
    assert Window(8, 28, 28, (3, 3), pads=(1, 1, 0, 1)).cycles_per_frame == 28 * 28 + 1
    assert Window(8, 28, 28, (3, 3), pads=(1, 1, 1, 1)).cycles_per_frame == 28 * 28 + 28 + 1


def test_line_memory_holds_one_row_less_than_the_kernel():
    assert Window(24, 10, 12, (3, 3)).memory_bits == 2 * 12 * 24
    assert Window(24, 10, 12, (1, 3)).memory_bits == 0
    assert Window(24, 10, 12, (3, 3), dilation=(2, 1)).memory_bits == 4 * 12 * 24


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"pads": (3, 0, 0, 0)}, "pads"),
        ({"kernel": (7, 3)}, "exceeds"),
        ({"stride": (0, 1)}, "stride"),
        ({"pad_beat": 256}, "does not fit"),
        ({"width": np.int64(5)}, "width"),
    ],
)
def test_impossible_arguments_raise(change, message):
    with pytest.raises(ValueError, match=message):
        Window(BEAT, **{**case(5, 5, (3, 3)), **change})
