"""The folded engine against plain loops: values, groups, repeats, stalls, latency and throughput."""

from __future__ import annotations

import pytest
from amaranth.hdl import Module, Signal
from stream_bench import random_beats, run

from qcompile_hdl import Datapath, FoldedEngine, Lane, folded_engine

IN_WIDTH, WEIGHT_WIDTH, PARAM_WIDTH, OUT_WIDTH = 9, 7, 5, 11
LANES = [Lane(6, True, 10), Lane(5, False, 9), Lane(4, True, 4)]


def mix(x, width):
    """What the datapaths of these tests compute, of ints as of Amaranth's values."""
    return x ^ (x >> (width // 2)) ^ (x >> (width // 3))


def bind_mix(m: Module, name: str, datapath: Datapath, enable, x):
    """In place of a Verilog module, which Amaranth's simulator does not have."""
    value = Signal(datapath.out_width)
    m.d.comb += value.eq(mix(x, datapath.in_width))
    for _ in range(datapath.latency):
        stage = Signal.like(value)
        with m.If(enable):
            m.d.sync += stage.eq(value)
        value = stage
    return value


@pytest.fixture(autouse=True)
def datapaths(monkeypatch):
    monkeypatch.setattr(folded_engine, "_bind", bind_mix)


def words(count, width, seed):
    return random_beats(count, width, seed)


def engine(vector_words, repeats, groups=1, combine="add", latencies=(1, 2), weights=True, params=True):
    values = sum(lane.width_in for lane in LANES)
    sums = sum(lane.width_out for lane in LANES)
    weight_width, param_width = WEIGHT_WIDTH * weights, PARAM_WIDTH * params
    return FoldedEngine(
        IN_WIDTH,
        vector_words,
        repeats,
        groups,
        partial=Datapath("partial", latencies[0], IN_WIDTH + weight_width, values),
        lanes=LANES,
        combine=combine,
        finish=Datapath("finish", latencies[1], sums + param_width, OUT_WIDTH),
        weights=words(groups * repeats * vector_words, weight_width, 2) if weights else None,
        weight_width=weight_width,
        params=words(groups * repeats, param_width, 3) if params else None,
        param_width=param_width,
    )


def reference(e, inputs):
    out = []
    for v in range(len(inputs) // e.vector_words):
        vector = inputs[v * e.vector_words : (v + 1) * e.vector_words]
        for n in range(e.repeats):
            row = (v % e.groups) * e.repeats + n
            totals = None
            for s, word in enumerate(vector):
                weight = e.weights[row * e.vector_words + s] if e.weights else 0
                y = mix(weight << e.in_width | word, e.partial.in_width) % 2**e.partial.out_width
                values = split(y, [(lane.width_in, lane.signed) for lane in e.lanes])
                if totals is None:
                    totals = values
                else:
                    op = max if e.combine == "max" else lambda a, b: a + b
                    totals = [op(a, b) for a, b in zip(totals, values, strict=True)]
            x, place = 0, 0
            for lane, total in zip(e.lanes, totals, strict=True):
                x |= total % 2**lane.width_out << place
                place += lane.width_out
            x |= (e.params[row] if e.params else 0) << place
            out.append(mix(x, e.finish.in_width) % 2**OUT_WIDTH)
    return out


def split(y, lanes):
    values = []
    for width, signed in lanes:
        value = y % 2**width
        values.append(value - 2**width if signed and value >> (width - 1) else value)
        y >>= width
    return values


ENGINES = {
    "dense": lambda: engine(5, 3),
    "dense of a power of two": lambda: engine(4, 8),
    "combinational datapaths": lambda: engine(3, 2, latencies=(0, 0)),
    "combinational datapaths, one word": lambda: engine(1, 3, latencies=(0, 0)),
    "one word": lambda: engine(1, 4),
    "one word, combinational partial": lambda: engine(1, 2, latencies=(0, 3)),
    "one word, one repeat": lambda: engine(1, 1),
    "one word, one repeat, combinational": lambda: engine(1, 1, latencies=(0, 0)),
    "one repeat": lambda: engine(6, 1, latencies=(3, 0)),
    "two words, deep": lambda: engine(2, 2, latencies=(5, 4)),
    "depthwise": lambda: engine(9, 1, groups=3),
    "grouped": lambda: engine(2, 3, groups=4, latencies=(0, 1)),
    "max": lambda: engine(4, 2, combine="max"),
    "max pooling": lambda: engine(4, 1, combine="max", weights=False, params=False, latencies=(0, 0)),
    "max of one word": lambda: engine(1, 2, combine="max"),
    "no weights": lambda: engine(3, 2, weights=False),
    "no params": lambda: engine(3, 2, params=False),
    "not combined": lambda: engine(1, 2, groups=2, combine="none"),
}
EVERY_ENGINE = pytest.mark.parametrize("build", ENGINES.values(), ids=ENGINES)


@EVERY_ENGINE
@pytest.mark.parametrize("stall", [0.0, 0.5])
def test_results_equal_the_reference_for_vectors_back_to_back(build, stall):
    e = build()
    inputs = words(14 * e.vector_words, IN_WIDTH, 1)
    expected = reference(e, inputs)
    trace = run(e, [(e.i, inputs)], [(e.o, len(expected))], stall=stall, seed=5)
    assert trace.beats[0] == expected


@EVERY_ENGINE
def test_there_are_no_bubbles_between_repeats_and_vectors(build):
    e = build()
    inputs = words(8 * e.vector_words, IN_WIDTH, 1)
    trace = run(e, [(e.i, inputs)], [(e.o, 8 * e.repeats)])
    first = e.vector_words - 1 + e.latency_cycles
    assert trace.taken[0] == [first + k * e.vector_words for k in range(8 * e.repeats)]
    assert trace.accepted[0] == [v * e.cycles_per_vector + s for v in range(8) for s in range(e.vector_words)]


@EVERY_ENGINE
def test_results_come_out_without_further_input(build):
    e = build()
    for vectors in (1, 2):
        e = build()
        inputs = words(vectors * e.vector_words, IN_WIDTH, 1)
        trace = run(e, [(e.i, inputs)], [(e.o, vectors * e.repeats)], stall=0.6, sink_stalls=[0.0])
        assert trace.beats[0] == reference(e, inputs)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"weights": [1] * 5}, "weights must be 6 ints of 4 bits"),
        ({"weights": [16] * 6}, "weights must be 6 ints of 4 bits"),
        ({"params": [-1] * 2}, "params must be 2 ints of 3 bits"),
        ({"weights": None}, "4 bits of weights, but none are given"),
        ({"combine": "none"}, "'none' of 3 words"),
        ({"combine": "min"}, "'min'"),
        ({"partial": Datapath("p", 1, 8, 4)}, "partial must take 12 and give 4 bits, not 8 and 4"),
        ({"finish": Datapath("f", -1, 9, 4)}, "latency"),
        ({"lanes": [Lane(4, True, 3)]}, "width_out"),
        ({"repeats": 0}, "repeats"),
    ],
)
def test_impossible_arguments_raise(change, message):
    arguments = {
        "in_width": 8,
        "vector_words": 3,
        "repeats": 2,
        "partial": Datapath("p", 1, 12, 4),
        "lanes": [Lane(4, True, 6)],
        "finish": Datapath("f", 1, 9, 4),
        "weights": [1] * 6,
        "weight_width": 4,
        "params": [1] * 2,
        "param_width": 3,
    }
    FoldedEngine(**arguments)
    with pytest.raises(ValueError, match=message):
        FoldedEngine(**{**arguments, **change})
