"""Buses and ports: what lies where on each side of a block."""

from __future__ import annotations

from dataclasses import dataclass, replace

from qcompile.backends.amaranth import Pins
from qcompile.ir.hardware import Stream


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
    def type(self) -> str:
        return f"{'signed' if self.signed else 'unsigned'}, {self.width} bit{'s' if self.width > 1 else ''}"

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
    def words(self) -> int:
        """Words of 32 bits that hold one beat, as a DMA moves them."""
        return -(-self.bytes // 4)

    @property
    def stored(self) -> int:
        """Bytes of one beat in the memory of a DMA."""
        return 4 * self.words

    def in_words(self, frames: int) -> Bus:
        """``frames`` frames as one of 32-bit words."""
        return Bus(frames * self.beats * self.words, (Field(0, 0, 32, False),))

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
class Port:
    """A pin of the top module. ``bus`` and ``role`` are its place in a standard interface, as in ("s_axis", "TDATA");
    ``signal`` is what the testbench connects; nothing where it is empty.
    """

    name: str
    direction: str
    bits: int
    meaning: str
    bus: str
    role: str
    signal: str = ""


def ports_of(pins: Pins, source: Bus, sink: Bus) -> tuple[Port, ...]:
    """Every port of a top module with these ``pins``."""
    ports = [
        Port("aclk", "in", 1, "clock, rising edge", "aclk", "CLK", "clock"),
        Port("aresetn", "in", 1, "reset, active low, synchronous", "aresetn", "RST", "aresetn"),
    ]
    if pins.clock_enable:
        ports.append(Port("aclken", "in", 1, "clock enable: 0 freezes everything", "aclken", "CE", "enable"))
    if pins.interface == "parallel":
        ports += [*_parallel("in", source), *_parallel("out", sink)]
    else:
        ports += [*_axi_stream("s_axis", "in", source), *_axi_stream("m_axis", "out", sink)]
    return (*ports, *(_AXI_LITE if pins.status else ()))


def _axi_stream(prefix: str, way: str, bus: Bus) -> list[Port]:
    back = "out" if way == "in" else "in"
    last = "the last beat of a frame" if way == "out" else "for the bus; not looked at"
    return [
        Port(f"{prefix}_tdata", way, bus.bits, "a beat's values", prefix, "TDATA", f"{way}_data"),
        Port(f"{prefix}_tvalid", way, 1, "a beat is there", prefix, "TVALID", f"{way}_valid"),
        Port(f"{prefix}_tready", back, 1, "it may move", prefix, "TREADY", f"{way}_ready"),
        Port(f"{prefix}_tlast", way, 1, last, prefix, "TLAST", f"{way}_last"),
    ]


def _parallel(way: str, bus: Bus) -> list[Port]:
    back = "out" if way == "in" else "in"
    ports = [
        Port(f"{way}_{field.index}", way, field.width, f"value {field.index} of a beat, {field.type}", "", "")
        for field in bus.fields
    ]
    ports = [replace(port, signal=f"{way}_data{field.place}") for port, field in zip(ports, bus.fields, strict=True)]
    ports.append(Port(f"{way}_valid", way, 1, "a beat is there", "", "", f"{way}_valid"))
    ports.append(Port(f"{way}_ready", back, 1, "it may move", "", "", f"{way}_ready"))
    if way == "out":
        ports.append(Port("out_last", "out", 1, "the last beat of a frame", "", "", "out_last"))
    return ports


def _axi_lite(name: str, way: str, bits: int, quiet: str) -> Port:
    return Port(f"s_axi_{name}", way, bits, "status registers", "s_axi", name.upper(), quiet)


_ADDRESS_BITS = 5
_AXI_LITE = (
    _axi_lite("araddr", "in", _ADDRESS_BITS, "5'h0"),
    _axi_lite("arvalid", "in", 1, "1'b0"),
    _axi_lite("arready", "out", 1, ""),
    _axi_lite("rdata", "out", 32, ""),
    _axi_lite("rresp", "out", 2, ""),
    _axi_lite("rvalid", "out", 1, ""),
    _axi_lite("rready", "in", 1, "1'b1"),
    _axi_lite("awaddr", "in", _ADDRESS_BITS, "5'h0"),
    _axi_lite("awvalid", "in", 1, "1'b0"),
    _axi_lite("awready", "out", 1, ""),
    _axi_lite("wdata", "in", 32, "32'h0"),
    _axi_lite("wstrb", "in", 4, "4'h0"),
    _axi_lite("wvalid", "in", 1, "1'b0"),
    _axi_lite("wready", "out", 1, ""),
    _axi_lite("bresp", "out", 2, ""),
    _axi_lite("bvalid", "out", 1, ""),
    _axi_lite("bready", "in", 1, "1'b1"),
)


@dataclass(frozen=True)
class Register:
    """A status register at a byte ``address``."""

    name: str
    address: int
    meaning: str


REGISTERS = tuple(
    Register(name, 4 * place, meaning)
    for place, (name, meaning) in enumerate(
        (
            ("ident", "0x51434d50, which is QCMP"),
            ("network", "hash of the network, as above"),
            ("status", "bit 0: idle, no frame or part of one is inside"),
            ("frames_in", "frames taken since reset, modulo 2^32"),
            ("frames_out", "frames given since reset, modulo 2^32"),
        )
    )
)
