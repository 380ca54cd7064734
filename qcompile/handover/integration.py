"""Texts for the tools that put a block into a design: IP-XACT, Vivado, FuseSoC, LiteX, constraints."""

from __future__ import annotations

from dataclasses import dataclass

from qcompile.handover.block import Block
from qcompile.handover.ports import Port
from qcompile.templates import render


@dataclass(frozen=True)
class _Kind:
    """A bus definition (vendor, library, name, version), the side of it that the block is, and parameters."""

    vendor: str
    library: str
    name: str
    version: str
    mode: str
    parameters: tuple[tuple[str, object], ...] = ()


@dataclass(frozen=True)
class _Board:
    """What Vivado calls a board and its processing system."""

    board_part: str
    ps: str


_BOARDS = {
    "ultra96": _Board("avnet.com:ultra96v2:part0:*", "zynq_ultra_ps_e"),
    "zcu104": _Board("xilinx.com:zcu104:part0:*", "zynq_ultra_ps_e"),
    "pynq-z2": _Board("tul.com.tw:pynq-z2:part0:*", "processing_system7"),
}
_ANY_PART = "xc7z020clg400-1"  # in which a network for another vendor's part is packaged


def integration_files(block: Block) -> dict[str, str]:
    """By their place in the output folder."""
    buses: dict[str, list[Port]] = {}
    for port in block.ports:
        if port.bus:
            buses.setdefault(port.bus, []).append(port)
    kinds = {name: _kind(name, block, buses) for name in buses}
    part = block.target.part if block.target.family.value.startswith("xc") else _ANY_PART
    streams = ":".join(name for name in buses if kinds[name].vendor == "amba.com")
    streaming = block.pins.interface == "axis"
    names = {"block": block, "part": part, "adapter": streaming}
    files = {
        "ip/component.xml": render("handover/component.xml.j2", block=block, buses=buses, kinds=kinds),
        "ip/package_ip.tcl": render("handover/package_ip.tcl.j2", **names, streams=streams),
        f"constraints/{block.name}.xdc": render("handover/clock.xdc.j2", block=block),
        f"constraints/{block.name}.sdc": render("handover/clock.xdc.j2", block=block),
        f"{block.name}.core": render("handover/fusesoc.core.j2", **names),
    }
    if streaming:
        files[f"rtl/{block.name}_dma.v"] = render("handover/dma.v.j2", block=block, tied=tied(block))
        files[f"litex/{block.name}.py"] = render("handover/litex.py.j2", block=block, **{"class": block.class_name})
        if board := _BOARDS.get(block.target.name):
            files["vivado/build.tcl"] = render("handover/build.tcl.j2", **names, ps=board.ps, board=board.board_part)
    return files


def tied(block: Block) -> list[tuple[str, str]]:
    """Ports beside clock, reset and data, and what they are connected to where nobody uses them."""
    ports = (port for port in block.ports if port.bus in ("aclken", "s_axi"))
    return [(port.name, "1'b1" if port.bus == "aclken" else port.signal) for port in ports]


def _kind(name: str, block: Block, buses: dict[str, list[Port]]) -> _Kind:
    on_clock = ":".join(bus for bus in buses if bus not in ("aclk", "aresetn", "aclken"))
    match name:
        case "aclk":
            frequency = ("FREQ_HZ", round(block.clock_mhz * 1e6))
            interfaces = (("ASSOCIATED_BUSIF", on_clock),) if on_clock else ()
            about = (*interfaces, ("ASSOCIATED_RESET", "aresetn"), frequency)
            return _Kind("xilinx.com", "signal", "clock", "1.0", "slave", about)
        case "aresetn":
            return _Kind("xilinx.com", "signal", "reset", "1.0", "slave", (("POLARITY", "ACTIVE_LOW"),))
        case "aclken":
            return _Kind("xilinx.com", "signal", "clockenable", "1.0", "slave", (("POLARITY", "ACTIVE_HIGH"),))
        case "s_axis" | "m_axis":
            bus, mode = (block.input, "slave") if name == "s_axis" else (block.output, "master")
            sizes = (("TDATA_NUM_BYTES", bus.bytes), ("HAS_TREADY", 1), ("HAS_TLAST", 1), ("HAS_TKEEP", 0))
            return _Kind("amba.com", "AMBA4", "AXI4Stream", "r0p0_1", mode, sizes)
        case "s_axi":
            return _Kind("amba.com", "AMBA4", "AXI4Lite", "r0p0_0", "memory", (("DATA_WIDTH", 32),))
    raise ValueError(f"no bus definition for {name}")
