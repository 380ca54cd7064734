"""What the compiler knows of a board: its part's resources, its speed, and where each figure comes from."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

BRAM18_BITS = 18 * 1024


class Family(StrEnum):
    """Architecture; `qcompile.synth` has its Yosys command and cell names."""

    ULTRASCALE_PLUS = "xcup"
    SERIES_7 = "xc7"
    ECP5 = "ecp5"
    GOWIN = "gowin"
    ICE40 = "ice40"


@dataclass(frozen=True)
class DelayModel:
    """Delays for deciding where registers go. An estimate: only place and route knows the real ones.

    A level of logic costs ``route_ns + lut_ns``; an adder pays ``carry_ns_per_bit`` on top for every bit.
    ``register_ns`` is clock-to-output plus set-up, once per stage.
    """

    lut_ns: float
    carry_ns_per_bit: float
    route_ns: float
    register_ns: float
    source: str

    def logic_ns(self, levels: int = 1) -> float:
        return levels * (self.route_ns + self.lut_ns)

    def adder_ns(self, width: int) -> float:
        return self.route_ns + self.lut_ns + self.carry_ns_per_bit * width

    def budget_ns(self, clock_mhz: float) -> float:
        """What one stage may spend between its registers at ``clock_mhz``."""
        return 1000 / clock_mhz - self.register_ns


@dataclass(frozen=True)
class Target:
    """A board. ``max_lut``, ``max_ff`` and ``max_bram`` are the fractions that the fit check allows.

    ``brams`` counts the part's own memory blocks of ``bram_bits``; ``clock_mhz`` is the default clock.
    """

    name: str
    part: str
    family: Family
    luts: int
    lut_inputs: int
    ffs: int
    brams: int
    bram_bits: int
    dsp: int
    clock_mhz: float
    delay: DelayModel
    sources: tuple[str, ...]
    max_lut: float = 0.9
    max_ff: float = 0.9
    max_bram: float = 1.0

    @property
    def bram18(self) -> int:
        """Block memory in units of 18 Kibit, rounded down."""
        return self.brams * self.bram_bits // BRAM18_BITS

    @property
    def resources(self) -> dict[str, int]:
        """What the part has, under the keys of report.json."""
        return {"lut": self.luts, "ff": self.ffs, "bram18": self.bram18, "dsp": self.dsp}
