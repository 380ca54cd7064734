"""The targets as data. Every figure has a source; delays are estimates and say from what.

A fit to routed designs uses layered random graphs of 8 to 16 bit adders with a register every two levels,
placed and routed by nextpnr: ECP5-25F 139 MHz, ECP5-85F 107 MHz, GW2A-18 172 MHz.
"""

from __future__ import annotations

from difflib import get_close_matches

from qcompile.errors import fail
from qcompile.targets.target import BRAM18_BITS, DelayModel, Family, Target

_SERIES_7 = DelayModel(
    lut_ns=0.45,
    carry_ns_per_bit=0.035,
    route_ns=0.9,
    register_ns=0.7,
    source="estimate: prjxray's Artix-7 timings (LUT6, CARRY4, FDRE) as in Yosys' xilinx/cells_sim.v, speed grade -1, "
    "and an average hop of routing",
)
_ULTRASCALE_PLUS = DelayModel(
    lut_ns=0.25,
    carry_ns_per_bit=0.02,
    route_ns=0.7,
    register_ns=0.3,
    source="estimate: the 7-series figures scaled by about 0.6; no open timing model of UltraScale+ exists",
)
_ECP5 = DelayModel(
    lut_ns=0.9,
    carry_ns_per_bit=0.03,
    route_ns=2.4,
    register_ns=0.5,
    source="estimate: prjtrellis' CCU2C timing (59 ps per two bits), the rest fitted to routed adder graphs",
)
_GOWIN = DelayModel(
    lut_ns=0.7,
    carry_ns_per_bit=0.05,
    route_ns=1.3,
    register_ns=0.5,
    source="estimate: apicula's ALU and LUT4 timings as in Yosys' gowin/cells_sim.v, the rest fitted to routed "
    "adder graphs",
)
_ICE40UP = DelayModel(
    lut_ns=1.25,
    carry_ns_per_bit=0.278,
    route_ns=2.5,
    register_ns=1.8,
    source="estimate: icestorm's timings_up5k.txt (SB_LUT4, SB_CARRY, SB_DFF) as in Yosys' ice40/cells_sim.v, and an "
    "average hop of routing",
)

_TARGETS = (
    Target(
        name="ultra96",
        part="xczu3eg-sbva484-1-i",
        family=Family.ULTRASCALE_PLUS,
        luts=70_560,
        lut_inputs=6,
        ffs=141_120,
        brams=432,
        bram_bits=BRAM18_BITS,
        dsp=360,
        clock_mhz=200.0,
        delay=_ULTRASCALE_PLUS,
        sources=(
            "AMD DS891, Zynq UltraScale+ MPSoC Data Sheet: Overview, table of EG devices, ZU3EG (216 36-Kb blocks)",
            "Avnet Ultra96-V2 Hardware User's Guide (part and package)",
        ),
    ),
    Target(
        name="pynq-z2",
        part="xc7z020clg400-1",
        family=Family.SERIES_7,
        luts=53_200,
        lut_inputs=6,
        ffs=106_400,
        brams=280,
        bram_bits=BRAM18_BITS,
        dsp=220,
        clock_mhz=100.0,
        delay=_SERIES_7,
        sources=(
            "AMD DS190, Zynq-7000 SoC Data Sheet: Overview, table 1, Z-7020 (140 36-Kb blocks)",
            "TUL PYNQ-Z2 Reference Manual (part and package)",
        ),
    ),
    Target(
        name="zcu104",
        part="xczu7ev-ffvc1156-2-e",
        family=Family.ULTRASCALE_PLUS,
        luts=230_400,
        lut_inputs=6,
        ffs=460_800,
        brams=624,
        bram_bits=BRAM18_BITS,
        dsp=1_728,
        clock_mhz=200.0,
        delay=_ULTRASCALE_PLUS,
        sources=(
            "AMD DS891, Zynq UltraScale+ MPSoC Data Sheet: Overview, table of EV devices, ZU7EV (312 36-Kb blocks)",
            "AMD UG1267, ZCU104 Evaluation Board User Guide (part and package)",
        ),
    ),
    Target(
        name="ulx3s-85",
        part="LFE5U-85F-6BG381C",
        family=Family.ECP5,
        luts=83_640,
        lut_inputs=4,
        ffs=83_640,
        brams=208,
        bram_bits=BRAM18_BITS,
        dsp=156,
        clock_mhz=100.0,
        delay=_ECP5,
        sources=(
            "Lattice FPGA-DS-02012, ECP5 and ECP5-5G Family Data Sheet, table 1.1, LFE5U-85 (208 EBR, 156 multipliers)",
            "nextpnr-ecp5 --85k, device utilisation (83,640 LUT4 and flip-flops)",
            "Radiona ULX3S manual (part and package)",
        ),
    ),
    Target(
        name="tang-nano-20k",
        part="GW2AR-LV18QN88C8/I7",
        family=Family.GOWIN,
        luts=20_736,
        lut_inputs=4,
        ffs=15_552,
        brams=46,
        bram_bits=BRAM18_BITS,
        dsp=48,
        clock_mhz=54.0,
        delay=_GOWIN,
        sources=(
            "Gowin DS226, GW2AR series of FPGA Products Data Sheet, table 2-1, GW2AR-18 (46 BSRAM, 48 multipliers)",
            "Sipeed Tang Nano 20K wiki (part; 27 MHz crystal, of which the default clock is twice)",
        ),
    ),
    Target(
        name="icebreaker",
        part="iCE40UP5K-SG48",
        family=Family.ICE40,
        luts=5_280,
        lut_inputs=4,
        ffs=5_280,
        brams=30,
        bram_bits=4 * 1024,
        dsp=8,
        clock_mhz=24.0,
        delay=_ICE40UP,
        sources=(
            "Lattice FPGA-DS-02008, iCE40 UltraPlus Family Data Sheet, table 2.1, UP5K (30 EBR of 4 Kibit, 8 DSP)",
            "1BitSquared iCEBreaker documentation (part; 12 MHz crystal, of which the default clock is twice)",
        ),
    ),
)
_BY_NAME = {target.name: target for target in _TARGETS}


def names() -> tuple[str, ...]:
    """Every target, in the order of the catalogue."""
    return tuple(_BY_NAME)


def get(name: str) -> Target:
    """The target called ``name``; QC502 with the nearest name where there is none."""
    target = _BY_NAME.get(name)
    if target is not None:
        return target
    near = get_close_matches(name.lower(), _BY_NAME, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]}? " if near else ""
    raise fail("QC502", "--target", f"there is no target {name!r}", f"{hint}the targets are {', '.join(_BY_NAME)}")
