"""Samples per second on one core: the NumPy emulator, the native emulator, onnxruntime on the float model.

    OPENBLAS_NUM_THREADS=1 python benchmarks/native.py [MODEL.onnx …]

Without models: the two examples, and mnist_conv_fp32 where QCOMPILE_SHARED names the folder of the public models.
Each figure is the best of five runs over 4,096 samples (real numbers in, real numbers out), in batches of 4,096 for the
emulators and, for onnxruntime, of the same size where the model's batch axis is free, else one by one.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime

import qcompile

EXAMPLES = Path(__file__).parents[1] / "examples"
SAMPLES = 4096
ROUNDS = 5


def rate(run: Callable[[], Any], samples: int) -> float:
    """Samples per second, best of `ROUNDS`."""
    run()
    best = float("inf")
    for _ in range(ROUNDS):
        start = time.perf_counter()
        run()
        best = min(best, time.perf_counter() - start)
    return samples / best


def reference(path: Path, x: np.ndarray) -> float:  # type: ignore[type-arg]
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    (source,) = session.get_inputs()
    shape = [size if isinstance(size, int) else -1 for size in source.shape]
    if shape[0] == -1:
        batch = x.reshape(shape).astype(np.float32)
        return rate(lambda: session.run(None, {source.name: batch}), len(x))
    singles = [sample.reshape(shape).astype(np.float32) for sample in x[:256]]
    return rate(lambda: [session.run(None, {source.name: one}) for one in singles], len(singles))


def measure(path: Path) -> tuple[float, float, float, float]:
    """Rates of the NumPy emulator, the native emulator and onnxruntime, and the seconds of the native build."""
    network = qcompile.compile(path, target="zcu104", allow_oversize=True)
    x = np.random.default_rng(0).uniform(0, 1, (SAMPLES, *network.input_shape[1:]))
    start = time.perf_counter()
    network.native(x[:1])
    build = time.perf_counter() - start
    few = x[: SAMPLES // 4]
    assert (network.native(few) == network.emulate(few)).all()
    return (
        rate(lambda: network.emulate(few), len(few)),
        rate(lambda: network.native(x), SAMPLES),
        reference(path, x),
        build,
    )


def main() -> None:
    models = [Path(name) for name in sys.argv[1:]]
    if not models:
        models = [EXAMPLES / "digits_mlp.onnx", EXAMPLES / "digits_cnn.onnx"]
        if "QCOMPILE_SHARED" in os.environ:
            models.append(Path(os.environ["QCOMPILE_SHARED"]) / "models" / "mnist_conv_fp32.onnx")
    print("| network | emulator, numpy | emulator, native | onnxruntime, float | seconds to build |")
    print("|---|---|---|---|---|")
    for path in models:
        onnx.checker.check_model(path)
        numpy, native, runtime, build = measure(path)
        print(f"| {path.stem} | {numpy:,.0f} | {native:,.0f} | {runtime:,.0f} | {build:.1f} |", flush=True)


if __name__ == "__main__":
    main()
