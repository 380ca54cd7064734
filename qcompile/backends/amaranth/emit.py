"""A design as Verilog files: the structure from Amaranth, a readable module per datapath."""

from __future__ import annotations

from dataclasses import dataclass

import qcompile_hdl as hdl
from qcompile.backends.amaranth.layers import Core, LayerModule, datapath_module
from qcompile.backends.amaranth.pins import Pins
from qcompile.backends.verilog import render_datapath, render_three_input_adder
from qcompile.ir import datapath, hardware
from qcompile.ir.graph import Node
from qcompile.schedule.design import Design, Layer

_AXI_STREAM = Pins()


@dataclass(frozen=True)
class Rtl:
    """File name to Verilog text; ``top`` is the module with the ``pins``. Widths of TDATA in bits."""

    top: str
    files: dict[str, str]
    in_width: int
    out_width: int
    in_beats: int
    out_beats: int
    pins: Pins = _AXI_STREAM


def emit(design: Design, name: str, pins: Pins = _AXI_STREAM, fingerprint: int = 0) -> Rtl:
    """The RTL of ``design`` with top module ``name``; the same bytes for the same design.

    ``fingerprint`` is the hash of the network, 32 bits, that the status registers show.
    """
    graph = design.graph
    by_layer: dict[str, list[Node]] = {}
    for node in graph.nodes:
        if not isinstance(node.op, hardware.Input | hardware.Output):
            assert isinstance(node.op, hardware.HardwareOp)
            by_layer.setdefault(node.op.layer, []).append(node)
    modules = {layer: LayerModule(design, nodes, name) for layer, nodes in by_layer.items()}
    core = Core(design, modules)
    source, sink = graph.types[core.source], graph.types[core.sink]
    top = hdl.NetworkTop(
        core,
        inputs=[lane.width for lane in source.lanes],
        outputs=[lane.width for lane in sink.lanes],
        in_beats=source.beats,
        out_beats=sink.beats,
        parallel=pins.interface == "parallel",
        clock_enable=pins.clock_enable,
        network=fingerprint if pins.status else None,
    )
    about = {layer.name: _about(layer) for layer in design.layers}
    comments = {f"{name}_core_{layer}": text for layer, text in about.items() if layer in modules}
    files = {f"{name}.v": hdl.to_verilog(top, name, comments=comments)}
    for layer, elaborated in modules.items():
        for module, text in elaborated.roms.items():
            files[f"{module}.v"] = f"// Memory of layer {layer}.\n{text}"
    adder = f"{name}_add_three"
    for part, path in design.datapaths.items():
        layer = next(layer for layer in about if part in (layer, f"{layer}_partial", f"{layer}_finish"))
        module = datapath_module(name, part)
        files[f"{module}.v"] = render_datapath(
            module, path, f"{_ROLES[part[len(layer) :]]} of layer {layer}.\n{about[layer]}", adder
        )
    if any(isinstance(n.op, datapath.AddThree) for path in design.datapaths.values() for n in path.graph.nodes):
        files[f"{adder}.v"] = render_three_input_adder(adder, design.carry_cell)
    return Rtl(name, files, -(-source.width // 8) * 8, -(-sink.width // 8) * 8, source.beats, sink.beats, pins)


_ROLES = {"": "Datapath", "_partial": "Products", "_finish": "Requantization"}


def _about(layer: Layer) -> str:
    nodes = ", ".join(layer.origin) or "no ONNX node of its own"
    return f"Layer {layer.name} implements {nodes}.\nEngine: {layer.engine} ({layer.reason})."
