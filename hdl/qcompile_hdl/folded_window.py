"""Sliding windows read word by word from a line memory, for convolutions whose channels are folded."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal, signed, unsigned
from amaranth.lib import stream
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from ._check import at_least, positive
from ._counter import counter
from .component import Component
from .folded_scan import FoldedScan, Order


@dataclass(frozen=True)
class _Loop:
    """``value`` counts from 0 and is ``last`` at its end; one turn is ``stride`` words further in the input."""

    value: Any
    last: Any
    count: int
    stride: int


class FoldedWindow(Component):
    """Per window position ``kh * kw * folds`` words, in the order that `FoldedScan` describes, one per cycle.

    Input words are written circularly into a memory with synchronous read. A word is accepted while its slot is
    older than the window being read; ``i.ready`` does not depend on ``o.ready``. A tap is read as soon as its word
    is in the memory, so that it is valid two cycles after that was accepted; taps in the padding read ``pad_word``
    and wait for nothing, so that those at the start of a frame may appear before its input. No frame needs the next
    one; words that no window uses are taken in and dropped.
    """

    def __init__(
        self,
        word_width: int,
        folds: int,
        height: int,
        width: int,
        kernel: tuple[int, int],
        stride: tuple[int, int] = (1, 1),
        pads: tuple[int, int, int, int] = (0, 0, 0, 0),
        dilation: tuple[int, int] = (1, 1),
        pad_word: int = 0,
        order: Order = "window",
        depth: int | None = None,
    ) -> None:
        positive(word_width=word_width)
        at_least(0, pad_word=pad_word)
        if pad_word >> word_width:
            raise ValueError(f"pad_word {pad_word:#x} does not fit {word_width} bits")
        self.scan = FoldedScan(folds, height, width, kernel, stride, pads, dilation, order, depth)
        self.word_width = word_width
        self.pad_word = pad_word
        signature = stream.Signature(unsigned(word_width))
        super().__init__({"i": In(signature), "o": Out(signature)})

    @property
    def cycles_per_frame(self) -> int:
        """Initiation interval in cycles while nobody stalls. Exact."""
        return self.scan.cycles_per_frame

    @property
    def memory_words(self) -> int:
        """Words of the line memory."""
        return self.scan.memory_words

    def needed_inputs(self, k: int) -> int:
        """Words of a frame that must be accepted before its output word ``k`` (from 0) can be valid. Exact."""
        return self.scan.needed_inputs(k)

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        enable = Signal()
        step = Signal()
        accept = Signal()
        in_padding = Signal()
        loops = self._loops(m, step)
        present = self._flow(m, accept, step, list(loops.values()))
        m.d.comb += [
            enable.eq(~self.o.valid | self.o.ready),
            step.eq(enable & (in_padding | present)),
            accept.eq(self.i.valid & self.i.ready),
            in_padding.eq(self._outside(m, loops, 0) | self._outside(m, loops, 1)),
        ]

        depth = self.scan.memory_words
        m.submodules.line_memory = memory = Memory(shape=unsigned(self.word_width), depth=depth, init=[])
        write = memory.write_port()
        read = memory.read_port()
        write_place = Signal(range(depth))
        tap = Signal(self.word_width)
        read_place = Signal(range(depth), init=self.scan.window_start(0) % depth)
        m.d.comb += [
            write.en.eq(accept),
            write.addr.eq(write_place),
            write.data.eq(self.i.payload),
            read.en.eq(step),
            read.addr.eq(read_place),
            tap.eq(read.data),
        ]
        with m.If(accept):
            m.d.sync += write_place.eq(Mux(write_place == depth - 1, 0, write_place + 1))
        with m.If(step):
            m.d.sync += read_place.eq(self._moved(m, read_place, list(loops.values())))

        shows_padding = Signal(reset_less=True)
        with m.If(enable):
            m.d.sync += [self.o.valid.eq(in_padding | present), shows_padding.eq(in_padding)]
        padded = any(self.scan.pads)
        m.d.comb += self.o.payload.eq(Mux(shows_padding, self.pad_word, tap) if padded else tap)
        return m

    def _loops(self, m: Module, step: Any) -> dict[str, _Loop]:
        """The loops over taps and windows, innermost first, and their counters."""
        scan = self.scan
        strides = {
            "fold": (scan.folds, 1),
            "kernel_column": (scan.kernel[1], scan.dilation[1] * scan.folds),
            "kernel_row": (scan.kernel[0], scan.dilation[0] * scan.width * scan.folds),
            "window_column": (scan.out_shape[1], scan.stride[1] * scan.folds),
            "window_row": (scan.out_shape[0], scan.stride[0] * scan.width * scan.folds),
        }
        names = list(strides)
        if scan.order == "channel":
            names = names[1:3] + names[:1] + names[3:]
        loops: dict[str, _Loop] = {}
        turn = step
        for name in names:
            count, stride = strides[name]
            value, last = counter(m, name, count, turn)
            loops[name] = _Loop(value, last, count, stride)
            turn = turn & last
        return loops

    def _jumps(self, loops: Iterable[_Loop]) -> list[int]:
        """Words from one turn of nested loops to the next, by the loop that turns; then to the next frame."""
        jumps, walked = [], 0
        for loop in loops:
            jumps.append(loop.stride - walked)
            walked += (loop.count - 1) * loop.stride
        return [*jumps, self.scan.in_words - walked]

    @staticmethod
    def _turning(loops: list[_Loop], values: list[int]) -> Any:
        """The value of the innermost loop that is not at its end, the last value where all are."""
        chosen: Any = values[-1]
        for loop, value in reversed(list(zip(loops, values, strict=False))):
            if loop.count > 1:
                chosen = Mux(loop.last, chosen, value)
        return chosen

    def _flow(self, m: Module, accept: Any, step: Any, loops: list[_Loop]) -> Any:
        """Makes ``i.ready``; returns whether the word at the present tap is in the memory."""
        start = self.scan.window_start(0)
        beyond_span, room_span = self.scan.counter_spans
        # In both the sign bit says no: words accepted after the present tap's, slots free after the next input.
        beyond_tap = Signal(_signed_for(beyond_span), init=-start - 1)
        room = Signal(_signed_for(room_span), init=start + self.scan.reserve_words - 1)
        jump_back = Signal(beyond_tap.shape())
        release = Signal(room.shape())
        window_read = Signal()
        m.d.comb += [
            jump_back.eq(self._turning(loops, [-jump for jump in self._jumps(loops)])),
            window_read.eq(step & Cat(loop.last for loop in loops[:3]).all()),
            release.eq(self._turning(loops[3:], [jump - 1 for jump in self._jumps(loops[3:])])),
            self.i.ready.eq(~room[-1]),
        ]
        m.d.sync += [
            beyond_tap.eq(_add(beyond_tap, Mux(step, jump_back, 0), accept)),
            room.eq(_add(room, Mux(window_read, release, -1), ~accept)),
        ]
        return ~beyond_tap[-1]

    def _moved(self, m: Module, place: Any, loops: list[_Loop]) -> Any:
        """``place`` in the circular memory after the jump of the loop that turns."""
        depth = self.scan.memory_words
        jumps = self._jumps(loops)
        if depth & (depth - 1) == 0:
            return place + self._turning(loops, [jump % depth for jump in jumps])
        # Already less the depth: negative where it does not wrap. The depth's lower bits are 0.
        wrapped = Signal(signed(depth.bit_length() + 1))
        m.d.comb += wrapped.eq(place + self._turning(loops, [jump % depth - depth for jump in jumps]))
        low = (depth & -depth).bit_length() - 1
        return Cat(wrapped[:low], (wrapped[low:] + Mux(wrapped[-1], depth >> low, 0))[: len(place) - low])

    def _outside(self, m: Module, loops: dict[str, _Loop], axis: int) -> Any:
        """Whether the present tap lies above or below the image (axis 0), left or right of it (1)."""
        scan = self.scan
        name = ("row", "column")[axis]
        window, tap = loops[f"window_{name}"], loops[f"kernel_{name}"]
        size = (scan.height, scan.width)[axis]
        stride = scan.stride[axis]
        flags = []
        for k in range(tap.count):
            offset = k * scan.dilation[axis] - scan.pads[axis]
            low, high = -(offset // stride), (size - 1 - offset) // stride
            here = tap.value == k
            if low > 0:
                flags.append(here & (window.value == 0 if low == 1 else window.value < low))
            if high < window.count - 1:
                flags.append(here & (window.last if high == window.count - 2 else window.value > high))
        outside = Signal(name=f"{name}_outside")
        m.d.comb += outside.eq(Cat(flags).any())
        return outside


def _signed_for(span: tuple[int, int]) -> Any:
    return signed(1 + max(bound.bit_length() if bound >= 0 else (-bound - 1).bit_length() for bound in span))


def _add(a: Any, b: Any, carry: Any) -> Any:
    """``a + b + carry`` modulo ``a``'s range by a single adder, which synthesis would not make of two additions."""
    return (Cat(1, a) + Cat(carry, b))[1 : 1 + len(a)]
