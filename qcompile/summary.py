"""The report of a compile as the dict written to report.json: layers, totals, fit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from math import ceil, prod
from typing import Any

from qcompile.ir import hardware, integer
from qcompile.ir.graph import Graph, Node
from qcompile.numerics.span import Span
from qcompile.quality import weight_histogram
from qcompile.quantize.structure import weight_format
from qcompile.report.schema import INPUT, SCHEMA_VERSION
from qcompile.schedule.design import Design, Layer
from qcompile.schedule.estimate import Cost, layer_costs
from qcompile.schedule.occupancy import occupancy
from qcompile.schedule.trace import engine_latency, initiation_interval, trace
from qcompile.targets import Target, fit
from qcompile.version import VERSION

_PINS_CYCLES = 2  # the register slices behind the input pins and before the output pins


def emulator_report(model: str) -> dict[str, Any]:
    """The report where there is no target: no layers, nothing used."""
    none = dict.fromkeys(("adders", "lut", "ff", "bram18", "dsp", "latency_cycles", "ii_cycles"), 0)
    totals = {**none, "fps": 0.0, "clock_mhz": 0.0}
    head = {"schema_version": SCHEMA_VERSION, "qcompile": VERSION, "model": model, "target": None}
    return {**head, "layers": [], "totals": totals}


def design_report(
    design: Design, golden: Graph, meaning: Graph, target: Target, top: str, *, registered: bool = True
) -> dict[str, Any]:
    """Estimates of every layer and of the whole. ``meaning`` is ``golden`` before requantizations were realised;
    ``registered``: there are register slices at the pins.
    """
    costs = layer_costs(design, target)
    grids = _grids(meaning)
    timing = trace(design.graph, {name: path.latency for name, path in design.datapaths.items()})
    working = occupancy(design, timing)
    layer_of = {node: layer.name for layer in design.layers for node in layer.integer_nodes}
    layers = [
        {
            **_layer(design, golden, grids, layer, costs, top),
            "inputs": _sources(golden, layer, layer_of),
            "schedule": asdict(working[layer.name]),
        }
        for layer in design.layers
    ]
    total = sum(costs.values(), Cost())
    interval = initiation_interval(design.graph)
    totals = {
        **_resources(total),
        "latency_cycles": int(timing[design.graph.outputs[0]].cycle[-1]) + (_PINS_CYCLES if registered else 0),
        "ii_cycles": interval,
        "fps": round(design.clock_mhz * 1e6 / interval, 1),
        "clock_mhz": design.clock_mhz,
    }
    excess = fit({**totals, "bram18": total.bram18}, target)
    return {
        "schema_version": SCHEMA_VERSION,
        "qcompile": VERSION,
        "model": design.name,
        "target": target.name,
        "part": target.part,
        "available": target.resources,
        "fits": not excess,
        "excess": [str(e) for e in excess],
        "layers": layers,
        "totals": totals,
    }


def _resources(cost: Cost) -> dict[str, int]:
    return {"adders": cost.adders, "lut": round(cost.lut), "ff": cost.ff, "bram18": ceil(cost.bram18 - 1e-6), "dsp": 0}


def _layer(
    design: Design, golden: Graph, grids: dict[str, str], layer: Layer, costs: dict[str, Cost], top: str
) -> dict[str, Any]:
    nodes = [golden.by_name[name] for name in layer.integer_nodes]
    inside = set(layer.integer_nodes)
    operands = list(dict.fromkeys(name for node in nodes for name in node.inputs if name not in inside))
    own = [n for n in design.graph.nodes if isinstance(n.op, hardware.HardwareOp) and n.op.layer == layer.name]
    latency = 0
    for node in own:
        match node.op:
            case hardware.Pipeline(latency=stages):
                latency += stages
            case hardware.SlidingWindow() | hardware.Collect() | hardware.SumBeats():
                latency += node.op.needed(0) + 1
            case hardware.FoldedEngine(vector=vector):
                latencies = {name: path.latency for name, path in design.datapaths.items()}
                latency += vector - 1 + engine_latency(node.op, latencies)
            case _:
                latency += 1
    product = next((node for node in nodes if isinstance(node.op, integer.Conv | integer.MatMul)), None)
    optional: dict[str, Any] = {} if layer.lanes is None else {"lanes": list(layer.lanes)}
    if product is not None:
        optional["macs"] = _products(golden, product)
        if (weights := product.op.weights.values).size:  # type: ignore[attr-defined]
            optional["weights"] = weight_histogram(weights)
    return {
        "name": layer.name,
        "onnx_nodes": list(layer.origin),
        "shape": list(golden.types[nodes[-1].name].shape),
        "engine": layer.engine,
        "input_format": " + ".join(_format(golden, grids, name) for name in operands),
        "weight_format": _weight_format(nodes),
        "output_format": _format(golden, grids, nodes[-1].name),
        **_resources(costs.get(layer.name, Cost())),
        "latency_cycles": latency,
        **optional,
        "module": f"{top}_core_{layer.name}",
        "reason": layer.reason,
    }


def _sources(golden: Graph, layer: Layer, layer_of: Mapping[str, str]) -> list[str]:
    """The layers whose values it takes, in order of use; "input" is the network's."""
    found: dict[str, None] = {}
    for name in (name for node in layer.integer_nodes for name in golden.by_name[node].inputs):
        while name not in layer_of and not isinstance(golden.by_name[name].op, integer.Input):
            (name,) = golden.by_name[name].inputs  # a reshape that is no hardware
        source = layer_of.get(name, INPUT)
        if source != layer.name:
            found[source] = None
    return list(found)


def _products(golden: Graph, node: Node) -> int:
    """Multiplications per sample, as the ONNX operation counts them."""
    result: integer.IntType = golden.types[node.name]
    shape = node.op.weights.shape  # type: ignore[attr-defined]
    return result.positions * prod(shape)


def _grids(meaning: Graph) -> dict[str, str]:
    """The grid of every value that a quantizer made, or that only moves such values."""
    grids: dict[str, str] = {}
    for node in meaning.nodes:
        match node.op:
            case integer.Input(quantizer=quantizer):
                grids[node.name] = str(quantizer)
            case integer.Requantize(function=function):
                grids[node.name] = str(function.quantizer)
            case integer.MaxPool() | integer.Reshape() | integer.Gather() | integer.Output():
                if node.inputs[0] in grids:
                    grids[node.name] = grids[node.inputs[0]]
            case _:
                pass
    return grids


def _format(golden: Graph, grids: dict[str, str], name: str) -> str:
    span: Span = golden.types[name].span
    return grids.get(name, f"{'' if span.signed else 'u'}int{span.width}")


def _weight_format(nodes: list[Node]) -> str | None:
    for node in nodes:
        if isinstance(node.op, integer.Conv | integer.MatMul):
            values = node.op.weights.values
            return weight_format(values) if values.size else None
    return None
