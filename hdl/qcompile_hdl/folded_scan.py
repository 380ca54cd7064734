"""The order in which a convolution reads its folded windows, and what that takes: words, memory, cycles."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from ._check import at_least, positive

Order = Literal["window", "channel"]


@dataclass(frozen=True)
class FoldedScan:
    """Sliding windows over an image whose positions come as ``folds`` words each: the timing of `FoldedWindow`.

    ``kernel``, ``stride`` and ``dilation`` are (rows, columns), ``pads`` is (top, left, bottom, right) as in ONNX.
    Words arrive position by position in raster order, a position's folds in sequence. Every window, in raster
    order, is read out as ``window_words`` words: ``order`` "window" goes through kernel rows, kernel columns and
    folds, the folds fastest; "channel" through folds, kernel rows and kernel columns, the columns fastest.

    ``depth`` is the size of the line memory in words. By default it is just so large that the next window of a
    frame can be complete when one has been read, so that only the start of a frame waits for input;
    ``seamless_words`` avoids that too, ``least_words`` is the minimum. In any case the size is rounded up to what
    saves logic and, since memories come in blocks, hardly any memory: `memory_words`.
    """

    folds: int
    height: int
    width: int
    kernel: tuple[int, int]
    stride: tuple[int, int] = (1, 1)
    pads: tuple[int, int, int, int] = (0, 0, 0, 0)
    dilation: tuple[int, int] = (1, 1)
    order: Order = "window"
    depth: int | None = None

    # No memory block has fewer words than this.
    BLOCK_WORDS = 512

    def __post_init__(self) -> None:
        positive(folds=self.folds, height=self.height, width=self.width)
        for name in ("kernel", "stride", "dilation"):
            rows, columns = getattr(self, name)
            positive(**{f"{name}[0]": rows, f"{name}[1]": columns})
        for k, pad in enumerate(self.pads):
            at_least(0, **{f"pads[{k}]": pad})
        if self.order not in ("window", "channel"):
            raise ValueError(f"order must be 'window' or 'channel', not {self.order!r}")
        if min(self.out_shape) < 1:
            raise ValueError(f"kernel extent exceeds the padded image: {self}")
        if self.depth is not None:
            at_least(self.least_words, depth=self.depth)

    @property
    def reach(self) -> tuple[int, int]:
        """Distance between the first and the last tap, (rows, columns)."""
        return (self.kernel[0] - 1) * self.dilation[0], (self.kernel[1] - 1) * self.dilation[1]

    @property
    def out_shape(self) -> tuple[int, int]:
        """Window positions, (rows, columns)."""
        top, left, bottom, right = self.pads
        return (
            (self.height + top + bottom - self.reach[0] - 1) // self.stride[0] + 1,
            (self.width + left + right - self.reach[1] - 1) // self.stride[1] + 1,
        )

    @property
    def in_words(self) -> int:
        """Input words per frame."""
        return self.height * self.width * self.folds

    @property
    def window_words(self) -> int:
        """Output words per window."""
        return self.kernel[0] * self.kernel[1] * self.folds

    @property
    def out_words(self) -> int:
        """Output words per frame."""
        return self.out_shape[0] * self.out_shape[1] * self.window_words

    @property
    def span_words(self) -> int:
        """From a window's first to its last word in the input, padding counted as if it were there."""
        return (self.reach[0] * self.width + self.reach[1] + 1) * self.folds

    @property
    def least_words(self) -> int:
        """The smallest possible depth: one window."""
        return self.span_words + self._overshoot

    @property
    def seamless_words(self) -> int:
        """The depth from which the next window, even that of the next frame, can be complete when one was read."""
        return self.least_words + max(0, *self.advances)

    @property
    def memory_words(self) -> int:
        """Words of the line memory: a power of two up to a block's size or where that is at most an eighth more, else
        a multiple of a large one.
        """
        words = self.depth
        if words is None:
            # Small windows are read before the next can have arrived.
            small = self.window_words <= self.stride[1] * self.folds
            words = self.least_words + (self.window_words if small else max(0, *self.advances[:2]))
        power = 1 << (words - 1).bit_length()
        if power <= max(self.BLOCK_WORDS, words + words // 8):
            return power
        # Only the upper bits of an address then wrap by arithmetic.
        granule = max(1, min(self.BLOCK_WORDS, power // 16))
        return -(-words // granule) * granule

    @property
    def reserve_words(self) -> int:
        """How far, counted from the first word of the window being read, input may run ahead."""
        return self.memory_words - self._overshoot

    @property
    def advances(self) -> tuple[int, int, int]:
        """Words from a window's first to the next one's: in its row (0 where there is none), at the end of a row
        (likewise), at the end of a frame.
        """
        (rows, columns), (down, right) = self.out_shape, self.stride
        in_row = right * (columns > 1)
        row_end = (down * self.width - (columns - 1) * right) * (rows > 1)
        frame_end = self.height * self.width - (rows - 1) * down * self.width - (columns - 1) * right
        return in_row * self.folds, row_end * self.folds, frame_end * self.folds

    def window_start(self, k: int) -> int:
        """Place of window ``k``'s first word in the frame; negative where that lies above the image."""
        row, column = self._corner(k)
        return (row * self.width + column) * self.folds

    @cached_property
    def cycles_per_frame(self) -> int:
        """Cycles from the end of a frame to the end of the next while nobody stalls, the longest such time. Exact."""
        limits = self._limits
        needs = [self._need_to_flow(k) for k in range(len(limits))]
        # Counted from the start of the frame of which windows are read.
        accepted = longest = frames = 0
        seen: set[int] = set()
        while accepted not in seen:
            seen.add(accepted)
            cycles = 0
            for limit, need in zip(limits, needs, strict=True):
                taken = max(0, need - accepted) + self.window_words
                cycles += taken
                accepted = max(accepted, min(accepted + taken, limit))
            accepted -= self.in_words
            # The first frame starts from an empty memory.
            longest = max(longest, cycles) if frames else 0
            frames += 1
        return longest if frames > 1 else cycles

    @cached_property
    def counter_spans(self) -> tuple[tuple[int, int], tuple[int, int]]:
        """The values that ``accepted words - place of the tap - 1`` and ``reserve - accepted words - 1``, the latter
        counted from the window's start, can have.
        """
        needs = [self._last_need(k) for k in range(self._windows)]
        lowest, highest = max(needs) - self.in_words, max(self._limits) - self.in_words
        beyond, room = [0], [0]
        for k, (need, limit) in enumerate(zip(needs, self._limits, strict=True)):
            start = self.window_start(k)
            highest = max(highest, limit)
            beyond += [lowest - start - self.span_words, highest - start - 1]
            room += [limit - highest - 1, limit - lowest - 1]
            lowest = max(lowest, need)
        return (min(beyond), max(beyond)), (min(room), max(room))

    def needed_inputs(self, k: int) -> int:
        """Words of a frame that must be accepted before its output word ``k`` (from 0) can be valid. Exact.

        0 for padding at the very start: that comes before any input.
        """
        if not 0 <= k < self.out_words:
            raise ValueError(f"word {k} of {self.out_words}")
        window, word = divmod(k, self.window_words)
        taps = self.kernel[0] * self.kernel[1]
        places = self._places(window)
        needs = [self._needs_so_far[window]]
        if self.order == "window":
            tap, fold = divmod(word, self.folds)
            needs += [place + self.folds for place in places[:tap] if place is not None]
        else:
            fold, tap = divmod(word, taps)
            needs += [place + fold for place in places if place is not None and fold > 0]
            needs += [place + fold + 1 for place in places[:tap] if place is not None]
        here = places[tap]
        if here is not None:
            needs.append(here + fold + 1)
        return max(needs)

    @property
    def _windows(self) -> int:
        return self.out_shape[0] * self.out_shape[1]

    @cached_property
    def _limits(self) -> list[int]:
        """Per window how many words of the frame may have been accepted while it is read."""
        return [self.window_start(k) + self.reserve_words for k in range(self._windows)]

    def _corner(self, k: int) -> tuple[int, int]:
        """Image row and column of a window's first tap."""
        row, column = divmod(k, self.out_shape[1])
        return row * self.stride[0] - self.pads[0], column * self.stride[1] - self.pads[1]

    def _places(self, k: int) -> list[int | None]:
        """Per tap of window ``k`` where its words begin in the frame, None in the padding."""
        top, left = self._corner(k)
        rows = [top + i * self.dilation[0] for i in range(self.kernel[0])]
        columns = [left + j * self.dilation[1] for j in range(self.kernel[1])]
        return [
            (row * self.width + column) * self.folds if 0 <= row < self.height and 0 <= column < self.width else None
            for row in rows
            for column in columns
        ]

    def _last_need(self, k: int) -> int:
        """Words of the frame until window ``k`` is complete, 0 for one of nothing but padding."""

        def last(first: int, axis: int) -> int:
            size = (self.height, self.width)[axis]
            step, count = self.dilation[axis], self.kernel[axis]
            tap = min(count - 1, (size - 1 - first) // step)
            return first + tap * step if tap >= 0 else -1

        row, column = (last(first, axis) for axis, first in enumerate(self._corner(k)))
        return (row * self.width + column + 1) * self.folds if row >= 0 and column >= 0 else 0

    def _need_to_flow(self, k: int) -> int:
        """Words of the frame that must be accepted when window ``k`` begins, so that it need not wait for others
        that arrive, one per cycle, while it is read.
        """
        per_tap = self.folds if self.order == "window" else 1
        places = enumerate(self._places(k))
        return max((place + 1 - tap * per_tap for tap, place in places if place is not None), default=0)

    @cached_property
    def _needs_so_far(self) -> list[int]:
        """Per window what the windows before it need."""
        return [0, *itertools.accumulate((self._last_need(k) for k in range(self._windows - 1)), max)]

    @cached_property
    def _overshoot(self) -> int:
        """By how many words a window may start behind what a later one still reads: only where padding exceeds the
        kernel, so that windows start to the right of the image or below it.
        """
        if self.pads[2] <= self.reach[0] and self.pads[3] <= self.reach[1]:
            return 0
        overshoot, oldest = 0, self.in_words
        for k in reversed(range(self._windows)):
            row, column = self._corner(k)
            if row < self.height and column < self.width:
                oldest = min(oldest, (max(row, 0) * self.width + max(column, 0)) * self.folds)
            overshoot = max(overshoot, self.window_start(k) - oldest)
        return overshoot
