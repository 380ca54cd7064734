"""A matrix times a stream of vectors, a few rows and columns per cycle: weights in ROM, arithmetic in datapaths."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from amaranth.hdl import Cat, ClockSignal, Const, Instance, Module, Mux, Signal, signed, unsigned
from amaranth.lib import stream
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from ._check import at_least, positive
from ._counter import counter
from .accumulate import Lane
from .component import Component
from .rom import read_in_sequence, rom_verilog

Combine = Literal["add", "max", "none"]


@dataclass(frozen=True)
class Datapath:
    """A Verilog module with the ports ``clk``, ``enable``, ``x`` and ``y``.

    ``y`` belongs to the ``x`` of ``latency`` enabled cycles before; with latency 0 it is combinational.
    """

    module: str
    latency: int
    in_width: int
    out_width: int


class FoldedEngine(Component):
    """For every vector of ``vector_words`` input words ``repeats`` output words, one input or replay per cycle.

    Vector number ``v`` since reset is of group ``g = v % groups``. For each repeat ``n``, each word ``s`` goes with
    ``weights[(g * repeats + n) * vector_words + s]`` above it through ``partial``, whose result has a value per lane,
    lane 0 lowest. Per lane, values of a repeat are added (modulo ``2 ** width_out``) or their maximum is taken; with
    ``combine`` "none" a vector has one word. The lanes' results, of ``width_out`` bits each, with
    ``params[g * repeats + n]`` above them, go through ``finish``: that is the output word. Without weights (params)
    nothing is above the word (the lanes).

    A vector takes ``cycles_per_vector``, without bubbles; words come from the stream in the first repeat and from a
    memory in the others, while ``i.ready`` is 0. The engine stands still only while an output word waits for
    ``o.ready``, on which ``i.ready`` depends combinationally. The last output word of a vector is valid
    ``latency_cycles`` after its last word was accepted or replayed, and needs no further input.

    Weights and params are ROMs within the engine, or with ``rom_prefix`` the modules of `rom_modules`, which large
    ones should be.
    """

    def __init__(
        self,
        in_width: int,
        vector_words: int,
        repeats: int,
        groups: int = 1,
        *,
        partial: Datapath,
        lanes: Sequence[Lane],
        finish: Datapath,
        combine: Combine = "add",
        weights: Sequence[int] | None = None,
        weight_width: int = 0,
        params: Sequence[int] | None = None,
        param_width: int = 0,
        rom_prefix: str | None = None,
    ) -> None:
        positive(in_width=in_width, vector_words=vector_words, repeats=repeats, groups=groups, lanes=len(lanes))
        for lane in lanes:
            positive(width_in=lane.width_in)
            at_least(lane.width_in, width_out=lane.width_out)
        if combine not in ("add", "max", "none") or (combine == "none" and vector_words > 1):
            raise ValueError(f"combine {combine!r} of {vector_words} words")
        _check_words("weights", weights, weight_width, groups * repeats * vector_words)
        _check_words("params", params, param_width, groups * repeats)
        _check_widths("partial", partial, in_width + weight_width, sum(lane.width_in for lane in lanes))
        _check_widths("finish", finish, sum(lane.width_out for lane in lanes) + param_width, finish.out_width)
        self.in_width = in_width
        self.vector_words = vector_words
        self.repeats = repeats
        self.groups = groups
        self.partial = partial
        self.lanes = tuple(lanes)
        self.finish = finish
        self.combine = combine
        self.weights = weights
        self.weight_width = weight_width
        self.params = params
        self.param_width = param_width
        self.rom_prefix = rom_prefix
        super().__init__(
            {
                "i": In(stream.Signature(unsigned(in_width))),
                "o": Out(stream.Signature(unsigned(finish.out_width))),
            }
        )

    @property
    def cycles_per_vector(self) -> int:
        """Initiation interval in cycles while nobody stalls. Exact."""
        return self.vector_words * self.repeats

    @property
    def latency_cycles(self) -> int:
        """From a repeat's last word to its output word."""
        return 1 + self._replays + self.partial.latency + self._accumulates + self.finish.latency

    @property
    def _replays(self) -> bool:
        return self.repeats > 1 and self.vector_words > 1

    @property
    def _accumulates(self) -> bool:
        return self.vector_words > 1

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        enable = Signal()
        m.d.comb += enable.eq(~self.o.valid | self.o.ready)

        fetch, last_word, word = self._words(m, enable)
        weight = self._rom(m, "weight", enable & fetch)
        # Bit k: a word is k enabled cycles behind its fetch.
        flow = self._delays(m, enable, "word", fetch, 1 + self.partial.latency)
        partial = _bind(m, "partial", self.partial, enable, Cat(word, weight))
        if self._accumulates:
            last = self._delays(m, enable, "last", last_word, 1 + self.partial.latency)[-1]
            vector_read = Signal()
            m.d.comb += vector_read.eq(flow[-1] & last)
            sums = self._accumulators(m, enable & flow[-1], last, partial)
            flow += self._delays(m, enable, "vector", vector_read, 1)[1:]
        else:
            vector_read = flow[-2]
            sums = Cat(value.as_unsigned() for value in self._values(m, partial))
        param = self._rom(m, "param", enable & vector_read)
        flow += self._delays(m, enable, "result", flow[-1], self.finish.latency)[1:]
        m.d.comb += [
            self.o.payload.eq(_bind(m, "finish", self.finish, enable, Cat(sums, param))),
            self.o.valid.eq(flow[-1]),
        ]
        return m

    def rom_modules(self) -> dict[str, str]:
        """Name to text of the Verilog modules that the engine needs for its ROMs: none without ``rom_prefix``."""
        if self.rom_prefix is None:
            return {}
        return {
            f"{self.rom_prefix}_{name}": rom_verilog(f"{self.rom_prefix}_{name}", words, width)
            for name, words, width in (
                ("weight", self.weights, self.weight_width),
                ("param", self.params, self.param_width),
            )
            if words is not None and len(words) > 1
        }

    def _rom(self, m: Module, name: Literal["weight", "param"], step: Any) -> Any:
        words, width = {"weight": (self.weights, self.weight_width), "param": (self.params, self.param_width)}[name]
        if words is None:
            return Const(0, 0)
        return read_in_sequence(m, name, words, width, step, self.rom_prefix and f"{self.rom_prefix}_{name}")

    def _words(self, m: Module, enable: Any) -> tuple[Any, Any, Any]:
        """Whether the next word is fetched, whether it is the last of its vector, and the word fetched before."""
        replaying = Signal(name="replaying") if self.repeats > 1 else Const(0)
        step = Signal()
        take = Signal()
        m.d.comb += [
            self.i.ready.eq(enable & ~replaying),
            take.eq(self.i.valid & self.i.ready),
            step.eq(enable & (self.i.valid | replaying)),
        ]
        place, last_word = counter(m, "place", self.vector_words, step)
        if self.repeats > 1:
            _, last_repeat = counter(m, "repeat", self.repeats, step & last_word)
            with m.If(step & last_word):
                m.d.sync += replaying.eq(~last_repeat)
        if not self._replays:
            word = Signal(self.in_width, name="word", reset_less=True)
            with m.If(take):
                m.d.sync += word.eq(self.i.payload)
            return step, last_word, word

        # Every word goes through the memory, which saves a choice between memory and stream, for one cycle.
        m.submodules.replay_memory = memory = Memory(shape=unsigned(self.in_width), depth=self.vector_words, init=[])
        write = memory.write_port()
        read = memory.read_port()
        fetch = Signal()
        fetch_place = Signal.like(place, reset_less=True)
        fetch_last = Signal(reset_less=True)
        word = Signal(self.in_width)
        m.d.comb += [
            word.eq(read.data),
            write.en.eq(take),
            write.addr.eq(place),
            write.data.eq(self.i.payload),
            read.en.eq(enable & fetch),
            read.addr.eq(fetch_place),
        ]
        with m.If(enable):
            m.d.sync += [fetch.eq(step), fetch_place.eq(place), fetch_last.eq(last_word)]
        return fetch, fetch_last, word

    @staticmethod
    def _delays(m: Module, enable: Any, name: str, value: Any, cycles: int) -> list[Any]:
        """``value`` after 0, 1 … ``cycles`` enabled cycles."""
        if cycles == 0:
            return [value]
        stages = Signal(cycles, name=f"{name}_stages")
        with m.If(enable):
            m.d.sync += stages.eq(Cat(value, stages)[:cycles])
        return [value, *stages]

    def _values(self, m: Module, partial: Any) -> list[Any]:
        """The lanes of ``partial``, each in its accumulator's width."""
        values, low = [], 0
        for k, lane in enumerate(self.lanes):
            bits = partial[low : low + lane.width_in]
            low += lane.width_in
            value = Signal((signed if lane.signed else unsigned)(lane.width_out), name=f"value_{k}")
            m.d.comb += value.eq(bits.as_signed() if lane.signed else bits)
            values.append(value)
        return values

    def _accumulators(self, m: Module, step: Any, last: Any, partial: Any) -> Any:
        """Per lane the result of all values since the first of their repeat, one step later."""
        first = Signal(init=1)
        with m.If(step):
            m.d.sync += first.eq(last)
        totals = []
        for k, value in enumerate(self._values(m, partial)):
            total = Signal.like(value, name=f"total_{k}", reset_less=True)
            if self.combine == "add":
                combined = Mux(first, 0, total) + value
            else:
                combined = Mux(first | (value > total), value, total)
            with m.If(step):
                m.d.sync += total.eq(combined)
            totals.append(total.as_unsigned())
        return Cat(totals)


def _check_words(name: str, words: Sequence[int] | None, width: int, count: int) -> None:
    if words is None:
        if width != 0:
            raise ValueError(f"{width} bits of {name}, but none are given")
        return
    positive(**{f"width of {name}": width})
    if len(words) != count or any(type(word) is not int or word < 0 or word >> width for word in words):
        raise ValueError(f"{name} must be {count} ints of {width} bits")


def _check_widths(name: str, datapath: Datapath, in_width: int, out_width: int) -> None:
    positive(out_width=datapath.out_width)
    at_least(0, latency=datapath.latency)
    if (datapath.in_width, datapath.out_width) != (in_width, out_width):
        raise ValueError(
            f"{name} must take {in_width} and give {out_width} bits, not {datapath.in_width} and {datapath.out_width}"
        )


def _bind(m: Module, name: str, datapath: Datapath, enable: Any, x: Any) -> Any:
    """The output of the datapath."""
    y = Signal(datapath.out_width, name=f"{name}_y")
    m.submodules[name] = Instance(datapath.module, i_clk=ClockSignal(), i_enable=enable, i_x=x, o_y=y)
    return y
