"""Trains a small MobileNet-like network on Fashion-MNIST; writes fashion_depthwise.onnx and fashion.npz beside itself.

    apt-get install dataset-fashion-mnist
    pip install qcompile[examples]
    python examples/train_fashion.py [FOLDER]

FOLDER holds the four files of the data set, of which this project only has a sample (MIT licence, Zalando SE); the
default is where Debian puts them. Fixed seeds: the same versions on the same machine write the same file. Inputs are
the raw pixels 0..255.
"""

from __future__ import annotations

import gzip
import sys
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import onnx
from onnx import helper, numpy_helper

HERE = Path(__file__).parent
DEBIAN = Path("/usr/share/datasets/fashion-mnist")
OPSET, IR_VERSION = 17, 8
FULL_SCALE = 255.0
TEST_SAMPLES, CALIBRATION_SAMPLES = 200, 64
"""Images of the sample that is written; training sees none of the former."""
STEM = 32
BLOCKS = ((1, 64), (2, 128), (1, 128))
"""(stride, output channels) of each block: depthwise 3x3, pointwise 1x1, both with batch normalization and ReLU."""
LEARNING_RATE, WEIGHT_DECAY, BATCH, EPOCHS = 3e-3, 3e-2, 128, 9
EPSILON, MOMENTUM = 1e-5, 0.95

Params = dict[str, Any]


def fashion(folder: Path, part: str) -> tuple[np.ndarray, np.ndarray]:
    """Images uint8 [n, 28, 28] and labels of ``part``, "train" or "t10k"."""
    with gzip.open(folder / f"{part}-images-idx3-ubyte.gz") as file:
        images = np.frombuffer(file.read(), np.uint8, offset=16).reshape(-1, 28, 28)
    with gzip.open(folder / f"{part}-labels-idx1-ubyte.gz") as file:
        return images, np.frombuffer(file.read(), np.uint8, offset=8)


def layers() -> list[tuple[str, int, int, int, int]]:
    """(name, kernel, stride, groups, output channels) of every convolution."""
    found = [("stem", 3, 2, 1, STEM)]
    channels = STEM
    for number, (stride, outs) in enumerate(BLOCKS, 1):
        found += [(f"depthwise{number}", 3, stride, channels, channels), (f"pointwise{number}", 1, 1, 1, outs)]
        channels = outs
    return found


def initial() -> tuple[Params, Params]:
    """``(weights, statistics)``; Kaiming He et al., "Delving Deep into Rectifiers", ICCV 2015."""
    random = np.random.default_rng(1)
    weights, statistics = {}, {}
    channels = 1
    for name, kernel, _, groups, outs in layers():
        shape = (outs, channels // groups, kernel, kernel)
        weights[f"{name}.weight"] = random.normal(0, np.sqrt(2 / np.prod(shape[1:])), shape)
        weights[f"{name}.gamma"], weights[f"{name}.beta"] = np.ones(outs), np.zeros(outs)
        statistics[name] = (np.zeros(outs), np.ones(outs))
        channels = outs
    weights["fc.weight"] = random.normal(0, np.sqrt(1 / channels), (10, channels))
    weights["fc.bias"] = np.zeros(10)
    return jax.tree.map(lambda x: jnp.asarray(x, jnp.float32), (weights, statistics))


def convolved(x: Any, weight: Any, stride: int, groups: int) -> Any:
    """Convolution of x [n, h, w, c]; a depthwise one as nine shifted products, which XLA runs much faster."""
    kernel = weight.shape[2]
    pad = kernel // 2
    if groups == 1:
        return jax.lax.conv_general_dilated(
            x,
            weight.transpose(2, 3, 1, 0),
            (stride, stride),
            ((pad, pad),) * 2,
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
        )
    height, width = x.shape[1:3]
    padded = jnp.pad(x, ((0, 0), (pad, pad), (pad, pad), (0, 0)))
    return sum(
        padded[:, i : i + height : stride, j : j + width : stride] * weight[:, 0, i, j]
        for i in range(kernel)
        for j in range(kernel)
    )


def forward(weights: Params, statistics: Params, x: Any, training: bool) -> tuple[Any, Params]:
    """``(logits, statistics)`` for x [n, 28, 28, 1]; in training, statistics of this batch are mixed in."""
    seen = {}
    for name, _, stride, groups, _ in layers():
        x = convolved(x, weights[f"{name}.weight"], stride, groups)
        mean, variance = (x.mean((0, 1, 2)), x.var((0, 1, 2))) if training else statistics[name]
        seen[name] = tuple(
            MOMENTUM * old + (1 - MOMENTUM) * new for old, new in zip(statistics[name], (mean, variance), strict=True)
        )
        x = (x - mean) / jnp.sqrt(variance + EPSILON) * weights[f"{name}.gamma"] + weights[f"{name}.beta"]
        x = jax.nn.relu(x)
    return x.mean((1, 2)) @ weights["fc.weight"].T + weights["fc.bias"], seen


def loss(weights: Params, statistics: Params, x: Any, labels: Any) -> tuple[Any, Params]:
    logits, seen = forward(weights, statistics, x, True)
    return -jnp.take_along_axis(jax.nn.log_softmax(logits), labels[:, None], 1).mean(), seen


@jax.jit
def step(state: Any, x: Any, labels: Any, rate: Any, count: Any) -> Any:
    """One of AdamW; Ilya Loshchilov and Frank Hutter, "Decoupled Weight Decay Regularization", ICLR 2019."""
    weights, statistics, first, second = state
    (value, statistics), gradient = jax.value_and_grad(loss, has_aux=True)(weights, statistics, x, labels)
    first = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, first, gradient)
    second = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g * g, second, gradient)
    weights = jax.tree.map(
        lambda w, m, v: (
            w
            - rate
            * (m / (1 - 0.9**count) / (jnp.sqrt(v / (1 - 0.999**count)) + 1e-8) + WEIGHT_DECAY * (w.ndim > 1) * w)
        ),
        weights,
        first,
        second,
    )
    return (weights, statistics, first, second), value


def train(images: np.ndarray, labels: np.ndarray) -> tuple[Params, Params]:
    """Random mirroring and shifts by up to two pixels; a cosine schedule."""
    random = np.random.default_rng(2)
    weights, statistics = initial()
    zeros = jax.tree.map(jnp.zeros_like, weights)
    state = (weights, statistics, zeros, zeros)
    steps, count = EPOCHS * (len(images) // BATCH), 0
    padded = np.pad(images, ((0, 0), (2, 2), (2, 2)))
    for epoch in range(EPOCHS):
        order, total = random.permutation(len(images)), 0.0
        for start in range(0, len(images) - BATCH + 1, BATCH):
            count += 1
            picked = order[start : start + BATCH]
            down, right = random.integers(0, 5, 2)
            x = padded[picked, down : down + 28, right : right + 28]
            mirrored = random.random(BATCH) < 0.5
            x[mirrored] = x[mirrored, :, ::-1]
            rate = LEARNING_RATE * 0.5 * (1 + np.cos(np.pi * count / steps))
            state, value = step(
                state, x[..., None].astype(np.float32) / FULL_SCALE, labels[picked].astype(int), rate, count
            )
            total += float(value)
        print(f"epoch {epoch + 1}: loss {total * BATCH / len(images):.4f}", flush=True)
    return state[0], state[1]


def model(weights: Params, statistics: Params) -> onnx.ModelProto:
    """The network as ONNX, batch normalization in nodes of its own; pixels are scaled by the first weights."""
    held = {name: np.asarray(value, np.float32) for name, value in weights.items()}
    held["stem.weight"] = held["stem.weight"] / np.float32(FULL_SCALE)
    nodes, x = [], "image"
    for name, kernel, stride, groups, _ in layers():
        held[f"{name}.mean"], held[f"{name}.variance"] = (np.asarray(part, np.float32) for part in statistics[name])
        nodes += [
            helper.make_node(
                "Conv",
                [x, f"{name}.weight"],
                [f"{name}_out"],
                name,
                kernel_shape=[kernel] * 2,
                strides=[stride] * 2,
                pads=[kernel // 2] * 4,
                group=groups,
            ),
            helper.make_node(
                "BatchNormalization",
                [f"{name}_out", *(f"{name}.{part}" for part in ("gamma", "beta", "mean", "variance"))],
                [f"{name}_normal"],
                f"{name}_bn",
                epsilon=EPSILON,
            ),
            helper.make_node("Relu", [f"{name}_normal"], [f"{name}_relu"], f"{name}_relu"),
        ]
        x = f"{name}_relu"
    nodes += [
        helper.make_node("GlobalAveragePool", [x], ["pooled"], "pool"),
        helper.make_node("Flatten", ["pooled"], ["flat"], "flatten"),
        helper.make_node("Gemm", ["flat", "fc.weight", "fc.bias"], ["logits"], "fc", transB=1),
    ]
    graph = helper.make_graph(
        nodes,
        "fashion_depthwise",
        [helper.make_tensor_value_info("image", onnx.TensorProto.FLOAT, ["batch", 1, 28, 28])],
        [helper.make_tensor_value_info("logits", onnx.TensorProto.FLOAT, ["batch", 10])],
        [numpy_helper.from_array(value, name) for name, value in held.items()],
    )
    made = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION, producer_name="train_fashion"
    )
    onnx.checker.check_model(made, full_check=True)
    return made


def main() -> None:
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else DEBIAN
    weights, statistics = train(*fashion(folder, "train"))
    images, labels = fashion(folder, "t10k")
    x_train, y_train = fashion(folder, "train")
    np.savez_compressed(
        HERE / "fashion.npz",
        x_test=images[:TEST_SAMPLES],
        y_test=labels[:TEST_SAMPLES],
        x_calib=x_train[:CALIBRATION_SAMPLES],
        y_calib=y_train[:CALIBRATION_SAMPLES],
    )
    right = 0
    for start in range(0, len(images), 500):
        x = images[start : start + 500, ..., None].astype(np.float32) / FULL_SCALE
        logits, _ = forward(weights, statistics, x, False)
        right += int((np.asarray(logits).argmax(axis=1) == labels[start : start + 500]).sum())
    print(f"fashion_depthwise: {right / len(images):.2%} of {len(images)} test images")
    onnx.save(model(weights, statistics), HERE / "fashion_depthwise.onnx")


if __name__ == "__main__":
    main()
