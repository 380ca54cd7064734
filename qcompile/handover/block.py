"""The facts about a block's interface, from which every text of the hand-over is rendered."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from qcompile.backends.amaranth import Pins, Rtl
from qcompile.handover.ports import REGISTERS, Bus, Port, Register, ports_of
from qcompile.ir.graph import Graph
from qcompile.ir.text import print_graph
from qcompile.schedule import Design
from qcompile.targets import Target

_LEAST_PATIENCE = 10_000


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
    pins: Pins = Pins()  # noqa: RUF009
    latency_cycles: int = 0
    interval_cycles: int = 0
    files: tuple[str, ...] = ()
    fingerprint: int = 0

    @property
    def class_name(self) -> str:
        """In Python."""
        return "".join(part.capitalize() for part in self.name.split("_"))

    def adapter(self, frames: int) -> Block:
        """The adapter to 32-bit streams with a batch of ``frames``, as a block of its own: one frame of words."""
        return replace(
            self,
            name=f"{self.name}_dma",
            input=self.input.in_words(frames),
            output=self.output.in_words(frames),
            pins=Pins(),
        )

    @property
    def input_port(self) -> str:
        return "s_axis_tdata" if self.pins.interface == "axis" else "in_0 and so on, side by side"

    @property
    def output_port(self) -> str:
        return "m_axis_tdata" if self.pins.interface == "axis" else "out_0 and so on, side by side"

    @property
    def registers(self) -> tuple[Register, ...]:
        """Behind ``s_axi``, where there is one."""
        return REGISTERS

    @property
    def period_ns(self) -> float:
        return 1000 / self.clock_mhz

    @property
    def patience_cycles(self) -> int:
        """Cycles without any transfer after which a simulation may call it a deadlock: folded layers are silent."""
        return _LEAST_PATIENCE + 8 * (self.latency_cycles + self.interval_cycles)

    @cached_property
    def ports(self) -> tuple[Port, ...]:
        return ports_of(self.pins, self.input, self.output)

    @property
    def connections(self) -> tuple[tuple[str, str], ...]:
        """Port and the testbench's signal, for every port."""
        return tuple((port.name, port.signal) for port in self.ports)


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


def fingerprint(golden: Graph) -> int:
    """32 bits of a hash of the integer network: what it computes, not how."""
    return int.from_bytes(hashlib.sha256(print_graph(golden).encode()).digest()[:4], "big")
