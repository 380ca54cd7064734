"""The order in which a raster-scanned image completes its windows, step by step."""

from __future__ import annotations

from dataclasses import dataclass

from ._check import at_least, positive


@dataclass(frozen=True)
class WindowScan:
    """Where and when the windows of one frame appear: the timing of `Window`, exact.

    ``kernel``, ``stride`` and ``dilation`` are (rows, columns), ``pads`` is (top, left, bottom, right) as in
    ONNX. The image is scanned in *steps*, one per cycle; a row takes ``row_steps``. Step ``s`` takes in the
    beat at row ``s // row_steps`` and column ``s % row_steps``, or nothing where that is outside of the
    image. A window is complete in the step of its last tap, or, where that tap lies in the right padding, as
    many steps later as it lies outside: while the next row already enters. So left, right and top padding
    cost no steps.
    """

    height: int
    width: int
    kernel: tuple[int, int]
    stride: tuple[int, int] = (1, 1)
    pads: tuple[int, int, int, int] = (0, 0, 0, 0)
    dilation: tuple[int, int] = (1, 1)

    def __post_init__(self) -> None:
        positive(height=self.height, width=self.width)
        for name in ("kernel", "stride", "dilation"):
            rows, columns = getattr(self, name)
            positive(**{f"{name}[0]": rows, f"{name}[1]": columns})
        for k, pad in enumerate(self.pads):
            at_least(0, **{f"pads[{k}]": pad})
            if pad > self.reach[k % 2]:
                raise ValueError(f"pads[{k}] = {pad} must be less than the kernel's extent, {self.reach[k % 2] + 1}")
        if min(self.out_shape) < 1:
            raise ValueError(f"kernel extent exceeds the padded image: {self}")

    @property
    def reach(self) -> tuple[int, int]:
        """Distance between the first and the last tap, (rows, columns)."""
        return (self.kernel[0] - 1) * self.dilation[0], (self.kernel[1] - 1) * self.dilation[1]

    @property
    def out_shape(self) -> tuple[int, int]:
        top, left, bottom, right = self.pads
        return (
            (self.height + top + bottom - self.reach[0] - 1) // self.stride[0] + 1,
            (self.width + left + right - self.reach[1] - 1) // self.stride[1] + 1,
        )

    @property
    def in_beats(self) -> int:
        """Image positions per frame."""
        return self.height * self.width

    @property
    def out_beats(self) -> int:
        """Window positions per frame."""
        return self.out_shape[0] * self.out_shape[1]

    @property
    def memory_depth(self) -> int:
        """Words of the line memory: how far apart in beats two taps of one column are."""
        return self.dilation[0] * self.width

    @property
    def row_steps(self) -> int:
        """Steps per image row: its width, or more where padding makes a row of windows longer than that."""
        return max(self.width, (self.out_shape[1] - 1) * self.stride[1] + 1)

    def step_of(self, k: int) -> int:
        """The step that completes window ``k`` (raster order)."""
        row, column = divmod(k, self.out_shape[1])
        last_row = row * self.stride[0] + self.reach[0] - self.pads[0]
        last_column = column * self.stride[1] + self.reach[1] - self.pads[1]
        return last_row * self.row_steps + last_column

    @property
    def steps(self) -> int:
        """Steps per frame: until the last beat is in and the last window is complete."""
        last_input = (self.height - 1) * self.row_steps + self.width - 1
        return max(last_input, self.step_of(self.out_beats - 1)) + 1

    def needed_inputs(self, k: int) -> int:
        """Beats of a frame that must be accepted before its window ``k`` (from 0) can be valid. Exact."""
        if not 0 <= k < self.out_beats:
            raise ValueError(f"window {k} of {self.out_beats}")
        row, column = divmod(self.step_of(k), self.row_steps)
        if row >= self.height:
            return self.in_beats
        return row * self.width + min(column + 1, self.width)
