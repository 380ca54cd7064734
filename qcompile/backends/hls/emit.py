"""A design as the files of an HLS project."""

from __future__ import annotations

from dataclasses import dataclass

from qcompile.backends.hls.datapath import render_datapath, widest
from qcompile.backends.hls.naming import cpp_name
from qcompile.backends.hls.rom import rom
from qcompile.backends.hls.structure import Structure
from qcompile.errors import Collector
from qcompile.ir import hardware
from qcompile.ir.graph import Op
from qcompile.ir.hardware import HardwareOp, Stream
from qcompile.numerics.span import Span, union
from qcompile.schedule.design import Design
from qcompile.targets import Family, Target
from qcompile.templates import environment, render

_SHIMS = ("ap_int.h", "hls_stream.h", "ap_axi_sdata.h")
_XILINX = (Family.ULTRASCALE_PLUS, Family.SERIES_7)
_MOST_BITS = 62  # of one value: what the open headers for csim compute with


@dataclass(frozen=True)
class Hls:
    """File name to text; ``sources`` are those that both csim and synthesis compile.

    ``csim_entry`` and ``native_entry`` are further sources through which a process runs the network as a library;
    ``word_bits`` is the host's integer that holds every value. ``source`` and ``sink`` are the network's streams.
    """

    top: str
    files: dict[str, str]
    sources: tuple[str, ...]
    csim_entry: str
    native_entry: str
    word_bits: int
    source: Stream
    sink: Stream

    @property
    def synthesized(self) -> tuple[str, ...]:
        """The files that become hardware."""
        return (*self.sources, "integers.hpp", "stream_ops.hpp", f"{self.top}.hpp")


@dataclass(frozen=True)
class _Lane:
    span: Span
    low: int
    high: int


@dataclass(frozen=True)
class _Bus:
    """The network's input or output on its pins; ``uniform`` where all lanes have one type."""

    type: str
    beats: int
    lanes: tuple[_Lane, ...]
    uniform: Span | None


def emit(design: Design, name: str, target: Target) -> Hls:
    """The HLS project of ``design`` with top function ``name``; the same bytes for the same design.

    CompileError QC401 where an operation has no C++, QC301 where a value has more bits than csim computes with.
    """
    _check(design)
    structure = Structure(design)
    layers = structure.layers()
    source, sink = design.graph.types[structure.source.name], design.graph.types[structure.sink]
    head = f"{name}: the network {design.name} as HLS C++, made by qcompile. Nothing in it multiplies."
    pins = {"in_width": _bytes(source) * 8, "out_width": _bytes(sink) * 8}
    beats = {"in_beats": source.beats, "out_beats": sink.beats}
    buses = {
        "source": _bus(structure.types[structure.source.name], source),
        "sink": _bus(structure.types[structure.sink], sink),
    }
    sources = [f"{name}.cpp"]
    files = {
        "integers.hpp": render("hls/integers.hpp.j2"),
        "stream_ops.hpp": _stream_ops(structure),
        f"{name}.hpp": render(
            "hls/network.hpp.j2",
            top=name,
            about=[head],
            beats=structure.beat_types(),
            layers=layers,
            source_type=structure.types[structure.source.name],
            sink_type=structure.types[structure.sink],
            widest=max(pins.values()),
            **pins,
            **beats,
        ),
        f"{name}.cpp": render(
            "hls/network.cpp.j2", top=name, about=[head], layers=layers, core=structure.core(), **buses, **pins
        ),
    }
    for layer in layers:
        for path in layer.datapaths:
            file = f"{name}_{path.name}.cpp"
            sources.append(file)
            text = "\n".join((f"Datapath {path.name}. {layer.about[0]}", *layer.about[1:]))
            graph = design.datapaths[path.key].graph
            words = None
            if path.memory is not None:
                words = rom(cpp_name(path.memory), graph, len(path.operands), design.memories[path.memory])
            files[file] = render_datapath(
                name, path.name, design.datapaths[path.key], path.operands, path.result, text, words
            )
    part = target.part if target.family in _XILINX else ""
    project = {"top": name, "sources": sources, "part": part, "period_ns": f"{1000 / design.clock_mhz:.3f}"}
    files |= {
        f"{name}_tb.cpp": render("hls/testbench.cpp.j2", top=name, **pins, **beats),
        "Makefile": render("hls/Makefile.j2", top=name, sources=sources),
        "run_hls.tcl": render("hls/run_hls.tcl.j2", **project),
        "hls_config.cfg": render("hls/hls_config.cfg.j2", **project),
        ".clang-format": render("hls/clang-format.j2"),
    }
    files |= {f"shim/{shim}": render(f"hls/shim/{shim}.j2") for shim in _SHIMS}
    counts = {key: {"type": bus.type, "beats": bus.beats, "lanes": len(bus.lanes)} for key, bus in buses.items()}
    return Hls(
        top=name,
        files=files,
        sources=tuple(sources),
        csim_entry=render("sim/csim.cpp.j2", top=name, in_bytes=_bytes(source), out_bytes=_bytes(sink), **beats),
        native_entry=render("sim/native.cpp.j2", top=name, **counts),
        word_bits=_word_bits(design),
        source=source,
        sink=sink,
    )


def _check(design: Design) -> None:
    known = environment().get_template("hls/hardware.cpp.j2").module
    found = Collector()
    for node in design.graph.nodes:
        where = ", ".join(f'"{name}"' for name in node.origin) or node.name
        if not hasattr(known, node.op.mnemonic):
            found.error(
                "QC401", where, f"{node.op.mnemonic} has no HLS C++", "take --backend amaranth, or another folding"
            )
        wide = max(lane.width for lane in design.graph.types[node.name].lanes)
        for path in _datapaths_of(node.op):
            wide = max(wide, widest(design.datapaths[path]).width)
        if wide > _MOST_BITS:
            found.error("QC301", where, f"a value of {wide} bits; csim computes with {_MOST_BITS}", "give fewer bits")
    found.check()


def _datapaths_of(op: Op) -> tuple[str, ...]:
    match op:
        case hardware.Pipeline(datapath=name):
            return (name,)
        case hardware.FoldedEngine(partial=partial, finish=finish):
            return partial, finish
    return ()


def _stream_ops(structure: Structure) -> str:
    nodes = [node for nodes in structure.of_layer.values() for node in nodes]
    alternates = {len(node.inputs) for node in nodes if isinstance(node.op, hardware.Alternate)}
    joins = {len(node.inputs) for node in nodes if isinstance(node.op, hardware.Pipeline | hardware.FoldedEngine)}
    forks = {len(edges) for edges in structure.users.values()}
    if structure.source.name != structure.sink:
        forks -= {1}
    counts = {"joins": joins | {1}, "alternates": alternates, "forks": forks}
    return render("hls/stream_ops.hpp.j2", **{name: sorted(found) for name, found in counts.items()})


def _bytes(stream: Stream) -> int:
    return -(-stream.width // 8)


def _bus(kind: str, stream: Stream) -> _Bus:
    lanes, low = [], 0
    for span in stream.lanes:
        lanes.append(_Lane(span, low, low + span.width - 1))
        low += span.width
    same = len({(span.width, span.signed) for span in stream.lanes}) == 1
    return _Bus(kind, stream.beats, tuple(lanes), stream.lanes[0] if same else None)


def _word_bits(design: Design) -> int:
    """Bits of the host's smallest integer that holds every value, intermediate ones included."""
    spans = [widest(path) for path in design.datapaths.values()]
    for node in design.graph.nodes:
        assert isinstance(node.op, HardwareOp)
        spans.extend(design.graph.types[node.name].lanes)
        if isinstance(node.op, hardware.FoldedEngine):
            spans.extend(node.op.accumulators)
    whole = union(spans)
    return next(bits for bits in (16, 32, 64) if Span.of_bits(bits, True).holds(whole))
