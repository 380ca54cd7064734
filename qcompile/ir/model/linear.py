"""Linear operations of the model graph."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from qcompile.ir.graph import IRError
from qcompile.ir.model.base import MODEL, ModelOp, Reals, RealType, aligned, broadcast
from qcompile.ir.window import Window


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
        if w.shape[0] != 1:
            raise IRError("weights must be constant")
        patches = self.window.patches(x.reshape(-1, *x.shape[2:]).transpose(0, 2, 3, 1), 0.0)
        images, rows, columns = patches.shape[:3]
        outs = w.shape[1] // self.groups
        per = x.shape[2] // self.groups
        results = []
        for group in range(self.groups):
            part = patches[..., group * per : (group + 1) * per].reshape(images * rows * columns, -1)
            kernel = w[0, group * outs : (group + 1) * outs].transpose(2, 3, 1, 0).reshape(-1, outs)
            results.append(part @ kernel)
        flat = np.concatenate(results, axis=1).reshape(*x.shape[:2], rows, columns, -1)
        return flat.transpose(0, 1, 4, 2, 3)


@MODEL.op
@dataclass(frozen=True)
class MatMul(ModelOp):
    """Matrix product of the last two axes, leading axes broadcast, as ``numpy.matmul`` on ranks >= 2."""

    mnemonic: ClassVar[str] = "matmul"

    def result_type(self, a: RealType, b: RealType) -> RealType:
        if min(len(a.shape), len(b.shape)) < 2 or a.shape[-1] != b.shape[-2]:
            raise IRError(f"shapes {a.shape} and {b.shape} do not multiply")
        leading = broadcast(RealType(a.shape[:-2]), RealType(b.shape[:-2]))
        return RealType((*leading.shape, a.shape[-2], b.shape[-1]))

    def evaluate(self, *operands: Reals) -> Reals:
        return np.asarray(np.matmul(*aligned(*operands)), np.float64)
