"""Post-training quantization beside Brevitas's, on the same networks, calibration data and test images.

    pip install torch brevitas
    python benchmarks/peers_quantization.py [NAME ...]

Brevitas calibrates with what its own post-training example does best at few bits: least squared error for the ranges,
one float scale per output channel and per activation tensor, GPTQ on quantized activations, then bias correction.
Input, first and last layer have the bits of the rest in both. Writes its part of docs/quantization.md.
"""

from __future__ import annotations

import sys
import warnings
from typing import Any

import numpy as np
from quantization import NETWORKS, PAGE

from qcompile.errors import Collector
from qcompile.explore import Subject, measure
from qcompile.frontend import read
from qcompile.ir.graph import Graph
from qcompile.ir.model import Add, Clip, Constant, Conv, Input, MatMul, MaxPool, Reshape

POINTS = (
    ("fixed:8", "fixed:8"),
    ("fixed:4", "fixed:4"),
    ("fixed:3", "fixed:4"),
    ("minifloat:e2m3", "minifloat:e2m3"),
    ("minifloat:e3m2", "minifloat:e3m2"),
    ("minifloat:e4m1", "minifloat:e4m1"),
)
COMPARED = ("digits_mlp", "digits_cnn", "mnist_conv_fp32")
BATCH = 64
BEGIN, END = "<!-- begin: python benchmarks/peers_quantization.py -->", "<!-- end -->"


def quantizers(weights: str, activations: str) -> tuple[Any, Any, Any]:
    """Brevitas's quantizers of weights and of non-negative activations, and arguments that say their bits."""
    from brevitas.quant import float as floats
    from brevitas.quant import scaled_int as integers

    kind, _, text = weights.partition(":")
    if kind == "fixed":
        bits = {"weight_bit_width": int(text)}, {"bit_width": int(activations.partition(":")[2])}
        return integers.Int8WeightPerChannelFloatMSE, integers.Uint8ActPerTensorFloatMSE, bits
    exponent, mantissa = (int(part) for part in text.removeprefix("e").split("m"))
    split = {"bit_width": 6, "exponent_bit_width": exponent, "mantissa_bit_width": mantissa}
    held = {f"weight_{key}": value for key, value in split.items()}, split
    return floats.Fp8e4m3WeightPerChannelFloatMSE, floats.Fp8e4m3ActPerTensorFloatMSE, held


def as_torch(graph: Graph, weights: str, activations: str) -> Any:
    """A chain of layers as a Brevitas network."""
    import brevitas.nn as qnn
    import torch

    weight_quant, act_quant, (own, given) = quantizers(weights, activations)
    steps: list[Any] = [qnn.QuantIdentity(act_quant=act_quant, **given)]
    for node in graph.nodes:
        held = [graph.by_name[name] for name in node.inputs]
        constants = [torch.tensor(n.op.value.values, dtype=torch.float32) for n in held if isinstance(n.op, Constant)]
        match node.op:
            case Conv(window=window, groups=groups):
                top, left, bottom, right = window.pads
                out, ins = constants[0].shape[0], constants[0].shape[1] * groups
                steps.append(torch.nn.ZeroPad2d((left, right, top, bottom)))
                layer = qnn.QuantConv2d(
                    ins, out, window.kernel, window.strides, groups=groups, weight_quant=weight_quant, **own
                )
                layer.weight.data = constants[0]
                steps.append(layer)
            case MatMul():
                layer = qnn.QuantLinear(*constants[0].shape, bias=True, weight_quant=weight_quant, **own)
                layer.weight.data = constants[0].T.contiguous()
                steps.append(layer)
            case Add():
                steps[-1].bias.data = constants[0].reshape(-1)
            case Clip(low=0, high=None):
                steps.append(qnn.QuantReLU(act_quant=act_quant, **given))
            case MaxPool(window=window):
                steps.append(torch.nn.MaxPool2d(window.kernel, window.strides))
            case Reshape():
                steps.append(torch.nn.Flatten())
            case Constant() | Input():
                pass
            case _:
                raise NotImplementedError(f"{node.name}: {node.op}")
    return torch.nn.Sequential(*steps).eval()


def brevitas_accuracy(subject: Subject, graph: Graph, weights: str, activations: str) -> float:
    """Percent of the test images right."""
    import torch
    from brevitas.graph.calibrate import bias_correction_mode, calibration_mode
    from brevitas.graph.gptq import gptq_mode

    assert subject.samples is not None and subject.labels is not None
    torch.manual_seed(0)
    shape = next(graph.types[node.name].shape for node in graph.nodes if isinstance(node.op, Input))

    def batches(samples: np.ndarray) -> list[Any]:
        rows = torch.tensor(np.asarray(samples, np.float32)).reshape(-1, *shape[1:])
        return list(rows.split(BATCH))

    network, calibration = as_torch(graph, weights, activations), batches(subject.calibration)
    with torch.no_grad():
        with calibration_mode(network):
            for batch in calibration:
                network(batch)
        network(calibration[0])  # weight quantizers take their ranges outside of that mode
        with gptq_mode(network, use_quant_activations=True, act_order=True, create_weight_orig=False) as gptq:
            for _ in range(gptq.num_layers):
                for batch in calibration:
                    gptq.model(batch)
                gptq.update()
        with bias_correction_mode(network):
            for batch in calibration:
                network(batch)
        classes = torch.cat([network(batch) for batch in batches(subject.samples)]).argmax(1).numpy()
    return 100 * float((classes == subject.labels).mean())


def main(names: list[str]) -> None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import brevitas
    except ImportError:
        print("skipped: Brevitas is not installed (pip install torch brevitas)")
        return
    columns = {}
    for name in names or COMPARED:
        try:
            subject = NETWORKS[name]()
        except FileNotFoundError as error:
            print(f"{name}: skipped, {error.filename} is missing")
            continue
        graph = read(subject.model, Collector()).graph
        for weights, activations in POINTS:
            options = {**subject.options, "scales": "free"}
            own = Subject(subject.model, subject.target, subject.calibration, subject.samples, subject.labels, options)
            ours = measure(own, weights, activations, hardware=False).accuracy
            theirs = brevitas_accuracy(subject, graph, weights, activations)
            columns[name, weights, activations] = f"{ours:.2f} | {theirs:.2f}"
            print(name, weights, activations, columns[name, weights, activations], flush=True)
    found = list(dict.fromkeys(name for name, _, _ in columns))
    heads = " | ".join(f"{name}: qcompile | Brevitas {brevitas.__version__}" for name in found)
    lines = [
        f"| weights / activations | {heads} |",
        f"|---|{'---|---|' * len(found)}",
    ]
    for weights, activations in POINTS:
        shown = weights if weights == activations else f"{weights} / {activations}"
        lines.append(f"| {shown} | {' | '.join(columns[name, weights, activations] for name in found)} |")
    before, _, rest = PAGE.read_text().partition(BEGIN)
    PAGE.write_text(f"{before}{BEGIN}\n\n" + "\n".join(lines) + f"\n\n{END}{rest.partition(END)[2]}")


if __name__ == "__main__":
    main(sys.argv[1:])
