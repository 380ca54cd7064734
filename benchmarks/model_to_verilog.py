"""CPU seconds from a model to Verilog, as whole processes: qcompile and alkaid on the network 16-64-32-32-5.

    python benchmarks/model_to_verilog.py [--rounds N] [--output FILE]

6-bit weights, 8-bit activations, ReLU between the layers, the same weights for both. qcompile reads an ONNX file and
writes its whole output folder (Verilog by way of Amaranth, testbench, reports); alkaid traces the same matrices and
writes its Verilog project. Both take turns, N times; the least user and system time of a process and its children
counts. Machine code of qcompile's kernels is on disk by then, as after any first call; the first call itself, with an
empty cache, is measured too. alkaid comes compiled; where it is not installed, it is left out.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import resource
import subprocess
import sys
import tempfile
from itertools import pairwise
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

LAYERS = (16, 64, 32, 32, 5)
STAGES = 10

PEER = """
import sys
from pathlib import Path
import numpy as np
from alkaid.codegen import RTLModel
from alkaid.trace import FVArrayInput, trace

layers = list(np.load(sys.argv[1]).values())
x = FVArrayInput((len(layers[0]),)).quantize(0, 8, 0)
y = x
for matrix in layers[:-1]:
    y = y @ matrix.astype(float)
    top = int(np.max(y.kif[1]))
    y = y.relu(i=np.full(y.shape, top), f=np.full(y.shape, 8 - top))
y = y @ layers[-1].astype(float)
RTLModel(trace(x, y), sys.argv[2], "mlp", n_stages=int(sys.argv[3]), print_latency=False).write()
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--output", type=Path, default=Path("build/model_to_verilog.json"))
    options = parser.parse_args()
    random = np.random.default_rng(0)
    matrices = [random.integers(-32, 32, sizes) for sizes in pairwise(LAYERS)]
    with tempfile.TemporaryDirectory() as folder:
        results = measure(Path(folder), matrices, options.rounds)
    for name, seconds in results.items():
        print(f"{name:<28} {seconds:.2f} CPU s")
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(json.dumps(results, indent=1) + "\n")
    return 0


def measure(folder: Path, matrices: list[np.ndarray], rounds: int) -> dict[str, float]:
    """CPU seconds of each tool by its name."""
    onnx.save(network(matrices), folder / "mlp.onnx")
    np.savez(folder / "mlp.npz", *matrices)
    np.savez(folder / "x.npz", x=np.random.default_rng(1).integers(0, 256, (64, LAYERS[0])).astype(np.float32))
    (folder / "peer.py").write_text(PEER)
    kernels = {**os.environ, "NUMBA_CACHE_DIR": str(folder / "kernels")}
    ours = [sys.executable, "-m", "qcompile", str(folder / "mlp.onnx"), "--target", "zcu104"]
    ours += ["--calibrate", str(folder / "x.npz"), "--weights", "fixed:6", "--activations", "fixed:8"]
    ours += ["--allow-oversize"]
    peer = [sys.executable, str(folder / "peer.py"), str(folder / "mlp.npz"), str(folder / "peer"), str(STAGES)]
    seconds = {"qcompile, first call": cpu_seconds([*ours, "-o", str(folder / "first")], kernels)}
    commands = {"qcompile": ours}
    if importlib.util.find_spec("alkaid") is None:
        print("alkaid is not installed: left out")
    else:
        commands["alkaid"] = peer
    for turn in range(rounds):
        for name, command in commands.items():
            place = ["-o", str(folder / f"out{turn}")] if name == "qcompile" else []
            spent = cpu_seconds([*command, *place], kernels)
            seconds[name] = min(seconds.get(name, spent), spent)
    return seconds


def cpu_seconds(command: list[str], environment: dict[str, str]) -> float:
    """User and system time of a command, its children included."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL, stderr=None)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


def network(matrices: list[np.ndarray]) -> onnx.ModelProto:
    """Dense layers with ReLUs between them; weights are multiples of 1/32."""
    nodes, constants = [], []
    value = "x"
    for layer, matrix in enumerate(matrices):
        constants.append(numpy_helper.from_array((matrix / 32).astype(np.float32), f"w{layer}"))
        nodes.append(helper.make_node("MatMul", [value, f"w{layer}"], [f"sum{layer}"], name=f"fc{layer}"))
        value = f"sum{layer}"
        if layer + 1 < len(matrices):
            nodes.append(helper.make_node("Relu", [value], [f"relu{layer}"], name=f"relu{layer}"))
            value = f"relu{layer}"
    ends = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [1, s]) for n, s in (("x", 16), (value, 5))]
    graph = helper.make_graph(nodes, "mlp", ends[:1], ends[1:], constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)


if __name__ == "__main__":
    sys.exit(main())
