"""One network on one board: the files of its demo, the bitstream, and what was measured on the way."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from math import floor, prod
from pathlib import Path

import numpy as np

from qcompile.backends.amaranth import Rtl
from qcompile.backends.amaranth.host import emit_host
from qcompile.backends.amaranth.pins import Pins
from qcompile.bitstream import toolchain
from qcompile.bitstream.measured import Measured, read_measured
from qcompile.bitstream.pll import Pll, find_pll
from qcompile.errors import fail
from qcompile.ir import integer
from qcompile.ir.graph import Graph
from qcompile.ir.hardware import Stream
from qcompile.synth import run_yosys
from qcompile.targets import Target
from qcompile.templates import render

AXI_STREAM = Pins()
BAUD = 115_200
PAUSE_SECONDS = Fraction(1, 10)
_SEED = 1
_MARGIN = 0.95  # of what was reached: the next placement is another one


@dataclass(frozen=True)
class Bitstream:
    """``files`` by name; ``image`` is the one to program. ``clock_mhz`` is what the PLL makes."""

    image: str
    files: dict[str, str | bytes]
    clock_mhz: float
    measured: Measured
    tool: str


def names_class(graph: Graph) -> bool:
    """Whether the largest of the network's output codes is its class: a vector on one grid, in the order of ONNX."""
    (node,) = (node for node in graph.nodes if isinstance(node.op, integer.Output))
    op = node.op
    assert isinstance(op, integer.Output)
    one_grid = len(set(op.scale)) == 1 and op.scale[0] > 0 and len(set(op.offset)) == 1
    ordered = (op.order.values.ravel() == np.arange(op.order.values.size)).all()
    vector = max(op.onnx_shape) == prod(op.onnx_shape) > 1
    return bool(one_grid and ordered and vector and op.host in (None, "softmax"))


def build(
    rtl: Rtl,
    sink: Stream,
    target: Target,
    clock_mhz: float,
    layers: Mapping[str, tuple[str, ...]],
    *,
    classifies: bool,
    misses: bool = False,
    progress: Callable[[str], None] = lambda stage: None,
) -> Bitstream:
    """Synthesis, place and route, and the bitstream: seconds for thousands of cells, minutes for ten thousands.

    ``layers`` are the ONNX nodes of each layer, ``sink`` is the network's last stream. QC534 for other pins than
    AXI4-Stream's, QC531 where the design does not fit or route, QC532 where it misses the clock, unless it ``misses``
    to be measured.
    """
    toolchain.require_tools(target)
    if rtl.pins != AXI_STREAM:
        raise fail(
            "QC534",
            "--bitstream",
            "the demo drives AXI4-Stream pins alone, and this block has others",
            "leave out what changes its pins (--interface, --status, --clock-enable)",
        )
    pins = toolchain.board_pins(target)
    pll = find_pll(target.family, pins.crystal_mhz, clock_mhz)
    sources = board_sources(rtl, sink, target, pll, classifies=classifies)
    chain = toolchain.TOOLCHAINS[target.family]
    constraints = render(f"bitstream/{chain.constraints}.j2", pins=pins)
    image = f"{rtl.top}{chain.suffix}"
    with tempfile.TemporaryDirectory(prefix="qcompile-bitstream-") as temporary:
        folder = Path(temporary)
        progress("synthesize for the board")
        # ROMs are modules that stay apart for other tools; the packers want one flat netlist.
        flat = "setattr -mod -unset keep_hierarchy"
        commands = [flat, f"{chain.synthesize} -top {toolchain.TOP} -json {toolchain.NETLIST}"]
        netlist = run_yosys({**rtl.files, **sources}, commands, toolchain.NETLIST)
        (folder / toolchain.NETLIST).write_text(netlist, encoding="utf-8")
        (folder / chain.constraints).write_text(constraints, encoding="utf-8")
        progress("place and route")
        routed = toolchain.place_and_route(target, float(pll.mhz), _SEED, folder)
        if not routed.good:
            raise _unroutable(routed.printed, target)
        measured = read_measured(json.loads((folder / toolchain.MEASURED).read_text(encoding="utf-8")), layers)
        assert not set(measured.used).intersection(chain.multipliers), measured.used
        if measured.fmax_mhz < pll.mhz and not misses:
            raise _too_slow(measured, pll, target, layers)
        progress("pack the bitstream")
        packed = toolchain.pack(target, image, folder)
        if not packed.good:
            raise RuntimeError(f"packing {image} failed:\n{packed.printed[-2000:]}")
        content = (folder / image).read_bytes()
    script = render(
        "bitstream/classify.py.j2",
        name=rtl.top,
        baud=BAUD,
        classifies=classifies,
        in_bytes=rtl.in_width // 8,
        out_bytes=rtl.out_width // 8,
    )
    files: dict[str, str | bytes] = {**sources, chain.constraints: constraints, "classify.py": script, image: content}
    return Bitstream(image, files, float(pll.mhz), measured, toolchain.versions(target))


def board_sources(rtl: Rtl, sink: Stream, target: Target, pll: Pll, *, classifies: bool) -> dict[str, str]:
    """The Verilog around the network, by file name; the top is module ``board``."""
    hertz = pll.mhz * 1_000_000
    host = emit_host(rtl, sink, round(hertz / BAUD), floor(hertz * PAUSE_SECONDS), classifies=classifies)
    pins = toolchain.board_pins(target)
    board = render(
        "bitstream/board.v.j2",
        name=rtl.top,
        family=str(target.family),
        pll=pll.settings,
        crystal_mhz=pins.crystal_mhz,
        clock_mhz=f"{float(pll.mhz):.10g}",
        device="GW2AR-18C",
    )
    return {f"{rtl.top}_uart.v": host, "board.v": board}


def _unroutable(printed: str, target: Target) -> Exception:
    """QC531 with what nextpnr says, or the bug that it is."""
    errors = [line.removeprefix("ERROR: ") for line in printed.splitlines() if line.startswith("ERROR:")]
    if not errors:
        return RuntimeError(f"nextpnr failed:\n{printed[-2000:]}")
    return fail(
        "QC531",
        f"target {target.name}",
        f"nextpnr cannot place and route the design: {errors[0].rstrip('. ')}",
        "fold the layers onto fewer lanes (a lower --fps), give fewer bits (--weights, --activations), or take a "
        "larger target (`qcompile targets`)",
    )


def _too_slow(measured: Measured, pll: Pll, target: Target, layers: Mapping[str, tuple[str, ...]]) -> Exception:
    slowest = measured.slowest
    nodes = ", ".join(f'"{name}"' for name in layers.get(slowest.layer, ()))
    return fail(
        "QC532",
        f"target {target.name}",
        f"routed, the design runs at {measured.fmax_mhz:.1f} MHz, not at {float(pll.mhz):g}: the slowest path is in "
        f"{slowest.place}{f' ({nodes})' if nodes else ''}, from {slowest.start} to {slowest.end}: {slowest.ns:.1f} ns, "
        f"{slowest.routing_ns:.1f} of them routing",
        f"give --clock {floor(measured.fmax_mhz * _MARGIN)}, or fold the layers onto fewer lanes (a lower --fps), "
        "which are easier to route",
    )
