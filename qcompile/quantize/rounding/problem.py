"""Rounding a layer's weights as a problem: weights, the levels they may take, and what a mistake costs."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from qcompile.ir.model import Reals


@dataclass(frozen=True)
class Problem:
    """Choose for every weight one of its levels so that the layer's results move little.

    ``weights`` [groups, rows, in]: rows are outputs, and the rows of a group read the same operands. A weight
    may become any of ``levels`` (ascending) times its ``scale`` (of the weights' shape). ``moments``
    [groups, in, in]: the mean of v·vᵀ over the operand vectors v of a group. A row's error is dᵀ·moments·d for
    its mistake d: the mean squared error of that output.
    """

    weights: Reals
    scale: Reals
    levels: Reals
    moments: Reals

    @cached_property
    def _middles(self) -> Reals:
        middles: Reals = (self.levels[1:] + self.levels[:-1]) / 2
        return middles

    def index(self, values: Reals, place: int | slice = slice(None)) -> npt.NDArray[np.int64]:
        """Which level is next to each of ``values``, those of input ``place``; of equally near ones the lower."""
        return np.searchsorted(self._middles, values / self.scale[:, :, place], side="left")

    def nearest(self, values: Reals, place: int | slice = slice(None)) -> Reals:
        """The reachable weight next to each of ``values``, those of input ``place``."""
        found: Reals = self.levels[self.index(values, place)] * self.scale[:, :, place]
        return found

    def errors(self, chosen: Reals) -> Reals:
        """Of each row [groups, rows], for weights ``chosen`` in place of the real ones."""
        missed = chosen - self.weights
        errors: Reals = ((missed @ self.moments) * missed).sum(axis=2)
        return errors

    @property
    def damped(self) -> Reals:
        """The moments with 1 % of their mean diagonal added to it: invertible whatever the samples."""
        return damped(self.moments)


def damped(moments: Reals, part: float = 0.01) -> Reals:
    """Second moments [groups, in, in] with ``part`` of their mean diagonal added to it: invertible."""
    width = moments.shape[1]
    mean = np.trace(moments, axis1=1, axis2=2) / width
    added = part * np.where(mean > 0, mean, 1.0)
    found: Reals = moments + added[:, None, None] * np.eye(width)
    return found
