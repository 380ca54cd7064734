"""Many HLS projects in one library: one set of headers, a few translation units."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from qcompile import targets
from qcompile.backends.hls import Hls, emit
from qcompile.ir import datapath, hardware
from qcompile.ir.graph import Graph, Node
from qcompile.schedule import Datapath, Design, Layer
from qcompile.templates import render
from qcompile.verify.compiler import compile_all, find_compiler, run_compiler
from qcompile.verify.csim import Csim, Native

UNITS = 2
BOARD = targets.get("ultra96")
CSIM = ("-std=c++14",)
NATIVE = ("-std=c++17", "-DQCOMPILE_NATIVE", "-DQCOMPILE_WORD=int64_t")


def projects(designs: Mapping[str, Design]) -> dict[str, Hls]:
    return {name: emit(design, f"d{k}", BOARD) for k, (name, design) in enumerate(designs.items())}


def library(made: Sequence[Hls], folder: Path, entries: Sequence[str], flags: Sequence[str]) -> Path:
    """All of ``made`` and their ``entries``, compiled with ``flags``; "shim" among them is the shims' folder."""
    headers = {name: text for hls in made for name, text in hls.files.items() if name.endswith((".h", ".hpp"))}
    # Each project's own header has the overloads that it needs.
    headers["stream_ops.hpp"] = render(
        "hls/stream_ops.hpp.j2", joins=[1, 2, 3, 4], alternates=[2, 3, 4], forks=[1, 2, 3, 4]
    )
    for name, text in headers.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    texts = ["".join(hls.files[name] for name in hls.sources) + entry for hls, entry in zip(made, entries, strict=True)]
    units = []
    for k in range(min(UNITS, len(texts))):
        units.append(folder / f"unit_{k}.cpp")
        units[-1].write_text("".join(texts[k::UNITS]))
    compiler = find_compiler()
    placed = [f"-I{folder / 'shim'}" if flag == "shim" else flag for flag in flags]
    objects = compile_all(compiler, ("-fPIC", "-fvisibility=hidden", "-w", *placed), units, folder)
    built = folder / "all.so"
    run_compiler([*compiler, "-shared", "-Wl,-Bsymbolic", "-o", str(built), *map(str, objects)])
    return built


def csims(made: Mapping[str, Hls], folder: Path, flags: Sequence[str] = ("-O1", "shim")) -> dict[str, Csim]:
    built = library(list(made.values()), folder, [hls.csim_entry for hls in made.values()], (*CSIM, *flags))
    return {name: Csim(built, hls) for name, hls in made.items()}


def natives(made: Mapping[str, Hls], folder: Path, lanes: int) -> dict[str, Native]:
    """The fast emulators, all with 64-bit words."""
    flags = (*NATIVE, f"-DQCOMPILE_LANES={lanes}", "-O1", "shim")
    built = library(list(made.values()), folder, [hls.native_entry for hls in made.values()], flags)
    return {name: Native(built, hls, lanes, 64) for name, hls in made.items()}


def only_datapath(graph: Graph) -> Design:
    """A network that is nothing but ``graph``: all its inputs, in their order, are the lanes of one beat."""
    inputs = [node for node in graph.nodes if isinstance(node.op, datapath.Input)]
    lane = {node.name: k for k, node in enumerate(inputs)}
    nodes = tuple(
        replace(node, op=replace(node.op, lane=lane[node.name])) if isinstance(node.op, datapath.Input) else node
        for node in graph.nodes
    )
    path = Datapath(replace(graph, nodes=nodes), (0,) * len(nodes), 0)
    around = (
        Node("x", hardware.Input("input", 1, tuple(graph.types[node.name] for node in inputs))),
        Node("y", hardware.Pipeline("cases", "cases", path.latency, path.result_spans()), ("x",), ("/cases",)),
        Node("out", hardware.Output("output"), ("y",)),
    )
    layer = Layer("cases", "test", (), ("/cases",), "every case")
    return Design("cases", Graph(hardware.HARDWARE, "cases", around, ("out",)), (layer,), {"cases": path}, 100.0)
