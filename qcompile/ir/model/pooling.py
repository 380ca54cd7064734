"""Pooling over windows of images in the model graph."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import ClassVar

import numpy as np

from qcompile.ir.model.base import MODEL, ModelOp, Reals, RealType
from qcompile.ir.window import Window


def _images(x: Reals) -> Reals:
    """[samples, n, c, h, w] as [samples * n, h, w, c]."""
    return x.reshape(-1, *x.shape[2:]).transpose(0, 2, 3, 1)


@MODEL.op
@dataclass(frozen=True)
class MaxPool(ModelOp):
    """Maximum over windows of x [1, c, h, w]; padding never wins."""

    mnemonic: ClassVar[str] = "max_pool"
    window: Window

    def result_type(self, x: RealType) -> RealType:
        return RealType((*x.shape[:2], *self.window.output_size(*x.shape[2:])))

    def evaluate(self, *operands: Reals) -> Reals:
        (x,) = operands
        best: Reals = self.window.patches(_images(x), -np.inf).max(axis=(3, 4)).transpose(0, 3, 1, 2)
        return best.reshape(*x.shape[:2], *best.shape[1:])


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
        (x,) = operands
        images = _images(x)
        sums = self.window.patches(images, 0.0).sum(axis=(3, 4))
        counted = prod(self.window.kernel)
        covered = self.window.positions_covered(*images.shape[1:3])[None, :, :, None]
        means: Reals = (sums / (counted if self.count_pads else covered)).transpose(0, 3, 1, 2)
        return means.reshape(*x.shape[:2], *means.shape[1:])
