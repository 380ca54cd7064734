"""Sliding windows over a raster-scanned image: line memory, window registers, padding by masking."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Signal, unsigned
from amaranth.lib import stream
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from ._check import at_least, positive
from .component import Component
from .window_scan import WindowScan


class Window(Component):
    """One beat per window position in raster order, ``kh * kw`` input beats each, row-major, top-left lowest.

    Taps in the padding read ``pad_beat``. At most one step per cycle; the component stops when a window waits
    for ``o.ready`` (``i.ready`` depends on it combinationally) or when a step lacks its beat. A window is
    valid two cycles after its last beat was accepted, one where the kernel has one row. It completes a frame
    by itself and then starts the next in the next cycle; beats that no window uses are taken in and dropped.

    The line memory has ``dh * width`` words of ``kh - 1`` beats, read synchronously.
    """

    def __init__(
        self,
        beat_width: int,
        height: int,
        width: int,
        kernel: tuple[int, int],
        stride: tuple[int, int] = (1, 1),
        pads: tuple[int, int, int, int] = (0, 0, 0, 0),
        dilation: tuple[int, int] = (1, 1),
        pad_beat: int = 0,
    ) -> None:
        positive(beat_width=beat_width)
        at_least(0, pad_beat=pad_beat)
        if pad_beat >> beat_width:
            raise ValueError(f"pad_beat {pad_beat:#x} does not fit {beat_width} bits")
        self.scan = WindowScan(height, width, kernel, stride, pads, dilation)
        self.beat_width = beat_width
        self.pad_beat = pad_beat
        super().__init__(
            {
                "i": In(stream.Signature(unsigned(beat_width))),
                "o": Out(stream.Signature(unsigned(beat_width * kernel[0] * kernel[1]))),
            }
        )

    @property
    def cycles_per_frame(self) -> int:
        """Initiation interval in cycles while nobody stalls. Exact."""
        return self.scan.steps

    @property
    def memory_bits(self) -> int:
        """Size of the line memory."""
        return self.scan.memory_depth * (self.scan.kernel[0] - 1) * self.beat_width

    def needed_inputs(self, k: int) -> int:
        """Beats of a frame that must be accepted before its window ``k`` (from 0) can be valid. Exact."""
        return self.scan.needed_inputs(k)

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        enable = Signal()
        m.d.comb += enable.eq(~self.o.valid | self.o.ready)

        step = Signal()
        takes_beat, column_in_image = self._scan_counters(m, step)
        m.d.comb += [step.eq(enable & (~takes_beat | self.i.valid)), self.i.ready.eq(enable & takes_beat)]
        emit, inside = self._window_counters(m, step)

        # One column of the image per step: its newest beat and the beats above it from the line memory.
        column_step, column = step, [self.i.payload]
        if self.scan.kernel[0] > 1:
            column_step, column = self._line_memory(m, enable, step, column_in_image)
            emit = self._delay(m, enable, emit & step, "emit_column")
            inside = {tap: self._delay(m, enable, flag, "in_image_{}_{}".format(*tap)) for tap, flag in inside.items()}
        with m.If(enable):
            m.d.sync += self.o.valid.eq(emit & column_step)
        shift = Signal()
        m.d.comb += shift.eq(enable & column_step)
        self._window_registers(m, shift, column, inside)
        return m

    @staticmethod
    def _delay(m: Module, enable: Any, value: Any, name: str) -> Any:
        register = Signal(name=name, reset_less=True)
        with m.If(enable):
            m.d.sync += register.eq(value)
        return register

    def _scan_counters(self, m: Module, step: Any) -> tuple[Any, Any]:
        """Row and column of the scan; returns whether this step takes in a beat, and whether its column is
        one.
        """
        scan = self.scan
        end_row, end_column = divmod(scan.steps - 1, scan.row_steps)
        column = Signal(range(scan.row_steps), name="scan_column")
        row = Signal(range(end_row + 1), name="scan_row")
        frame_end = Signal()
        row_end = Signal()
        m.d.comb += [
            frame_end.eq((row == end_row) & (column == end_column)),
            row_end.eq(column == scan.row_steps - 1),
        ]
        with m.If(step):
            with m.If(frame_end):
                m.d.sync += [row.eq(0), column.eq(0)]
            with m.Elif(row_end):
                m.d.sync += [row.eq(row + 1), column.eq(0)]
            with m.Else():
                m.d.sync += column.eq(column + 1)
        takes_beat = Signal()
        column_in_image = Signal()
        m.d.comb += [
            column_in_image.eq(column < scan.width),
            takes_beat.eq(column_in_image & (row < scan.height)),
        ]
        return takes_beat, column_in_image

    def _window_counters(self, m: Module, step: Any) -> tuple[Any, dict[tuple[int, int], Any]]:
        """Counts windows; returns whether this step completes one, and per tap whether it lies in the image.

        Taps that are never in the padding have no entry.
        """
        scan = self.scan
        out_height, out_width = scan.out_shape
        next_column = scan.stride[1] - 1
        next_row = scan.stride[0] * scan.row_steps - (out_width - 1) * scan.stride[1] - 1
        first = scan.step_of(0)
        # After the last window: the rest of this frame, then the wait for the first window of the next.
        next_frame = scan.steps - 1 - scan.step_of(scan.out_beats - 1) + first
        wait = Signal(range(max(next_column, next_row, next_frame, first) + 1), init=first, name="steps_to_window")
        row = Signal(range(out_height), name="window_row")
        column = Signal(range(out_width), name="window_column")
        emit = Signal()
        last_of_row = Signal()
        last_row = Signal()
        m.d.comb += [
            emit.eq(wait == 0),
            last_of_row.eq(column == out_width - 1),
            last_row.eq(row == out_height - 1),
        ]
        with m.If(step):
            with m.If(~emit):
                m.d.sync += wait.eq(wait - 1)
            with m.Elif(~last_of_row):
                m.d.sync += [wait.eq(next_column), column.eq(column + 1)]
            with m.Elif(~last_row):
                m.d.sync += [wait.eq(next_row), column.eq(0), row.eq(row + 1)]
            with m.Else():
                m.d.sync += [wait.eq(next_frame), column.eq(0), row.eq(0)]

        def in_image(position: Any, axis: int, tap: int) -> Any:
            """None where the tap always is; positions ``low`` … ``high`` (inclusive) have it in the image."""
            size, count = (scan.height, out_height) if axis == 0 else (scan.width, out_width)
            stride, offset = scan.stride[axis], tap * scan.dilation[axis] - scan.pads[axis]
            low, high = max(0, -(offset // stride)), min(count - 1, (size - 1 - offset) // stride)
            if low == 0 and high == count - 1:
                return None
            flag = Signal(name=f"{('row', 'column')[axis]}_{tap}_in_image")
            below, above = position < low, position > high
            m.d.comb += flag.eq(~(below if high == count - 1 else above if low == 0 else below | above))
            return flag

        rows = [in_image(row, 0, tap) for tap in range(scan.kernel[0])]
        columns = [in_image(column, 1, tap) for tap in range(scan.kernel[1])]
        inside = {}
        for i, row_flag in enumerate(rows):
            for j, column_flag in enumerate(columns):
                flags = [flag for flag in (row_flag, column_flag) if flag is not None]
                if flags:
                    inside[i, j] = Cat(flags).all()
        return emit, inside

    def _line_memory(self, m: Module, enable: Any, step: Any, column_in_image: Any) -> tuple[Any, list[Any]]:
        """Whether there was a step before, and its image column, newest beat first.

        All rows share one address: each word moves one row up when it is written back, one step after its
        read. Below the image that goes on, so that the last rows reach the upper taps. What the frame before
        has left is only read by taps above the image, which are masked.
        """
        scan = self.scan
        width, rows, depth = self.beat_width, scan.kernel[0] - 1, scan.memory_depth
        m.submodules.line_memory = memory = Memory(shape=unsigned(width * rows), depth=depth, init=[])
        write = memory.write_port()
        # Only a memory of one word is ever read in the cycle that writes the same address.
        read = memory.read_port(transparent_for=(write,) if depth == 1 else ())

        beat = Signal(width, name="entering_beat", reset_less=True)
        column_step = Signal()
        writes = Signal()
        with m.If(enable):
            m.d.sync += [column_step.eq(step), writes.eq(step & column_in_image)]
        m.d.comb += [
            read.en.eq(step & column_in_image),
            write.en.eq(enable & writes),
            write.data.eq(Cat(beat, read.data)[: width * rows]),
        ]
        with m.If(read.en):
            m.d.sync += [
                beat.eq(self.i.payload),
                write.addr.eq(read.addr),
                read.addr.eq(Mux(read.addr == depth - 1, 0, read.addr + 1)),
            ]
        return column_step, [beat, *(read.data[k * width : (k + 1) * width] for k in range(rows))]

    def _window_registers(self, m: Module, shift: Any, column: list[Any], inside: dict[tuple[int, int], Any]) -> None:
        """Shift registers along each row, and the output beat taken from them."""
        kernel_rows, kernel_columns = self.scan.kernel
        taps = []
        for i in range(kernel_rows):
            stages = []
            source = column[kernel_rows - 1 - i]
            for delay in range(self.scan.reach[1] + 1):
                stage = Signal(self.beat_width, name=f"row_{i}_delay_{delay}", reset_less=True)
                with m.If(shift):
                    m.d.sync += stage.eq(source)
                stages.append(stage)
                source = stage
            for j in range(kernel_columns):
                tap = stages[(kernel_columns - 1 - j) * self.scan.dilation[1]]
                if (i, j) in inside:
                    flag = Signal(name=f"tap_{i}_{j}_in_image", reset_less=True)
                    with m.If(shift):
                        m.d.sync += flag.eq(inside[i, j])
                    tap = Mux(flag, tap, Const(self.pad_beat, self.beat_width))
                # A signal, so that the tap is a port with this name.
                named = Signal(self.beat_width, name=f"tap_{i}_{j}")
                m.d.comb += named.eq(tap)
                taps.append(named)
        m.d.comb += self.o.payload.eq(Cat(taps))
