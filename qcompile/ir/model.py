"""The model graph: real-valued operations in ONNX's own layout, and quantizers.

Values are real tensors with ONNX's shape (batch 1 in front). ``evaluate`` computes in float64 on arrays that
carry one more axis in front, the samples: ``[samples, *shape]``; constants have one sample and broadcast.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from qcompile.ir.array import Array
from qcompile.ir.graph import Graph, IRError, Level, Op
from qcompile.ir.window import Window
from qcompile.numerics.quantizer import Quantizer
from qcompile.numerics.rounding import Rounding

Reals = npt.NDArray[np.float64]

MODEL = Level("model")
PARAMETERS: dict[str, type] = {cls.__name__: cls for cls in (Window, Quantizer, Rounding)}


@dataclass(frozen=True)
class RealType:
    """A real tensor of ONNX ``shape``."""

    shape: tuple[int, ...]


@dataclass(frozen=True)
class ModelOp(Op):
    """An operation on real tensors."""

    def evaluate(self, *operands: Reals) -> Reals:
        """The real-valued meaning in float64, on ``[samples, *shape]`` arrays."""
        raise NotImplementedError


@MODEL.op
@dataclass(frozen=True)
class Input(ModelOp):
    """A network input. ``integer``: the ONNX type is an integer one with these (low, high) limits."""

    mnemonic: ClassVar[str] = "input"
    shape: tuple[int, ...]
    integer: tuple[int, int] | None = None

    def result_type(self) -> RealType:
        return RealType(self.shape)


@MODEL.op
@dataclass(frozen=True)
class Constant(ModelOp):
    """A constant tensor; its float64 values are exact."""

    mnemonic: ClassVar[str] = "constant"
    value: Array

    def result_type(self) -> RealType:
        return RealType(self.value.shape)

    def evaluate(self, *operands: Reals) -> Reals:
        return np.asarray(self.value.values, np.float64)[None]


@MODEL.op
@dataclass(frozen=True)
class Quantize(ModelOp):
    """The nearest value on the quantizer's grid (quantize, then dequantize). Channels lie along ``axis``."""

    mnemonic: ClassVar[str] = "quantize"
    quantizer: Quantizer
    axis: int | None = None

    def result_type(self, x: RealType) -> RealType:
        if self.quantizer.channels > 1 and (self.axis is None or x.shape[self.axis] != self.quantizer.channels):
            raise IRError(f"{self.quantizer.channels} channels on axis {self.axis} of shape {x.shape}")
        return x

    def evaluate(self, *operands: Reals) -> Reals:
        (x,) = operands
        axis = None if self.axis is None else self.axis % (x.ndim - 1) + 1
        return self.quantizer.values(self.quantizer.codes(x, axis), axis)


@MODEL.op
@dataclass(frozen=True)
class Conv(ModelOp):
    """2-D convolution: x [1, c, h, w], weights [out, c/groups, kh, kw]. No bias: an `Add` follows."""

    mnemonic: ClassVar[str] = "conv"
    window: Window
    groups: int = 1

    def result_type(self, x: RealType, w: RealType) -> RealType:
        if len(x.shape) != 4 or len(w.shape) != 4 or w.shape[2:] != self.window.kernel:
            raise IRError(f"input {x.shape}, weights {w.shape}, kernel {self.window.kernel}")
        if x.shape[1] != w.shape[1] * self.groups or w.shape[0] % self.groups:
            raise IRError(f"input {x.shape} and weights {w.shape} do not agree with {self.groups} groups")
        return RealType((x.shape[0], w.shape[0], *self.window.output_size(*x.shape[2:])))

    def evaluate(self, *operands: Reals) -> Reals:
        x, w = operands
        samples, _, channels, height, width = x.shape
        if w.shape[0] != 1:
            raise IRError("weights must be constant")
        images = x.reshape(samples, channels, height, width).transpose(0, 2, 3, 1)
        patches = self.window.patches(images, 0.0)
        rows, columns = patches.shape[1:3]
        outs = w.shape[1] // self.groups
        per = channels // self.groups
        results = []
        for group in range(self.groups):
            part = patches[..., group * per : (group + 1) * per].reshape(samples * rows * columns, -1)
            kernel = w[0, group * outs : (group + 1) * outs].transpose(2, 3, 1, 0).reshape(-1, outs)
            results.append(part @ kernel)
        flat = np.concatenate(results, axis=1).reshape(samples, 1, rows, columns, -1)
        return flat.transpose(0, 1, 4, 2, 3)


@MODEL.op
@dataclass(frozen=True)
class MatMul(ModelOp):
    """``numpy.matmul``."""

    mnemonic: ClassVar[str] = "matmul"

    def result_type(self, a: RealType, b: RealType) -> RealType:
        try:
            return RealType(np.matmul(np.empty((*a.shape, 0))[..., 0], np.empty((*b.shape, 0))[..., 0]).shape)
        except (ValueError, IndexError):
            raise IRError(f"shapes {a.shape} and {b.shape} do not multiply") from None

    def evaluate(self, *operands: Reals) -> Reals:
        return np.matmul(*operands)


def _broadcast(a: RealType, b: RealType) -> RealType:
    try:
        return RealType(np.broadcast_shapes(a.shape, b.shape))
    except ValueError:
        raise IRError(f"shapes {a.shape} and {b.shape} do not broadcast") from None


def _aligned(a: Reals, b: Reals) -> tuple[Reals, Reals]:
    """Both with the same rank, the sample axis staying in front."""
    rank = max(a.ndim, b.ndim)
    return (
        a.reshape(a.shape[0], *[1] * (rank - a.ndim), *a.shape[1:]),
        b.reshape(b.shape[0], *[1] * (rank - b.ndim), *b.shape[1:]),
    )


@MODEL.op
@dataclass(frozen=True)
class Add(ModelOp):
    """Sum with broadcasting: a bias (one operand constant) or a residual join."""

    mnemonic: ClassVar[str] = "add"

    def result_type(self, a: RealType, b: RealType) -> RealType:
        return _broadcast(a, b)

    def evaluate(self, *operands: Reals) -> Reals:
        a, b = _aligned(*operands)
        return a + b


@MODEL.op
@dataclass(frozen=True)
class Mul(ModelOp):
    """Product with broadcasting; hardware needs one operand constant."""

    mnemonic: ClassVar[str] = "mul"

    def result_type(self, a: RealType, b: RealType) -> RealType:
        return _broadcast(a, b)

    def evaluate(self, *operands: Reals) -> Reals:
        a, b = _aligned(*operands)
        return a * b


@MODEL.op
@dataclass(frozen=True)
class Clip(ModelOp):
    """``min(max(x, low), high)``; None leaves a side open. ReLU is ``low = 0``."""

    mnemonic: ClassVar[str] = "clip"
    low: float | None
    high: float | None

    def result_type(self, x: RealType) -> RealType:
        return x

    def evaluate(self, *operands: Reals) -> Reals:
        return np.clip(operands[0], self.low, self.high)


@MODEL.op
@dataclass(frozen=True)
class LeakyRelu(ModelOp):
    """``x`` where ``x >= 0``, else ``slope * x``; operands x and slope (constant, broadcasts)."""

    mnemonic: ClassVar[str] = "leaky_relu"

    def result_type(self, x: RealType, slope: RealType) -> RealType:
        if _broadcast(x, slope) != x:
            raise IRError(f"slopes {slope.shape} do not broadcast to {x.shape}")
        return x

    def evaluate(self, *operands: Reals) -> Reals:
        x, slope = _aligned(*operands)
        return np.where(x >= 0, x, slope * x)


@MODEL.op
@dataclass(frozen=True)
class Curve(ModelOp):
    """A named transcendental function of `qcompile.numerics.function.Curve`, element by element."""

    mnemonic: ClassVar[str] = "curve"
    function: str

    _NUMPY: ClassVar[dict[str, Any]] = {
        "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
        "tanh": np.tanh,
        "exp": np.exp,
    }

    def result_type(self, x: RealType) -> RealType:
        return x

    def evaluate(self, *operands: Reals) -> Reals:
        result: Reals = self._NUMPY[self.function](operands[0])
        return result


@MODEL.op
@dataclass(frozen=True)
class MaxPool(ModelOp):
    """Maximum over windows of x [1, c, h, w]; padding never wins."""

    mnemonic: ClassVar[str] = "max_pool"
    window: Window

    def result_type(self, x: RealType) -> RealType:
        return RealType((*x.shape[:2], *self.window.output_size(*x.shape[2:])))

    def evaluate(self, *operands: Reals) -> Reals:
        images = operands[0].reshape(-1, *operands[0].shape[2:]).transpose(0, 2, 3, 1)
        return self.window.patches(images, -np.inf).max(axis=(3, 4)).transpose(0, 3, 1, 2)[:, None]


@MODEL.op
@dataclass(frozen=True)
class AveragePool(ModelOp):
    """Mean over windows of x [1, c, h, w]; ``count_pads``: padding counts as zeros, else it is left out."""

    mnemonic: ClassVar[str] = "average_pool"
    window: Window
    count_pads: bool = False

    def result_type(self, x: RealType) -> RealType:
        return RealType((*x.shape[:2], *self.window.output_size(*x.shape[2:])))

    def evaluate(self, *operands: Reals) -> Reals:
        images = operands[0].reshape(-1, *operands[0].shape[2:]).transpose(0, 2, 3, 1)
        sums = self.window.patches(images, 0.0).sum(axis=(3, 4))
        if self.count_pads:
            means = sums / prod(self.window.kernel)
        else:
            means = sums / self.window.positions_covered(*images.shape[1:3])[None, :, :, None]
        return means.transpose(0, 3, 1, 2)[:, None]


@MODEL.op
@dataclass(frozen=True)
class Reshape(ModelOp):
    """The same elements in row-major order with another shape (also ONNX Flatten, Squeeze, Unsqueeze)."""

    mnemonic: ClassVar[str] = "reshape"
    shape: tuple[int, ...]

    def result_type(self, x: RealType) -> RealType:
        if prod(x.shape) != prod(self.shape):
            raise IRError(f"{x.shape} has other elements than {self.shape}")
        return RealType(self.shape)

    def evaluate(self, *operands: Reals) -> Reals:
        return operands[0].reshape(operands[0].shape[0], *self.shape)


@MODEL.op
@dataclass(frozen=True)
class Transpose(ModelOp):
    """Axes permuted as ``numpy.transpose``."""

    mnemonic: ClassVar[str] = "transpose"
    axes: tuple[int, ...]

    def result_type(self, x: RealType) -> RealType:
        if sorted(self.axes) != list(range(len(x.shape))):
            raise IRError(f"axes {self.axes} of shape {x.shape}")
        return RealType(tuple(x.shape[a] for a in self.axes))

    def evaluate(self, *operands: Reals) -> Reals:
        return operands[0].transpose(0, *(a + 1 for a in self.axes))


@MODEL.op
@dataclass(frozen=True)
class Softmax(ModelOp):
    """Softmax along ``axis``; after the last layer it runs on the host."""

    mnemonic: ClassVar[str] = "softmax"
    axis: int

    def result_type(self, x: RealType) -> RealType:
        return x

    def evaluate(self, *operands: Reals) -> Reals:
        axis = self.axis % (operands[0].ndim - 1) + 1
        powers = np.exp(operands[0] - operands[0].max(axis=axis, keepdims=True))
        return powers / powers.sum(axis=axis, keepdims=True)


@MODEL.op
@dataclass(frozen=True)
class ArgMax(ModelOp):
    """Index of the largest element along ``axis``, the first one on ties."""

    mnemonic: ClassVar[str] = "argmax"
    axis: int
    keepdims: bool = True

    def result_type(self, x: RealType) -> RealType:
        axis = self.axis % len(x.shape)
        kept = (1,) if self.keepdims else ()
        return RealType((*x.shape[:axis], *kept, *x.shape[axis + 1 :]))

    def evaluate(self, *operands: Reals) -> Reals:
        axis = self.axis % (operands[0].ndim - 1) + 1
        index = operands[0].argmax(axis=axis).astype(np.float64)
        return np.expand_dims(index, axis) if self.keepdims else index


def evaluate(graph: Graph, inputs: dict[str, Reals], wanted: tuple[str, ...] | None = None) -> dict[str, Reals]:
    """Float64 values of ``wanted`` nodes (default: the outputs); inputs are ``[samples, *shape]``."""
    wanted = graph.outputs if wanted is None else wanted
    last_use = {name: position for position, node in enumerate(graph.nodes) for name in node.inputs}
    values: dict[str, Reals] = dict(inputs)
    for position, node in enumerate(graph.nodes):
        if not isinstance(node.op, Input):
            assert isinstance(node.op, ModelOp)
            values[node.name] = node.op.evaluate(*(values[name] for name in node.inputs))
        for name in node.inputs:
            if last_use[name] == position and name not in wanted:
                values.pop(name, None)
    return {name: values[name] for name in wanted}
