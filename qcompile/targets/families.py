"""What all parts of an architecture share: lookup tables, memory blocks, delays.

Delays measured are those of nextpnr's own timing model, over the networks that `benchmarks/timing.py` routes.
"""

from __future__ import annotations

from qcompile.targets.target import Architecture, DelayModel, Family, MemoryBlock

_BRAM18 = MemoryBlock("", 18 * 1024, ((512, 36), (1024, 18), (2048, 9), (4096, 4), (8192, 2), (16384, 1)))
_SERIES_7 = DelayModel(
    lut_ns=0.45,
    carry_ns_per_bit=0.035,
    route_ns=0.9,
    register_ns=0.7,
    memory_ns=2.5,
    source="estimate: prjxray's Artix-7 timings (LUT6, CARRY4, FDRE) as in Yosys' xilinx/cells_sim.v, speed grade -1, "
    "and an average hop of routing",
)
_ULTRASCALE_PLUS = DelayModel(
    lut_ns=0.25,
    carry_ns_per_bit=0.02,
    route_ns=0.7,
    register_ns=0.3,
    memory_ns=1.3,
    source="estimate: the 7-series figures scaled by about 0.6; no open timing model of UltraScale+ exists",
)
_ECP5 = DelayModel(
    lut_ns=0.9,
    carry_ns_per_bit=0.035,
    route_ns=2.4,
    register_ns=0.5,
    memory_ns=5.7,
    source="measured: nextpnr-ecp5, speed grade 6, slowest paths of docs/timing.md: into and out of a carry chain 0.9, "
    "two bits 0.07, register 0.5, block RAM 5.6 ns; hops of 1.0 to 1.9 ns there, 2 to 3 ns in graphs of 1,000 adders",
)
_GOWIN = DelayModel(
    lut_ns=1.0,
    carry_ns_per_bit=0.04,
    route_ns=1.3,
    register_ns=0.5,
    memory_ns=2.4,
    source="measured: nextpnr-himbaechel-gowin, digits_mlp on tang-nano-20k: into and out of a carry chain "
    "1.0, a bit 0.04, LUT 0.5, block RAM 2.3 ns, hops of 0.4 to 1.1 ns; longer ones in graphs of 500 adders",
)
_ICE40UP = DelayModel(
    lut_ns=1.25,
    carry_ns_per_bit=0.278,
    route_ns=2.5,
    register_ns=2.2,
    memory_ns=2.2,
    source="measured: nextpnr-ice40 --up5k, slowest paths of docs/timing.md: LUT 1.2, carry 0.28, set-up 0.8, clock to "
    "output 1.4 (block RAM 1.2), a hop 1.8 to 2.9 ns; a Booth digit is three LUTs in a row",
    digit_levels=3,
)
_CYCLONE_V = DelayModel(
    lut_ns=0.5,
    carry_ns_per_bit=0.04,
    route_ns=1.2,
    register_ns=0.6,
    memory_ns=2.8,
    source="estimate: the 7-series figures scaled by about 1.2; nothing was placed and routed",
)

ARCHITECTURES = {
    Family.ULTRASCALE_PLUS: Architecture(6, _BRAM18.named("RAMB18E2"), _ULTRASCALE_PLUS, carry_cell="CARRY8"),
    Family.SERIES_7: Architecture(6, _BRAM18.named("RAMB18E1"), _SERIES_7, carry_cell="CARRY4"),
    Family.ECP5: Architecture(4, _BRAM18.named("EBR, DP16KD"), _ECP5),
    Family.GOWIN: Architecture(4, _BRAM18.named("BSRAM"), _GOWIN),
    Family.ICE40: Architecture(
        4, MemoryBlock("EBR, SB_RAM40_4K", 4 * 1024, ((256, 16), (512, 8), (1024, 4), (2048, 2))), _ICE40UP
    ),
    Family.CYCLONE_V: Architecture(
        4,
        MemoryBlock("M10K", 10 * 1024, ((256, 40), (512, 20), (1024, 10), (2048, 5), (4096, 2), (8192, 1))),
        _CYCLONE_V,
        caution="LUTs are those of four inputs, two of which always fit an ALM; Quartus needs fewer",
    ),
}
