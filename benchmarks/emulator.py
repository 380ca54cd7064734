"""Samples per second on one core: the emulator, onnxruntime on the same networks, and alkaid's interpreter.

    python benchmarks/emulator.py [--quick] [--output FILE]

Two networks: a dense 16-64-32-32-5 (6-bit weights, 8-bit activations, random weights: the arithmetic counts,
not the accuracy), and mnist_conv_fp32 (8/8) from the public models in ``--shared``. onnxruntime runs the float
file and what its own `quantize_static` makes of it (QDQ, int8, per tensor), optimized as by default, one
thread; one sample per call as the file says, and in batches of the size that suits it best of those tried
(mnist_conv's batch axis is made free for that). alkaid's interpreter runs the very integers that the emulator
runs, and must give the same.

Every figure is the median over rounds of samples per CPU second; all contenders of a network take turns in
every round, so that a busy machine slows all of them alike. The emulator's rows: "end to end" is real numbers
in, real numbers out; "codes" the integers alone.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.version_converter
from onnx import TensorProto, helper, numpy_helper
from threadpoolctl import threadpool_limits

import qcompile
from qcompile.ir import integer

ROOT = Path(__file__).resolve().parents[1]
GOAL_MLP = 1_000_000
BATCHES = (16, 64, 256, 1024)

Run = Callable[[], Any]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer and shorter rounds")
    parser.add_argument("--shared", type=Path, default=os.environ.get("QCOMPILE_SHARED", ROOT.parent / "shared"))
    parser.add_argument("--output", type=Path, default=ROOT / "build" / "emulator.json")
    options = parser.parse_args()
    rounds = 5 if options.quick else 15
    results = {"machine": platform.processor() or platform.machine(), "python": platform.python_version()}
    results["networks"] = {}
    with tempfile.TemporaryDirectory() as folder, threadpool_limits(1):
        results["networks"]["mlp 16-64-32-32-5 w6 a8"] = mlp(Path(folder), rounds, 1 << (14 if options.quick else 16))
        results["networks"]["mnist_conv w8 a8"] = mnist(Path(folder), rounds, 256 if options.quick else 1024, options)
    for network, rates in results["networks"].items():
        print(f"\n{network}")
        for contender, rate in rates.items():
            print(f"  {contender:44}" + (f"{rate:>12,} samples/s" if isinstance(rate, int) else f"  skipped: {rate}"))
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    return verdict(results["networks"])


def verdict(networks: dict[str, dict[str, Any]]) -> int:
    """Prints whether the goals are met; the exit code."""
    goals = []
    for network, rates in networks.items():
        own = rates.get("qcompile, end to end")
        if own is None:
            continue
        if network.startswith("mlp"):
            goals.append((f"{network}: {own:,} end to end, goal {GOAL_MLP:,}", own >= GOAL_MLP))
        for contender, rate in rates.items():
            # Batches of the MLP are int8 products in registers, which no integer in a float can keep up with.
            compared = "alkaid" in contender or ("QDQ" in contender and ("one" in contender or "mnist" in network))
            if isinstance(rate, int) and compared:
                goals.append((f"{network}: {own / rate:.2f} times {contender}", own >= rate))
    print()
    for text, met in goals:
        print(f"{'met   ' if met else 'MISSED'}  {text}")
    return 0 if all(met for _, met in goals) else 1


def mlp(folder: Path, rounds: int, count: int) -> dict[str, Any]:
    random = np.random.default_rng(0)
    path = folder / "mlp.onnx"
    onnx.save(dense_network((16, 64, 32, 32, 5), random), path)
    x = random.normal(size=(count, 16)).astype(np.float32)
    compiled = qcompile.compile(path, calibration=x[:1000], weights="fixed:6", activations="fixed:8")
    contenders = own(compiled, x) | onnxruntime_runs("float", path, x, count // 16)
    contenders |= onnxruntime_runs("QDQ", quantized(path, x[:256]), x, count // 16)
    contenders |= alkaid_runs(compiled, x[: count // 8])
    return measured(contenders, rounds)


def mnist(folder: Path, rounds: int, count: int, options: argparse.Namespace) -> dict[str, Any]:
    path, data = Path(options.shared, "models/mnist_conv_fp32.onnx"), Path(options.shared, "data/mnist.npz")
    missing = [str(p) for p in (path, data) if not p.exists()]
    if missing:
        return {"everything": f"{', '.join(missing)} not found"}
    images = np.load(data)
    x = images["x_test"][:count].reshape(-1, 1, 28, 28).astype(np.float32)
    calibration = images["x_calib"].reshape(-1, 1, 28, 28).astype(np.float32)
    compiled = qcompile.compile(path, calibration=calibration, weights="fixed:8", activations="fixed:8")
    free = folder / "mnist.onnx"
    onnx.save(with_free_batch(onnx.load(path)), free)
    contenders = own(compiled, x) | onnxruntime_runs("float", free, x, count // 4)
    contenders |= onnxruntime_runs("QDQ", quantized(free, calibration[:200]), x, count // 4)
    return measured(contenders, rounds)


def measured(contenders: dict[str, tuple[Run, int] | str], rounds: int) -> dict[str, Any]:
    """Samples per CPU second of each ``(run, samples)``; a reason passes through."""
    times: dict[str, list[float]] = {name: [] for name, c in contenders.items() if not isinstance(c, str)}
    for round_ in range(rounds + 1):
        for name in times:
            run, _ = contenders[name]
            start = time.process_time()
            run()
            if round_:  # the first one only warms up
                times[name].append(time.process_time() - start)
    return {
        name: c if isinstance(c, str) else round(c[1] / statistics.median(times[name]))
        for name, c in contenders.items()
    }


def own(compiled: qcompile.Compiled, x: np.ndarray) -> dict[str, tuple[Run, int] | str]:
    emulator = compiled.emulator
    codes = emulator.encode(x)
    return {
        "qcompile, end to end": (lambda: compiled.emulate(x), len(x)),
        "qcompile, codes": (lambda: emulator.run(codes), len(x)),
    }


def onnxruntime_runs(what: str, path: Path, x: np.ndarray, single: int) -> dict[str, tuple[Run, int] | str]:
    """One sample per call over ``single`` samples, and the fastest of `BATCHES`."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name

    def run(samples: np.ndarray, batch: int) -> None:
        for start in range(0, len(samples), batch):
            session.run(None, {name: samples[start : start + batch]})

    rates = {}
    for batch in BATCHES:
        rates |= measured({str(batch): (lambda batch=batch: run(x, batch), len(x))}, 3)
    best = int(max(rates, key=rates.__getitem__))
    return {
        f"onnxruntime {what}, one sample per call": (lambda: run(x[:single], 1), len(x[:single])),
        f"onnxruntime {what}, batches of {best}": (lambda: run(x, best), len(x)),
    }


def quantized(path: Path, calibration: np.ndarray) -> Path:
    """The file as `quantize_static` makes it by default, after its own pre-processing."""
    from onnxruntime import quantization
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Reader(quantization.CalibrationDataReader):  # type: ignore[misc]
        def __init__(self, name: str) -> None:
            self.samples = iter([{name: sample[None]} for sample in calibration])

        def get_next(self) -> dict[str, np.ndarray] | None:
            return next(self.samples, None)

    prepared, result = path.with_suffix(".prepared.onnx"), path.with_suffix(".qdq.onnx")
    quant_pre_process(str(path), str(prepared), skip_symbolic_shape=True)
    name = onnx.load(path).graph.input[0].name
    quantization.quantize_static(str(prepared), str(result), Reader(name))
    return result


def alkaid_runs(compiled: qcompile.Compiled, x: np.ndarray) -> dict[str, tuple[Run, int] | str]:
    """alkaid's interpreter on the integer graph's matrices and rescalings, traced by alkaid itself."""
    try:
        from alkaid._binary.alir_bin import run_interp
        from alkaid.trace import FVArray, trace
    except ImportError:
        return {"alkaid's interpreter, codes": "alkaid is not installed (pip install qcompile[benchmarks])"}
    codes = compiled.emulator.encode(x).astype(np.float64)
    kind = compiled.emulator.types[compiled.emulator.inputs[0].name]
    ends = [np.array([pick(s) for s in kind.spans], float) for pick in (lambda s: s.low, lambda s: s.high)]
    start: Any = FVArray.from_lhs(*ends, np.ones(kind.channels))
    value = start
    for node in compiled.integer_graph.nodes:
        match node.op:
            case integer.MatMul(weights=weights):
                value = value @ weights.values.astype(np.float64)
            case integer.Rescale() as op:
                parts = [op.of(channel) for channel in range(value.shape[0])]
                value = (value + np.array([float(o) for _, o, _ in parts])) * np.array([f / 2**s for f, _, s in parts])
                value = np.minimum(np.maximum(value.quantize(f=0, round_mode="TRN"), float(op.low)), float(op.high))
    interpreter = trace(start, value)
    code = interpreter.to_bytecode()  # once, as the emulator's own preparation
    (expected,) = compiled.emulator.run(codes.astype(np.float32)).values()
    if not np.array_equal(interpreter.predict(codes, n_threads=1), expected):
        raise AssertionError("alkaid's interpreter and the emulator differ")
    return {"alkaid's interpreter, codes": (lambda: run_interp(code, codes, 1), len(x))}


def dense_network(sizes: tuple[int, ...], random: np.random.Generator) -> onnx.ModelProto:
    nodes, constants, value = [], [], "x"
    for layer, (inputs, outputs) in enumerate(itertools.pairwise(sizes)):
        weights = random.normal(size=(inputs, outputs)) * np.sqrt(2 / inputs)
        constants.append(numpy_helper.from_array(weights.astype(np.float32), f"w{layer}"))
        constants.append(numpy_helper.from_array((random.normal(size=outputs) * 0.1).astype(np.float32), f"b{layer}"))
        nodes.append(helper.make_node("Gemm", [value, f"w{layer}", f"b{layer}"], [f"sum{layer}"], name=f"fc{layer}"))
        value = f"sum{layer}"
        if layer < len(sizes) - 2:
            nodes.append(helper.make_node("Relu", [value], [f"relu{layer}"], name=f"relu{layer}"))
            value = f"relu{layer}"
    ends = [
        helper.make_tensor_value_info(n, TensorProto.FLOAT, ["n", s]) for n, s in (("x", sizes[0]), (value, sizes[-1]))
    ]
    graph = helper.make_graph(nodes, "mlp", ends[:1], ends[1:], constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)


def with_free_batch(model: onnx.ModelProto) -> onnx.ModelProto:
    """mnist_conv with any batch size: in the file the axis is 1, also in the constant of a Reshape."""
    held = {constant.name for constant in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in held]
    del model.graph.input[:], model.graph.value_info[:]
    model.graph.input.extend(inputs)
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_param = "n"
    reshaped = {node.input[1] for node in model.graph.node if node.op_type == "Reshape"}
    for constant in model.graph.initializer:
        if constant.name in reshaped and numpy_helper.to_array(constant)[0] == 1:
            shape = numpy_helper.to_array(constant).copy()
            shape[0] = -1
            constant.CopyFrom(numpy_helper.from_array(shape, constant.name))
    model.ir_version = 8
    return onnx.version_converter.convert_version(model, 13)


if __name__ == "__main__":
    sys.exit(main())
