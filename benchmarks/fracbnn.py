"""The network of FracBNN's published accelerator, written from the trained ONNX file: its order of operations.

    python benchmarks/fracbnn.py [MODEL.onnx] [RESULT.onnx]

Y. Zhang, J. Pan, X. Liu, H. Chen, D. Chen, Z. Zhang: FracBNN: Accurate and FPGA-Efficient Binary Neural Networks
with Fractional Activations, FPGA 2021. The file computes in floats; the accelerator keeps feature maps in
ap_fixed<16,9,RND,SAT> and the parameters of batch norms and activations in ap_fixed<12,4,RND,SAT>. Both are compile
options (`OPTIONS`). What the accelerator computes in another way is rewritten here:

- the two bits of an activation are convolved apart and scaled apart, 2/3 and 1/3, instead of 2/3 + 1/3 at once;
- sums of four are divided by an integer division, which truncates towards zero;
- products of the last layer are rounded one by one, and its weights twice.

Left out: that a sum of four or of 64 products may saturate on its way. It would take values four times larger
than any that occur.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import numpy_helper
from onnx.helper import make_node

OPTIONS: dict[str, Any] = {
    "residuals": "fixed:16:7",
    "constants": "fixed:12:8",
    "input_format": "fixed:8",
    "input_range": (0, 255),
}
QONNX = "qonnx.custom_op.general"


def accelerator(model: onnx.ModelProto) -> onnx.ModelProto:
    """``model`` as the accelerator computes it; the formats are left to the compile options."""
    result = onnx.ModelProto()
    result.CopyFrom(model)
    graph = result.graph
    held = {i.name: numpy_helper.to_array(i) for i in graph.initializer}
    makers = {name: node for node in graph.node for name in node.output}
    added: dict[str, npt.NDArray[np.generic]] = {
        "third": np.float32(1 / 3) * np.ones((), np.float32),
        "minus_third": np.float32(-1 / 3) * np.ones((), np.float32),
        "minus_two_thirds": np.float32(-2 / 3) * np.ones((), np.float32),
        "nothing": np.zeros((), np.float32),
        "step": np.array(1 / 128, np.float32),
        "bits": np.array(16, np.float32),
    }
    nodes: list[onnx.NodeProto] = []
    for node in graph.node:
        match node.op_type:
            case "Where":
                nodes += _bit_by_bit(node, makers)
            case "AveragePool":
                nodes += _truncated(node)
            case "Gemm":
                weights, bias = (_fixed(_fixed(held[name], 12, 8), 16, 7) for name in node.input[1:])
                added |= {"weights": weights, "bias": bias, "row": np.array([1, 1, -1]), "products": np.array([-1])}
                nodes += _product_by_product(node)
            case _:
                nodes.append(node)
    del graph.node[:]
    graph.node.extend(nodes)
    graph.initializer.extend(numpy_helper.from_array(value, name) for name, value in added.items())
    onnx.checker.check_model(result)
    return result


def _bit_by_bit(node: onnx.NodeProto, makers: dict[str, onnx.NodeProto]) -> list[onnx.NodeProto]:
    """``gate ? 2/3 high + 1/3 low : 2/3 high`` of the sums of the high and the low bits."""
    gate, both, scaled = node.input
    high, two_thirds = makers[scaled].input
    activation = makers[both].input[0]
    name = node.output[0]
    low = f"{name}_low"
    # -1, -1/3, 1/3, 1 have the low bits -1, 1, -1, 1: where ||u + 1/3| - 2/3| is above 1/3.
    wave = [
        make_node("Add", [activation, "third"], [f"{low}_a"]),
        make_node("Abs", [f"{low}_a"], [f"{low}_b"]),
        make_node("Add", [f"{low}_b", "minus_two_thirds"], [f"{low}_c"]),
        make_node("Abs", [f"{low}_c"], [f"{low}_d"]),
        make_node("Add", [f"{low}_d", "minus_third"], [f"{low}_e"]),
        make_node("BipolarQuant", [f"{low}_e", "one"], [f"{low}_bit"], domain=QONNX),
    ]
    convolution = onnx.NodeProto()
    convolution.CopyFrom(makers[both])
    convolution.input[0], convolution.output[0] = f"{low}_bit", low
    return [
        *wave,
        convolution,
        make_node("Where", [gate, low, "nothing"], [f"{low}_gated"]),
        make_node("Mul", [f"{low}_gated", "third"], [f"{low}_scaled"]),
        _held(high, f"{name}_high", "ROUND"),
        make_node("Mul", [f"{name}_high", two_thirds], [f"{name}_high_scaled"]),
        make_node("Add", [f"{name}_high_scaled", f"{low}_scaled"], [name], name=node.name),
    ]


def _truncated(node: onnx.NodeProto) -> list[onnx.NodeProto]:
    mean = onnx.NodeProto()
    mean.CopyFrom(node)
    mean.output[0] = f"{node.output[0]}_mean"
    return [mean, _held(mean.output[0], node.output[0], "DOWN")]


def _product_by_product(node: onnx.NodeProto) -> list[onnx.NodeProto]:
    """``x @ weights.T + bias`` with products that are values of their own."""
    name = node.output[0]
    return [
        make_node("Reshape", [node.input[0], "row"], [f"{name}_row"]),
        make_node("Mul", [f"{name}_row", "weights"], [f"{name}_products"]),
        make_node("ReduceSum", [f"{name}_products", "products"], [f"{name}_sum"], keepdims=0),
        make_node("Add", [f"{name}_sum", "bias"], [name], name=node.name),
    ]


def _held(value: str, name: str, rounding: str) -> onnx.NodeProto:
    """The format of feature maps."""
    inputs = [value, "step", "nothing", "bits"]
    return make_node("Quant", inputs, [name], domain=QONNX, signed=1, narrow=0, rounding_mode=rounding)


def _fixed(values: npt.NDArray[np.generic], width: int, frac: int) -> npt.NDArray[np.float32]:
    """``values`` rounded half up and saturated."""
    codes = np.floor(values.astype(np.float64) * 2**frac + 0.5)
    return (np.clip(codes, -(2 ** (width - 1)), 2 ** (width - 1) - 1) / 2**frac).astype(np.float32)


if __name__ == "__main__":
    models = Path(__file__).resolve().parents[2] / "shared" / "models"
    source = Path(sys.argv[1]) if len(sys.argv) > 1 else models / "fracbnn_cifar10_w1a1p4.onnx"
    onnx.save(accelerator(onnx.load(source)), sys.argv[2] if len(sys.argv) > 2 else "fracbnn_accelerator.onnx")
