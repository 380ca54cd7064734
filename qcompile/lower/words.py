"""Words of a ROM under construction, and the lanes of a datapath that read their fields."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from qcompile.ir import datapath
from qcompile.lower.build import Builder
from qcompile.numerics.span import Span


@dataclass
class Words:
    """ROM words under construction: fields of some bits, the first lowest; one value per word and field."""

    count: int
    width: int = 0
    values: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.values = [0] * self.count

    def add(self, column: Sequence[int], width: int) -> None:
        """One more field: ``column`` has a two's complement value of ``width`` bits for every word."""
        mask = (1 << width) - 1
        for k, value in enumerate(column):
            self.values[k] |= (int(value) & mask) << self.width
        self.width += width

    def bit(self, build: Builder, name: str, column: npt.NDArray[np.int64]) -> str:
        """A one-bit field as an input lane of stream 1, or a constant where all words agree."""
        values = set(np.unique(column).tolist())
        if len(values) == 1:
            return build.add("constant_", datapath.Constant(values.pop()))
        lane = build.add(name, datapath.Input(1, self.width, Span(0, 1)))
        self.add(column.tolist(), 1)
        return lane
