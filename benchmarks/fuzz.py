"""Random networks, random options: whatever compiles must be exact, and whatever does not must be a diagnostic.

Run from anywhere: ``python benchmarks/fuzz.py [--seeds 50] [--first 0] [--keep FOLDER]``. Each seed is a small float
network of random blocks (convolutions with strides, padding, dilation and groups, pooling, residual sums, gates,
attention, branches, activations, matrix products), quantized to random formats and built unrolled, folded for a rate,
or folded to fit. Its RTL is simulated on a few frames with random back-pressure, and its latency and interval are
compared with the report's: equal, or (where a fork holds its source up, which the report's timing does not follow)
within 10 %. Exit code 1 where a simulation differs, a cycle count was foretold wrongly, or anything but a diagnostic
was raised; models that did so are kept in FOLDER.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
import traceback
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

import qcompile
from qcompile.errors import CompileError

WEIGHTS = ("fixed:8", "fixed:6", "fixed:4", "fixed:3", "fixed:2", "pow2:4", "ternary", "khot:2:4")
ACTIVATIONS = ("fixed:8", "fixed:6", "fixed:4", "fixed:3", "fixed:2", "minifloat:e3m2")
FRAMES = 3
NEAR = 0.1
FAILURES = {"exception", "mismatch", "timing"}


class Builder:
    """Grows one network; ``shape`` is that of the last tensor, without the batch."""

    def __init__(self, seed: int) -> None:
        self.draw = random.Random(seed)
        self.numbers = np.random.default_rng(seed)
        self.gates = seed % 4 == 3  # residual sums become products with a gate
        self.attends = seed % 16 == 6  # every position is mixed with all others
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        flat = self.draw.random() < 0.25
        side = self.draw.randint(4, 9)
        self.input_shape = (
            (self.draw.randint(3, 20),) if flat else (self.draw.randint(1, 3), side, self.draw.choice((side, side + 1)))
        )
        self.shape: tuple[int, ...] = self.input_shape
        self.last = "x"

    def node(self, kind: str, *inputs: str, **attributes: Any) -> str:
        name = f"{kind.lower()}{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [name], name=name, **attributes))
        self.last = name
        return name

    def constant(self, values: Any) -> str:
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(values), name))
        return name

    def weights(self, *shape: int) -> str:
        fan_in = max(1, int(np.prod(shape[1:])))
        return self.constant((self.numbers.standard_normal(shape) / fan_in**0.5).astype(np.float32))

    def vector(self, n: int, low: float = -0.3, high: float = 0.3) -> str:
        return self.constant(self.numbers.uniform(low, high, n).astype(np.float32))

    def convolution(self, outs: int | None = None, keep_size: bool = False) -> None:
        ins, height, width = self.shape
        kernel = [self.draw.randint(1, min(3, height)), self.draw.randint(1, min(3, width))]
        groups = 1
        if self.draw.random() < 0.25:
            groups, outs = ins, ins * (1 if outs is not None or self.draw.random() < 0.7 else 2)
        outs = outs or self.draw.randint(1, 8)
        strides, dilations = [1, 1], [1, 1]
        if keep_size:
            kernel = [self.draw.choice((1, 3))] * 2
            pads = [k // 2 for k in kernel] * 2
        else:
            pads = [self.draw.randint(0, k - 1) for k in kernel * 2]
            if self.draw.random() < 0.3:
                strides = [self.draw.randint(1, 2), self.draw.randint(1, 2)]
            if self.draw.random() < 0.2 and height >= 5 and width >= 5:
                dilations = [2, 2]
        size = [
            (n + pads[i] + pads[i + 2] - dilations[i] * (kernel[i] - 1) - 1) // strides[i] + 1
            for i, n in enumerate((height, width))
        ]
        if min(size) < 1:
            return
        operands = [self.last, self.weights(outs, ins // groups, *kernel)]
        if self.draw.random() < 0.6:
            operands.append(self.vector(outs))
        self.node("Conv", *operands, kernel_shape=kernel, pads=pads, strides=strides, dilations=dilations, group=groups)
        self.shape = (outs, *size)
        if self.draw.random() < 0.3:
            n = outs
            mean, variance = self.vector(n), self.vector(n, 0.3, 2)
            self.node("BatchNormalization", self.last, self.vector(n, 0.5, 2), self.vector(n), mean, variance)

    def pooling(self) -> None:
        _, height, width = self.shape
        if min(height, width) < 2:
            return
        if self.draw.random() < 0.2:
            self.node("GlobalAveragePool", self.last)
            self.shape = (self.shape[0], 1, 1)
            return
        stride = self.draw.randint(1, 2)
        kind = self.draw.choice(("MaxPool", "MaxPool", "AveragePool"))
        self.node(kind, self.last, kernel_shape=[2, 2], strides=[stride] * 2)
        self.shape = (self.shape[0], (height - 2) // stride + 1, (width - 2) // stride + 1)

    def activation(self) -> None:
        kind = self.draw.choice(("Relu", "Relu", "Relu", "LeakyRelu", "Sigmoid", "Tanh", "HardSwish", "PRelu", "Clip"))
        match kind:
            case "PRelu":
                slopes = self.numbers.uniform(0, 0.5, (self.shape[0], *[1] * (len(self.shape) - 1)))
                self.node(kind, self.last, self.constant(slopes.astype(np.float32)))
            case "Clip":
                self.node(kind, self.last, self.constant(np.float32(0)), self.constant(np.float32(1.5)))
            case _:
                self.node(kind, self.last)

    def residual(self) -> None:
        start = self.last
        for _ in range(self.draw.randint(1, 2)):
            self.convolution(self.shape[0], keep_size=True)
            self.activation()
        if self.gates:
            self.node("Mul", self.node("Sigmoid", self.last), start)
        else:
            self.node("Add", self.last, start)

    def attention(self) -> None:
        channels, height, width = self.shape
        if height * width > 36:
            return
        by_channel = self.node("Reshape", self.last, self.constant(np.array([1, channels, height * width])))
        by_position = self.node("Transpose", by_channel, perm=[0, 2, 1])
        self.node("Sigmoid", self.node("MatMul", by_position, by_channel))
        self.node("Transpose", self.node("MatMul", self.last, by_position), perm=[0, 2, 1])
        self.node("Reshape", self.last, self.constant(np.array([1, channels, height, width])))

    def branches(self) -> None:
        start, (channels, *size) = self.last, self.shape
        ends, total = [], 0
        for _ in range(2):
            self.last, self.shape = start, (channels, *size)
            self.convolution(self.draw.randint(1, 4), keep_size=True)
            self.activation()
            ends.append(self.last)
            total += self.shape[0]
        self.node("Concat", *ends, axis=1)
        self.shape = (total, *size)

    def matrix(self) -> None:
        outs = self.draw.randint(2, 10)
        if len(self.shape) > 1:
            self.node("Flatten", self.last)
            self.shape = (int(np.prod(self.shape)),)
        self.node("Gemm", self.last, self.weights(outs, self.shape[0]), self.vector(outs), transB=1)
        self.shape = (outs,)

    def build(self) -> onnx.ModelProto:
        images = (self.convolution, self.convolution, self.pooling, self.residual, self.branches, self.activation)
        for _ in range(self.draw.randint(1, 4)):
            step = self.draw.choice(images) if len(self.shape) == 3 else self.matrix
            step()
            if self.draw.random() < 0.5:
                self.activation()
        if self.attends and len(self.shape) == 3:
            self.attention()
        if self.draw.random() < 0.7:
            self.matrix()
        if self.last == "x":
            self.activation()
        graph = helper.make_graph(
            self.nodes,
            "random_network",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, *self.input_shape])],
            [helper.make_tensor_value_info(self.last, TensorProto.FLOAT, None)],
            self.constants,
        )
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


def options(draw: random.Random) -> dict[str, Any]:
    chosen: dict[str, Any] = {"weights": draw.choice(WEIGHTS), "activations": draw.choice(ACTIVATIONS), "effort": 0}
    match draw.randint(0, 2):
        case 1:
            chosen["fps"] = 200e6 / draw.choice((30, 100, 300, 1000, 4000, 20000))
        case 2:
            chosen["fold"] = True
    return chosen


def check(seed: int) -> tuple[str, str, onnx.ModelProto]:
    """A verdict in a word, what led to it, and the network."""
    built = Builder(seed)
    model = built.build()
    chosen = options(random.Random(seed))
    calibration = built.numbers.uniform(-1, 1, (32, *built.input_shape)).astype(np.float32)
    target = "icebreaker" if chosen.get("fold") else "zcu104"
    try:
        compiled = qcompile.compile(
            model, target=target, clock_mhz=200, calibration=calibration, allow_oversize=True, **chosen
        )
        found = compiled.verify(calibration, count=FRAMES, seed=seed)
    except CompileError as error:
        return error.diagnostics[0].code, f"{chosen} {error}", model
    except Exception:
        return "exception", f"{chosen}\n{traceback.format_exc()}", model
    totals = compiled.report["totals"]
    if found["rtl_mismatches"]:
        return "mismatch", f"{chosen} {found}", model
    deviation = {key: found[key] / totals[key] - 1 for key in ("latency_cycles", "ii_cycles")}
    if any(deviation.values()):
        near = max(map(abs, deviation.values())) <= NEAR
        shown = ", ".join(f"{key} {totals[key]} is {found[key]}" for key in deviation)
        return "exact, near" if near else "timing", f"{chosen}: {shown}", model
    return "exact", str(chosen), model


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=50)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--keep", type=Path, help="folder for the models that failed")
    args = parser.parse_args()
    verdicts: Counter[str] = Counter()
    for seed in range(args.first, args.first + args.seeds):
        started = time.process_time()
        verdict, reason, model = check(seed)
        verdicts[verdict] += 1
        print(f"{seed:5d}  {verdict:11s} {time.process_time() - started:6.1f} s  {reason.splitlines()[0]}", flush=True)
        if verdict in FAILURES:
            print(reason)
            if args.keep:
                args.keep.mkdir(parents=True, exist_ok=True)
                onnx.save(model, args.keep / f"seed{seed}.onnx")
    print("  ".join(f"{verdict}: {count}" for verdict, count in sorted(verdicts.items())))
    return int(not FAILURES.isdisjoint(verdicts))


if __name__ == "__main__":
    sys.exit(main())
