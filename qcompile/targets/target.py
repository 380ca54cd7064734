"""What the compiler knows of a board: its part's resources, its speed, and where each figure comes from."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from math import ceil

BRAM18_BITS = 18 * 1024


class Family(StrEnum):
    """Architecture; `qcompile.synth` has its Yosys command and cell names."""

    ULTRASCALE_PLUS = "xcup"
    SERIES_7 = "xc7"
    ECP5 = "ecp5"
    GOWIN = "gowin"
    ICE40 = "ice40"
    CYCLONE_V = "cyclonev"


@dataclass(frozen=True)
class DelayModel:
    """Delays for deciding where registers go. An estimate: only place and route knows the real ones.

    A level of logic costs ``route_ns + lut_ns``; an adder pays ``carry_ns_per_bit`` on top for every bit.
    ``register_ns`` is clock-to-output plus set-up, once per stage; ``memory_ns`` is the same where a stage begins at a
    block RAM without a register behind it. ``digit_levels``: lookup tables in a row in a Booth digit, five inputs wide.
    """

    lut_ns: float
    carry_ns_per_bit: float
    route_ns: float
    register_ns: float
    memory_ns: float
    source: str
    digit_levels: int = 1

    def logic_ns(self, levels: int = 1) -> float:
        return levels * (self.route_ns + self.lut_ns)

    def adder_ns(self, width: int) -> float:
        return self.route_ns + self.lut_ns + self.carry_ns_per_bit * width

    def three_input_adder_ns(self, width: int) -> float:
        """A row of LUTs hands its carries to the next bit's, by routing, before the carry chain begins."""
        return self.logic_ns() + self.adder_ns(width)

    def budget_ns(self, clock_mhz: float) -> float:
        """What one stage may spend between its registers at ``clock_mhz``."""
        return 1000 / clock_mhz - self.register_ns


@dataclass(frozen=True)
class MemoryBlock:
    """A family's block memory: ``kind`` is its own name, ``shapes`` are the (words, bits) that it can have."""

    kind: str
    bits: int
    shapes: tuple[tuple[int, int], ...]

    def named(self, kind: str) -> MemoryBlock:
        return replace(self, kind=kind)

    def blocks(self, words: int, width: int) -> int:
        """Blocks for ``words`` words of ``width`` bits, in the best of the shapes."""
        return min(ceil(width / across) * ceil(words / deep) for deep, across in self.shapes)


@dataclass(frozen=True)
class Architecture:
    """What all parts of a family share. ``caution``: why figures of this family are rougher than others.

    ``carry_cell``: the carry chain whose LUTs have two outputs, so that one row of them adds three operands; "" where
    no LUT does.
    """

    lut_inputs: int
    memory: MemoryBlock
    delay: DelayModel
    caution: str = ""
    carry_cell: str = ""


@dataclass(frozen=True)
class Source:
    """Where the ``figures`` (fields of `Target`) come from."""

    figures: tuple[str, ...]
    text: str


@dataclass(frozen=True)
class Pins:
    """What a bitstream connects to: a crystal and a serial line, on which the board receives at ``rx``.

    ``loader`` is the board's name in openFPGALoader.
    """

    crystal_mhz: int
    clock: str
    rx: str
    tx: str
    loader: str


@dataclass(frozen=True)
class Target:
    """A board. ``max_lut``, ``max_ff`` and ``max_bram`` are the fractions that the fit check allows.

    ``brams`` counts the family's own memory blocks; ``clock_mhz`` is the default clock. ``pins`` are there where
    open tools make a bitstream.
    """

    name: str
    part: str
    family: Family
    architecture: Architecture
    luts: int
    ffs: int
    brams: int
    dsp: int
    clock_mhz: float
    sources: tuple[Source, ...]
    pins: Pins | None = None
    max_lut: float = 0.9
    max_ff: float = 0.9
    max_bram: float = 1.0

    @property
    def lut_inputs(self) -> int:
        return self.architecture.lut_inputs

    @property
    def memory(self) -> MemoryBlock:
        return self.architecture.memory

    @property
    def delay(self) -> DelayModel:
        return self.architecture.delay

    @property
    def carry_cell(self) -> str:
        return self.architecture.carry_cell

    @property
    def bram18(self) -> int:
        """Block memory in units of 18 Kibit, rounded down."""
        return self.brams * self.memory.bits // BRAM18_BITS

    @property
    def resources(self) -> dict[str, int]:
        """What the part has, under the keys of report.json."""
        return {"lut": self.luts, "ff": self.ffs, "bram18": self.bram18, "dsp": self.dsp}
