"""The facts about a block's interface, from which every text of the hand-over is rendered."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from qcompile.backends.amaranth import Pins, Rtl
from qcompile.ir.hardware import Stream
from qcompile.schedule import Design
from qcompile.targets import Target

_LEAST_PATIENCE = 10_000


@dataclass(frozen=True)
class Field:
    """One value of a beat: bits ``low`` to ``high`` of TDATA, two's complement where ``signed``."""

    index: int
    low: int
    width: int
    signed: bool

    @property
    def high(self) -> int:
        return self.low + self.width - 1

    @property
    def place(self) -> str:
        """As Verilog selects it."""
        return f"[{self.high}:{self.low}]" if self.width > 1 else f"[{self.low}]"


@dataclass(frozen=True)
class Bus:
    """One side of a block: ``beats`` per frame, each with the values ``fields`` in ``bits`` of TDATA.

    ``width`` bits are used; those above are ignored at the input and 0 at the output.
    """

    beats: int
    fields: tuple[Field, ...]

    @staticmethod
    def of(stream: Stream) -> Bus:
        fields, low = [], 0
        for index, span in enumerate(stream.lanes):
            fields.append(Field(index, low, span.width, span.signed))
            low += span.width
        return Bus(stream.beats, tuple(fields))

    @property
    def width(self) -> int:
        return sum(field.width for field in self.fields)

    @property
    def bytes(self) -> int:
        """Of one beat."""
        return -(-self.width // 8)

    @property
    def bits(self) -> int:
        return 8 * self.bytes

    @property
    def values(self) -> int:
        """Of one frame."""
        return self.beats * len(self.fields)

    @property
    def uniform(self) -> Field | None:
        """The first field where all have its width and sign, so that field k begins at bit ``k * width``."""
        first = self.fields[0]
        same = all(f.width == first.width and f.signed == first.signed for f in self.fields)
        return first if same else None


@dataclass(frozen=True)
class Block:
    """A compiled network as hardware. ``files`` are those of ``rtl/``; ``fingerprint`` tells networks apart (32 bits).

    ``latency_cycles``: from the first input beat of a frame taken to its last output beat valid;
    ``interval_cycles``: between frames. Both at full speed on both sides.
    """

    name: str
    model: str
    version: str
    target: Target
    clock_mhz: float
    input: Bus
    output: Bus
    pins: Pins
    latency_cycles: int
    interval_cycles: int
    files: tuple[str, ...]
    fingerprint: int

    @property
    def period_ns(self) -> float:
        return 1000 / self.clock_mhz

    @property
    def patience_cycles(self) -> int:
        """Cycles without any transfer after which a simulation may call it a deadlock: folded layers are silent."""
        return _LEAST_PATIENCE + 8 * (self.latency_cycles + self.interval_cycles)

    @cached_property
    def connections(self) -> tuple[tuple[str, str], ...]:
        """Port and the testbench's signal, for every port."""
        return (
            ("aclk", "clock"),
            ("aresetn", "aresetn"),
            *((f"s_axis_t{name}", f"in_{name}") for name in ("data", "valid", "ready", "last")),
            *((f"m_axis_t{name}", f"out_{name}") for name in ("data", "valid", "ready", "last")),
        )


def describe(
    design: Design, rtl: Rtl, target: Target, totals: Mapping[str, Any], *, version: str, fingerprint: int
) -> Block:
    """The block that ``rtl`` is. ``totals`` are those of report.json."""
    source, sink = design.streams
    return Block(
        name=rtl.top,
        model=design.name,
        version=version,
        target=target,
        clock_mhz=design.clock_mhz,
        input=Bus.of(source),
        output=Bus.of(sink),
        pins=rtl.pins,
        latency_cycles=totals["latency_cycles"],
        interval_cycles=totals["ii_cycles"],
        files=tuple(sorted(rtl.files)),
        fingerprint=fingerprint,
    )
