"""Runs an integer graph: real inputs to codes, codes through the kernels, codes to real outputs."""

from __future__ import annotations

from fractions import Fraction
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt

from qcompile.emulator.kernels import KERNELS, Kernel, Numbers, storage
from qcompile.ir import integer
from qcompile.ir.graph import Graph, Node
from qcompile.numerics.rounding import Rounding

_BLOCK_VALUES = 1 << 17  # values of the widest tensor per block: keeps a block's tensors in the caches


class Emulator:
    """The integer graph on NumPy. Arrays carry a sample axis in front; one input, any number of outputs."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.types: dict[str, integer.IntType] = dict(graph.types)
        self.inputs = tuple(n for n in graph.nodes if isinstance(n.op, integer.Input))
        self.outputs = tuple(graph.by_name[name] for name in graph.outputs)
        self._steps: list[tuple[str, Kernel, tuple[str, ...], tuple[str, ...]]] = []
        last: dict[str, int] = {}
        for position, node in enumerate(graph.nodes):
            last.update(dict.fromkeys(node.inputs, position))
        for position, node in enumerate(graph.nodes):
            if isinstance(node.op, integer.Input):
                continue
            kernel = KERNELS[type(node.op)](  # type: ignore[index]
                node.op, self.types[node.name], *(self.types[name] for name in node.inputs)
            )
            done = tuple(n for n in dict.fromkeys(node.inputs) if last[n] == position)
            self._steps.append((node.name, kernel, node.inputs, done))
        widest = max(prod(t.shape) for t in self.types.values())
        self._block = max(1, _BLOCK_VALUES // widest)

    # Codes --------------------------------------------------------------------------------------------

    def encode(self, samples: npt.NDArray[Any]) -> Numbers:
        """Codes ``[samples, *shape]`` (channels last) of real inputs ``[samples, *ONNX shape]``; exact."""
        (node,) = self.inputs
        op = node.op
        assert isinstance(op, integer.Input)
        flat = np.asarray(samples).reshape(len(samples), -1)
        arranged = flat[:, op.order.values.ravel()].reshape(-1, *op.order.shape)
        return _encode(op, arranged).astype(storage(self.types[node.name]))

    def run(self, codes: Numbers) -> dict[str, Numbers]:
        """Output codes (int64) of input codes ``[samples, *shape]``."""
        blocks: list[dict[str, Numbers]] = []
        for start in range(0, len(codes), self._block):
            blocks.append(self._run_block(codes[start : start + self._block]))
        if not blocks:
            return {n.name: np.zeros((0, *self.types[n.name].shape), np.int64) for n in self.outputs}
        return {name: np.concatenate([b[name] for b in blocks]) for name in self.graph.outputs}

    def _run_block(self, codes: Numbers) -> dict[str, Numbers]:
        values: dict[str, Numbers] = {self.inputs[0].name: codes}
        for name, kernel, operands, done in self._steps:
            values[name] = kernel(*(values[o] for o in operands))
            for spent in done:
                del values[spent]
        return {name: _integers(values[name]) for name in self.graph.outputs}

    def trace(self, codes: Numbers) -> dict[str, Numbers]:
        """Every tensor of the graph, for diagnosis and reports."""
        values: dict[str, Numbers] = {self.inputs[0].name: codes}
        for name, kernel, operands, _ in self._steps:
            values[name] = kernel(*(values[o] for o in operands))
        return {name: _integers(v) for name, v in values.items()}

    # Reals --------------------------------------------------------------------------------------------

    def decode(self, node: Node, codes: Numbers) -> npt.NDArray[np.float64]:
        """Real outputs ``[samples, *ONNX shape]`` of output codes, the host's part included."""
        op = node.op
        assert isinstance(op, integer.Output)
        scale = np.array([float(s) for s in op.scale])
        offset = np.array([float(o) for o in op.offset])
        real = np.asarray(codes, np.float64) * scale + offset
        values = real.reshape(len(codes), -1)[:, op.order.values.ravel()].reshape(-1, *op.onnx_shape)
        if op.host == "softmax":
            powers = np.exp(values - values.max(axis=-1, keepdims=True))
            values = powers / powers.sum(axis=-1, keepdims=True)
        return values if op.grid is None else op.grid.values(op.grid.codes(values))

    def __call__(self, samples: npt.NDArray[Any]) -> dict[str, npt.NDArray[np.float64]]:
        """Real outputs of real inputs, by output name."""
        codes = self.run(self.encode(samples))
        return {node.name: self.decode(node, codes[node.name]) for node in self.outputs}


def _integers(values: Numbers) -> Numbers:
    return values if values.dtype == object else values.astype(np.int64)


def _encode(op: integer.Input, values: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    """``quantizer.code(affine(x))``; in float64 with one exact correction near every rounding boundary."""
    scale, offset = op.affine.scale, op.affine.offset
    if scale == (Fraction(1),) and offset == (Fraction(0),):
        return op.quantizer.codes(values)
    approximate = np.asarray(values, np.float64) * np.array([float(s) for s in scale])
    approximate += np.array([float(o) for o in offset])
    codes = op.quantizer.codes(approximate)
    ratio = approximate / float(op.quantizer.scale[0]) + float(op.quantizer.zero_point[0])
    ties = np.floor(ratio) + 0.5
    if op.quantizer.rounding in (Rounding.FLOOR, Rounding.CEIL, Rounding.ZERO, Rounding.AWAY):
        ties = np.rint(ratio)
    near = np.abs(ratio - ties) < 1e-9 * (1 + np.abs(ratio))
    for place in zip(*np.nonzero(near), strict=True):
        real = op.affine.apply(Fraction(float(values[place])), int(place[-1]))
        codes[place] = op.quantizer.code(real)
    return codes
