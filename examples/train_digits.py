"""Trains the example networks on scikit-learn's 8x8 digits and writes the files beside this script.

    pip install qcompile[examples]
    python examples/train_digits.py

Everything is NumPy with fixed seeds: the same machine writes the same files. Inputs are the raw pixels 0..16.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from sklearn.datasets import load_digits

HERE = Path(__file__).parent
OPSET, IR_VERSION = 17, 8
TEST_SAMPLES, CALIBRATION_SAMPLES = 400, 128
FULL_SCALE = 16.0
LEARNING_RATE, WEIGHT_DECAY, BATCH = 1e-2, 1e-3, 32

Array = np.ndarray[Any, np.dtype[np.float64]]
Weights = list[Array]


def digits() -> dict[str, Any]:
    """The data set, shuffled and split; pixels uint8 [n, 8, 8]."""
    pixels, labels = load_digits(return_X_y=True)
    order = np.random.default_rng(7).permutation(len(pixels))
    images, labels = pixels[order].reshape(-1, 8, 8).astype(np.uint8), labels[order].astype(np.uint8)
    train = slice(TEST_SAMPLES, None)
    return {
        "x_train": images[train],
        "y_train": labels[train],
        "x_test": images[:TEST_SAMPLES],
        "y_test": labels[:TEST_SAMPLES],
        "x_calib": images[train][:CALIBRATION_SAMPLES],
        "y_calib": labels[train][:CALIBRATION_SAMPLES],
    }


def he_normal(random: np.random.Generator, *shape: int) -> Array:
    """Kaiming He et al., "Delving Deep into Rectifiers", ICCV 2015; weights [out, ...]."""
    return random.normal(0.0, np.sqrt(2.0 / np.prod(shape[1:])), shape)


def windows(x: Array) -> Array:
    """3x3 windows of x [n, c, h, w], padded by one: [n, h, w, c * 9]."""
    padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
    views = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(2, 3))
    return views.transpose(0, 2, 3, 1, 4, 5).reshape(x.shape[0], *x.shape[2:], -1)


class Mlp:
    """64-32-32-10 with ReLU."""

    sizes = (64, 32, 32, 10)

    def initial(self, random: np.random.Generator) -> Weights:
        weights: Weights = []
        for fan_in, fan_out in zip(self.sizes, self.sizes[1:], strict=False):
            weights += [he_normal(random, fan_out, fan_in), np.zeros(fan_out)]
        return weights

    def forward(self, weights: Weights, x: Array) -> tuple[Array, list[Array]]:
        """``(logits, activations)`` for x [n, 8, 8]."""
        held = [x.reshape(len(x), -1)]
        for layer in range(len(self.sizes) - 1):
            out = held[-1] @ weights[2 * layer].T + weights[2 * layer + 1]
            held.append(out if layer == len(self.sizes) - 2 else np.maximum(out, 0))
        return held[-1], held

    def gradients(self, weights: Weights, x: Array, error: Array, held: list[Array]) -> Weights:
        found: Weights = []
        for layer in reversed(range(len(self.sizes) - 1)):
            found = [error.T @ held[layer], error.sum(axis=0), *found]
            error = (error @ weights[2 * layer]) * (held[layer] > 0)
        return found


class Cnn:
    """conv 3x3 (8) - ReLU - max pool 2 - conv 3x3 (8) - ReLU - max pool 2 - dense 10; 968 weights."""

    channels = 8

    def initial(self, random: np.random.Generator) -> Weights:
        c = self.channels
        return [
            he_normal(random, c, 1, 3, 3),
            np.zeros(c),
            he_normal(random, c, c, 3, 3),
            np.zeros(c),
            he_normal(random, 10, 4 * c),
            np.zeros(10),
        ]

    def forward(self, weights: Weights, x: Array) -> tuple[Array, list[Array]]:
        held = []
        x = x[:, None]
        for layer in range(2):
            seen = windows(x)
            kernel, bias = weights[2 * layer], weights[2 * layer + 1]
            out = np.maximum(seen @ kernel.reshape(len(kernel), -1).T + bias, 0).transpose(0, 3, 1, 2)
            n, c, h, w = out.shape
            pooled = out.reshape(n, c, h // 2, 2, w // 2, 2).max(axis=(3, 5))
            held += [seen, out, pooled]
            x = pooled
        flat = x.reshape(len(x), -1)
        return flat @ weights[4].T + weights[5], [*held, flat]

    def gradients(self, weights: Weights, x: Array, error: Array, held: list[Array]) -> Weights:
        found: Weights = [error.T @ held[6], error.sum(axis=0)]
        back = (error @ weights[4]).reshape(held[5].shape)
        for layer in (1, 0):
            seen, out, pooled = held[3 * layer : 3 * layer + 3]
            spread = np.repeat(np.repeat(pooled, 2, axis=2), 2, axis=3)
            back = np.repeat(np.repeat(back, 2, axis=2), 2, axis=3) * (out == spread) * (out > 0)
            rows = back.transpose(0, 2, 3, 1).reshape(-1, self.channels)
            kernel = weights[2 * layer]
            own = (rows.T @ seen.reshape(len(rows), -1)).reshape(kernel.shape)
            found = [own, rows.sum(axis=0), *found]
            # The gradient of a padded 3x3 convolution is one with the kernel turned by 180 degrees.
            turned = kernel[:, :, ::-1, ::-1].transpose(1, 0, 2, 3)
            back = (windows(back) @ turned.reshape(len(turned), -1).T).transpose(0, 3, 1, 2)
        return found


def train(network: Mlp | Cnn, data: dict[str, Any], epochs: int, seed: int) -> Weights:
    """Adam with a cosine schedule and weight decay.

    Diederik Kingma and Jimmy Ba, "Adam: A Method for Stochastic Optimization", ICLR 2015.
    """
    random = np.random.default_rng(seed)
    weights = network.initial(random)
    first, second = [np.zeros_like(w) for w in weights], [np.zeros_like(w) for w in weights]
    images, labels = data["x_train"] / FULL_SCALE, data["y_train"]
    step, batch = 0, BATCH
    steps = epochs * (len(images) // batch)
    for _ in range(epochs):
        order = random.permutation(len(images))
        for start in range(0, len(images) - batch + 1, batch):
            step += 1
            picked = order[start : start + batch]
            x = images[picked]
            logits, held = network.forward(weights, x)
            powers = np.exp(logits - logits.max(axis=1, keepdims=True))
            error = powers / powers.sum(axis=1, keepdims=True)
            error[np.arange(batch), labels[picked]] -= 1
            rate = LEARNING_RATE * 0.5 * (1 + np.cos(np.pi * step / steps))
            gradients = network.gradients(weights, x, error / batch, held)
            for i, gradient in enumerate(gradients):
                first[i] += 0.1 * (gradient - first[i])
                second[i] += 0.001 * (gradient**2 - second[i])
                moved = first[i] / (1 - 0.9**step) / (np.sqrt(second[i] / (1 - 0.999**step)) + 1e-8)
                weights[i] = weights[i] - rate * (moved + WEIGHT_DECAY * weights[i])
    return [weights[0] / FULL_SCALE, *weights[1:]]  # the network takes raw pixels


def tensor(name: str, value: Array) -> TensorProto:
    return numpy_helper.from_array(value.astype(np.float32), name)


def model(name: str, shape: list[int | str], nodes: list[Any], weights: dict[str, Array]) -> onnx.ModelProto:
    graph = helper.make_graph(
        nodes,
        name,
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 10])],
        [tensor(key, value) for key, value in weights.items()],
    )
    made = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION, producer_name="train_digits"
    )
    onnx.checker.check_model(made, full_check=True)
    return made


def mlp_model(weights: Weights) -> onnx.ModelProto:
    nodes = []
    named: dict[str, Array] = {}
    x = "image"
    for layer in (1, 2, 3):
        named[f"fc{layer}.weight"], named[f"fc{layer}.bias"] = weights[2 * layer - 2 : 2 * layer]
        out = "logits" if layer == 3 else f"fc{layer}_out"
        inputs = [x, f"fc{layer}.weight", f"fc{layer}.bias"]
        nodes.append(helper.make_node("Gemm", inputs, [out], f"fc{layer}", transB=1))
        if layer < 3:
            x = f"relu{layer}_out"
            nodes.append(helper.make_node("Relu", [out], [x], f"relu{layer}"))
    return model("digits_mlp", ["batch", 64], nodes, named)


def cnn_model(weights: Weights) -> onnx.ModelProto:
    nodes = []
    named: dict[str, Array] = {}
    x = "image"
    for layer in (1, 2):
        named[f"conv{layer}.weight"], named[f"conv{layer}.bias"] = weights[2 * layer - 2 : 2 * layer]
        inputs = [x, f"conv{layer}.weight", f"conv{layer}.bias"]
        nodes += [
            helper.make_node(
                "Conv", inputs, [f"conv{layer}_out"], f"conv{layer}", kernel_shape=[3, 3], pads=[1, 1, 1, 1]
            ),
            helper.make_node("Relu", [f"conv{layer}_out"], [f"relu{layer}_out"], f"relu{layer}"),
            helper.make_node(
                "MaxPool",
                [f"relu{layer}_out"],
                [f"pool{layer}_out"],
                f"pool{layer}",
                kernel_shape=[2, 2],
                strides=[2, 2],
            ),
        ]
        x = f"pool{layer}_out"
    named["fc.weight"], named["fc.bias"] = weights[4:]
    nodes += [
        helper.make_node("Flatten", [x], ["flat"], "flatten"),
        helper.make_node("Gemm", ["flat", "fc.weight", "fc.bias"], ["logits"], "fc", transB=1),
    ]
    return model("digits_cnn", ["batch", 1, 8, 8], nodes, named)


class Calibration(CalibrationDataReader):  # type: ignore[misc]
    """Feeds the calibration images to onnxruntime one by one."""

    def __init__(self, images: Array, shape: tuple[int, ...]) -> None:
        self._feeds: Iterator[dict[str, Any]] = iter(
            [{"image": image.reshape(1, *shape).astype(np.float32)} for image in images]
        )

    def get_next(self) -> dict[str, Any] | None:
        return next(self._feeds, None)


def write_pair(
    name: str, float_model: onnx.ModelProto, images: Array, shape: tuple[int, ...], per_channel: bool
) -> None:
    """``name``.onnx, and ``name``_qdq.onnx as onnxruntime's static quantization makes it."""
    onnx.save(float_model, HERE / f"{name}.onnx")
    with TemporaryDirectory() as folder:
        written = Path(folder) / "qdq.onnx"
        quantize_static(
            HERE / f"{name}.onnx",
            written,
            Calibration(images, shape),
            quant_format=QuantFormat.QDQ,
            per_channel=per_channel,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
        )
        quantized = onnx.load(written)
    onnx.checker.check_model(quantized)
    onnx.save(quantized, HERE / f"{name}_qdq.onnx")


def main() -> None:
    data = digits()
    np.savez_compressed(HERE / "digits.npz", **{key: data[key] for key in ("x_test", "y_test", "x_calib", "y_calib")})
    for name, network, build, shape, per_channel in (
        ("digits_mlp", Mlp(), mlp_model, (64,), False),
        ("digits_cnn", Cnn(), cnn_model, (1, 8, 8), True),
    ):
        weights = train(network, data, epochs=100, seed=1)
        logits, _ = network.forward(weights, data["x_test"].astype(np.float64))
        accuracy = (logits.argmax(axis=1) == data["y_test"]).mean()
        print(f"{name}: {accuracy:.2%} of {TEST_SAMPLES} test images")
        write_pair(name, build(weights), data["x_calib"], shape, per_channel)


if __name__ == "__main__":
    main()
