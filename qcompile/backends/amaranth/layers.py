"""Amaranth modules of a design: one per layer, and the core that joins them."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Cat, ClockSignal, Instance, Module, Signal, unsigned
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

import qcompile_hdl as hdl
from qcompile.ir import hardware
from qcompile.ir.graph import Node
from qcompile.numerics.span import Span
from qcompile.schedule.design import Datapath, Design


def _signature(width: int) -> Any:
    return stream.Signature(unsigned(width))


class _Streams(wiring.Component):  # type: ignore[misc, unused-ignore]
    """Shared wiring of nodes: a value with several users is forked."""

    def _fork(self, m: Module, name: str, source: Any, users: int) -> list[Any]:
        if users == 1:
            return [source]
        width = len(source.payload)
        m.submodules[f"{name}_fork"] = fork = hdl.Fork(width, users)
        wiring.connect(m, source, fork.i)
        return [fork.o[k] for k in range(users)]


class LayerModule(_Streams):
    """All components of one layer. Streams ``i0``, ``i1`` … are its operands from other layers, ``o`` its result."""

    def __init__(self, design: Design, nodes: list[Node], top: str) -> None:
        self.design = design
        self.nodes = nodes
        self.top = top
        self.parts: set[str] = set()
        self.roms: dict[str, str] = {}
        inside = {node.name for node in nodes}
        self.operands = [name for node in nodes for name in node.inputs if name not in inside]
        types = design.graph.types
        ports: dict[str, Any] = {f"i{k}": In(_signature(types[name].width)) for k, name in enumerate(self.operands)}
        ports["o"] = Out(_signature(types[nodes[-1].name].width))
        super().__init__(ports)

    def elaborate(self, platform: Any) -> Module:
        """``roms`` then holds the Verilog modules of the memories, by name."""
        m = Module()
        self.parts.clear()
        outside = [wiring.flipped(getattr(self, f"i{k}")) for k in range(len(self.operands))]
        ready: dict[str, Any] = {}
        for node in self.nodes:
            sources = [ready[name] if name in ready else outside.pop(0) for name in node.inputs]
            ready[node.name] = self._component(m, node, sources)
        wiring.connect(m, ready[self.nodes[-1].name], wiring.flipped(self.o))
        return m

    def _component(self, m: Module, node: Node, sources: list[Any]) -> Any:
        """The node's component, connected to ``sources``; its output stream."""
        types = self.design.graph.types
        part = node.name.rpartition(".")[2]
        operand = types[node.inputs[0]]
        component: Any
        match node.op:
            case hardware.SlidingWindow(height=height, width=width, window=window, fill=fill):
                sources = [_widened(m, sources[0], operand.lanes, types[node.name].lanes[: len(fill)])]
                component = hdl.Window(
                    len(sources[0].payload),
                    height,
                    width,
                    window.kernel,
                    window.strides,
                    window.pads,
                    window.dilations,
                    _packed(fill, [lane.width for lane in types[node.name].lanes[: len(fill)]]),
                )
            case hardware.Pipeline():
                return self._pipeline(m, node.op, sources, types[node.name].width)
            case hardware.FoldedWindow(height=height, width=width, window=window, fill=fill):
                sources = [_widened(m, sources[0], operand.lanes, types[node.name].lanes)]
                component = hdl.FoldedWindow(
                    len(sources[0].payload),
                    node.op.folds,
                    height,
                    width,
                    window.kernel,
                    window.strides,
                    window.pads,
                    window.dilations,
                    _packed(fill, [lane.width for lane in types[node.name].lanes]),
                    "channel" if node.op.order == "channel" else "window",
                    node.op.depth,
                )
            case hardware.FoldedEngine():
                return self._engine(m, node.op, sources)
            case hardware.FoldedAccumulate(count=count, folds=folds):
                component = hdl.FoldedAccumulate(_lanes(operand, types[node.name]), count, folds)
            case hardware.Reorder(inputs=inputs, order=order):
                component = hdl.Reorder(operand.width, inputs, order.values.tolist())
            case hardware.Alternate():
                return self._alternate(m, node, sources)
            case hardware.Collect(count=count):
                component = hdl.Collect(operand.width, count)
            case hardware.Distribute(count=count):
                component = hdl.Distribute(operand.width // count, count)
            case hardware.SumBeats(count=count):
                component = hdl.Accumulate(_lanes(operand, types[node.name]), count)
            case hardware.Fifo(depth=depth):
                component = hdl.StreamFifo(operand.width, depth)
            case hardware.RegisterSlice():
                component = hdl.RegisterSlice(operand.width)
                part = "slice"
            case _:
                raise TypeError(f"no component for {node.op.mnemonic}")
        # A join may convert both of its operands.
        names = [name for name in (part, *(f"{part}_{k}" for k in range(len(self.nodes)))) if name not in self.parts]
        self.parts.add(names[0])
        m.submodules[names[0]] = component
        wiring.connect(m, sources[0], component.i)
        return component.o

    def _alternate(self, m: Module, node: Node, sources: list[Any]) -> Any:
        types = self.design.graph.types
        lanes = types[node.name].lanes
        m.submodules.alternate = alternate = hdl.Alternate(types[node.name].width, node.op.counts)  # type: ignore[attr-defined]
        for k, (source, name) in enumerate(zip(sources, node.inputs, strict=True)):
            wiring.connect(m, _widened(m, source, types[name].lanes, lanes), getattr(alternate, f"i{k}"))
        return alternate.o

    def _pipeline(self, m: Module, op: hardware.Pipeline, sources: list[Any], width: int) -> Any:
        source = self._joined(m, sources)
        m.submodules.control = control = hdl.StallPipeline(op.latency, len(source.payload), width)
        wiring.connect(m, source, control.i)
        m.submodules.datapath = Instance(
            datapath_module(self.top, op.datapath),
            i_clk=ClockSignal(),
            i_enable=control.enable,
            i_x=control.x,
            o_y=control.y,
        )
        return control.o

    def _joined(self, m: Module, sources: list[Any]) -> Any:
        if len(sources) == 1:
            return sources[0]
        m.submodules.join = join = hdl.Join([len(s.payload) for s in sources])
        for k, one in enumerate(sources):
            wiring.connect(m, one, getattr(join, f"i{k}"))
        return join.o

    def _engine(self, m: Module, op: hardware.FoldedEngine, sources: list[Any]) -> Any:
        source = self._joined(m, sources)
        partial, finish = (self.design.datapaths[name] for name in (op.partial, op.finish))
        weights, parameters = (
            None if name is None else self.design.memories[name] for name in (op.weights, op.parameters)
        )
        lanes = [
            hdl.Lane(own.width, own.signed, total.width)
            for own, total in zip(partial.result_spans(), op.accumulators, strict=True)
        ]
        engine = hdl.FoldedEngine(
            len(source.payload),
            op.vector,
            op.repeats,
            op.groups,
            partial=self._bound(op.partial, partial),
            lanes=lanes,
            finish=self._bound(op.finish, finish),
            combine=_COMBINE[op.combine],
            weights=None if weights is None else weights.words,
            weight_width=0 if weights is None else weights.width,
            params=None if parameters is None else parameters.words,
            param_width=0 if parameters is None else parameters.width,
            rom_prefix=f"{self.top}_{op.layer}",
        )
        self.roms |= engine.rom_modules()
        m.submodules.engine = engine
        wiring.connect(m, source, engine.i)
        return engine.o

    def _bound(self, name: str, path: Datapath) -> hdl.Datapath:
        """What the engine needs to know of a Verilog datapath."""
        lanes = [path.graph.types[lane].width for lane in path.lanes]
        results = [span.width for span in path.result_spans()]
        return hdl.Datapath(datapath_module(self.top, name), path.latency, sum(lanes), sum(results))


_COMBINE: dict[str, Any] = {"add": "add", "max": "max", "none": "none"}


def datapath_module(top: str, name: str) -> str:
    """The Verilog module of a datapath."""
    return f"{top}_{name}_datapath"


def _lanes(operand: hardware.Stream, result: hardware.Stream) -> list[hdl.Lane]:
    return [hdl.Lane(a.width, a.signed, b.width) for a, b in zip(operand.lanes, result.lanes, strict=True)]


def _widened(m: Module, source: Any, lanes: tuple[Span, ...], wider: tuple[Span, ...]) -> Any:
    """``source`` with its ``lanes`` extended to the widths of ``wider``: padding may need more bits than the values."""
    if all(own.width == lane.width for own, lane in zip(lanes, wider, strict=True)):
        return source
    parts, place = [], 0
    for k, (own, lane) in enumerate(zip(lanes, wider, strict=True)):
        value = source.payload[place : place + own.width]
        part = Signal(lane.width, name=f"extended_{k}")
        m.d.comb += part.eq(value.as_signed() if own.signed else value)
        parts.append(part)
        place += own.width
    result = _signature(sum(lane.width for lane in wider)).create()
    m.d.comb += [result.payload.eq(Cat(parts)), result.valid.eq(source.valid), source.ready.eq(result.ready)]
    return result


def _packed(codes: tuple[int, ...], widths: list[int]) -> int:
    """Two's complement codes side by side, the first lowest."""
    beat, place = 0, 0
    for code, width in zip(codes, widths, strict=True):
        beat |= (code & ((1 << width) - 1)) << place
        place += width
    return beat


class Core(_Streams):
    """The network between its pins: streams ``i`` and ``o``."""

    def __init__(self, design: Design, modules: dict[str, LayerModule]) -> None:
        self.design = design
        self.modules = modules
        graph = design.graph
        (source,) = (n for n in graph.nodes if isinstance(n.op, hardware.Input))
        self.source = source.name
        self.sink = graph.by_name[graph.outputs[0]].inputs[0]
        types = graph.types
        super().__init__({"i": In(_signature(types[self.source].width)), "o": Out(_signature(types[self.sink].width))})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        results = {self.source: wiring.flipped(self.i)}
        for layer, module in self.modules.items():
            m.submodules[layer] = module
            results[module.nodes[-1].name] = module.o
        consumers: dict[str, list[Any]] = {name: [] for name in results}
        for module in self.modules.values():
            for k, name in enumerate(module.operands):
                consumers[name].append(getattr(module, f"i{k}"))
        consumers[self.sink].append(wiring.flipped(self.o))
        for name, sinks in consumers.items():
            stem = (
                "input" if name == self.source else next(k for k, v in self.modules.items() if v.nodes[-1].name == name)
            )
            for branch, sink in zip(self._fork(m, stem, results[name], len(sinks)), sinks, strict=True):
                wiring.connect(m, branch, sink)
        return m
