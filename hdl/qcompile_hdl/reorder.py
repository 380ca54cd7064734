"""Beats of a frame in another order: nearest-neighbour upsampling, space to depth and back, transpositions, slices."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from amaranth.hdl import Module, Mux, Signal, unsigned
from amaranth.lib import stream
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from ._check import positive
from ._counter import counter
from .component import Component
from .reorder_scan import ReorderScan


class Reorder(Component):
    """Beat k of the result is beat ``order[k]`` of the ``inputs`` of each frame.

    Input beats go into a circular memory; a small ROM, as long as the order's period, has for each result where it
    lies, how many more inputs it waits for, and how many places it sets free. One result per cycle, valid two
    cycles after the last input that it waits for was accepted. ``i.ready`` does not depend on ``o.ready``.
    """

    def __init__(self, width: int, inputs: int, order: Sequence[int], depth: int | None = None) -> None:
        positive(width=width)
        self.scan = ReorderScan(inputs, tuple(order), depth)
        self.width = width
        signature = stream.Signature(unsigned(width))
        super().__init__({"i": In(signature), "o": Out(signature)})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        scan = self.scan
        depth = scan.memory_words
        steps = list(zip(scan.places, scan.newly, scan.freed, strict=True))
        step, accept, enable, known = Signal(), Signal(), Signal(), Signal()
        place, newly, freed = self._entry(m, step, [(at % depth, needed, free) for at, needed, free in steps])

        # Inputs beyond those that results have waited for, and free places.
        arrived = Signal(range(depth + 1))
        room = Signal(range(depth + 1), init=depth)
        m.d.comb += [
            enable.eq(~self.o.valid | self.o.ready),
            step.eq(enable & known & (arrived >= newly)),
            accept.eq(self.i.valid & self.i.ready),
            self.i.ready.eq(room != 0),
        ]
        m.d.sync += [
            known.eq(1),  # the ROM's first word is there one cycle after reset
            arrived.eq(arrived + accept - Mux(step, newly, 0)),
            room.eq(room - accept + Mux(step, freed, 0)),
        ]

        base = Signal(range(depth))
        if len(steps) > 1:
            _, last = counter(m, "turn", len(steps), step)
        else:
            last = 1
        with m.If(step & last):
            m.d.sync += base.eq(_wrapped(m, "next_base", base, scan.period_inputs % depth, depth))
        m.submodules.beats = memory = Memory(shape=unsigned(self.width), depth=depth, init=[])
        write, read = memory.write_port(), memory.read_port()
        write_place = Signal(range(depth))
        with m.If(accept):
            m.d.sync += write_place.eq(Mux(write_place == depth - 1, 0, write_place + 1))
        m.d.comb += [
            write.en.eq(accept),
            write.addr.eq(write_place),
            write.data.eq(self.i.payload),
            read.en.eq(step),
            read.addr.eq(_wrapped(m, "address", base, place, depth)),
            self.o.payload.eq(read.data),
        ]
        with m.If(enable):
            m.d.sync += self.o.valid.eq(step)
        return m

    def _entry(self, m: Module, step: Any, entries: list[tuple[int, int, int]]) -> list[Any]:
        """The ROM's word for the present result, as (place, newly needed, freed)."""
        widths = [max(column).bit_length() for column in zip(*entries, strict=True)]
        words = []
        for entry in entries:
            word, low = 0, 0
            for value, width in zip(entry, widths, strict=True):
                word |= value << low
                low += width
            words.append(word)
        if len(words) == 1 or not any(widths):
            return list(entries[0])
        number = Signal(range(len(words)))
        following = Signal.like(number, name="following")
        m.submodules.order = rom = Memory(shape=unsigned(sum(widths)), depth=len(words), init=words)
        port = rom.read_port()
        m.d.comb += [
            following.eq(Mux(step, Mux(number == len(words) - 1, 0, number + 1), number)),
            port.addr.eq(following),
            port.en.eq(1),
        ]
        m.d.sync += number.eq(following)
        fields, low = [], 0
        for width in widths:
            fields.append(port.data[low : low + width] if width else 0)
            low += width
        return fields


def _wrapped(m: Module, name: str, a: Any, b: Any, depth: int) -> Any:
    """``(a + b) % depth`` of two numbers below ``depth``."""
    total = Signal(range(2 * depth), name=f"{name}_sum")
    m.d.comb += total.eq(a + b)
    if depth & (depth - 1) == 0:
        return total[: max(depth - 1, 1).bit_length()]
    return Mux(total >= depth, total - depth, total)


class Alternate(Component):
    """Streams joined end to end, ``counts[k]`` beats of stream k in turn: channels of several tensors, position by
    position. Beats pass through in the cycle in which they come.
    """

    def __init__(self, width: int, counts: Sequence[int]) -> None:
        positive(width=width, streams=len(counts), **{f"count_{k}": count for k, count in enumerate(counts)})
        self.width = width
        self.counts = tuple(counts)
        signature = stream.Signature(unsigned(width))
        super().__init__({**{f"i{k}": In(signature) for k in range(len(counts))}, "o": Out(signature)})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        sources = [getattr(self, f"i{k}") for k in range(len(self.counts))]
        taken = Signal()
        m.d.comb += taken.eq(self.o.valid & self.o.ready)
        beat, _ = counter(m, "beat", sum(self.counts), taken)
        start = 0
        for source, count in zip(sources, self.counts, strict=True):
            turn = Signal()
            m.d.comb += [turn.eq((beat >= start) & (beat < start + count)), source.ready.eq(turn & self.o.ready)]
            with m.If(turn):
                m.d.comb += [self.o.valid.eq(source.valid), self.o.payload.eq(source.payload)]
            start += count
        return m
