"""Builds the model graph: unique names, one node per constant, no quantizer twice."""

from __future__ import annotations

from math import isinf, isnan
from typing import Any

import numpy as np
import numpy.typing as npt

from qcompile.errors import fail
from qcompile.frontend.imported import Statistics
from qcompile.frontend.values import Grid, Known, Live
from qcompile.ir import model
from qcompile.ir.array import Array
from qcompile.ir.graph import Graph, IRError, Node

_MOVES = (model.Reshape, model.Transpose, model.Take, model.MaxPool)
FLOAT = np.dtype(np.float32)


class Builder:
    """Grows a graph node by node; every value's shape is known at once."""

    def __init__(self) -> None:
        self._nodes: dict[str, Node] = {}
        self._shapes: dict[str, tuple[int, ...]] = {}
        self._constants: dict[int, tuple[Known, Live]] = {}
        self.statistics: dict[str, Statistics] = {}

    def unique(self, wanted: str) -> str:
        """``wanted``, or with a number behind where that name is taken."""
        name, count = wanted, 1
        while name in self._nodes:
            count += 1
            name = f"{wanted}_{count}"
        return name

    def emit(
        self,
        op: model.ModelOp,
        operands: tuple[Live, ...],
        name: str,
        origin: tuple[str, ...],
        dtype: np.dtype[Any] | None = None,
    ) -> Live:
        """A new node; QC107 where its operands' shapes do not fit. ``dtype`` defaults to the first operand's."""
        try:
            found = op.result_type(*(model.RealType(o.shape) for o in operands))
        except IRError as error:
            where = origin[0] if origin else name
            raise fail(
                "QC107",
                where,
                f"shapes do not fit: {error}",
                "check the file with onnx.checker.check_model(model, full_check=True) and export it again",
            ) from None
        name = self.unique(name)
        self._nodes[name] = Node(name, op, tuple(o.name for o in operands), origin)
        self._shapes[name] = found.shape
        if dtype is None:
            dtype = operands[0].dtype if operands else FLOAT
        return Live(name, found.shape, dtype)

    def constant(self, known: Known) -> Live:
        """The node of a known real tensor: `Constant`, behind its quantizer where it has one."""
        held = self._constants.get(id(known))
        if held is not None:
            return held[1]
        array = as_float64(known.array, known.name)
        live = self.emit(model.Constant(Array(array)), (), known.name, known.origin, known.dtype)
        if known.grid is not None:
            label = known.origin[-1] if known.origin else f"{known.name}.quantized"
            live = self.quantize(live, known.grid, label, known.origin)
        # The object is kept beside its node so that its id cannot be taken by another one.
        self._constants[id(known)] = (known, live)
        return live

    def quantize(self, x: Live, grid: Grid, name: str, origin: tuple[str, ...]) -> Live:
        """``x`` on ``grid``; ``x`` itself where it lies there already."""
        if grid.quantizer.idempotent and self._lies_on(x.name, grid):
            return x
        return self.emit(model.Quantize(grid.quantizer, grid.axis), (x,), name, origin)

    def computes(self, result: Live, op: model.ModelOp, *operands: Live) -> bool:
        """Whether ``result`` is ``op`` of exactly these operands."""
        node = self._nodes[result.name]
        return node.op == op and node.inputs == tuple(o.name for o in operands)

    def node(self, name: str) -> Node:
        """The node that makes ``name``."""
        return self._nodes[name]

    def live(self, name: str, dtype: np.dtype[Any]) -> Live:
        """The real value of a node."""
        return Live(name, self._shapes[name], dtype)

    def _lies_on(self, name: str, grid: Grid) -> bool:
        node = self._nodes[name]
        axis = grid.axis
        while isinstance(node.op, _MOVES) and axis is None:
            node = self._nodes[node.inputs[0]]
        return isinstance(node.op, model.Quantize) and (node.op.quantizer, node.op.axis) == (grid.quantizer, axis)

    def finish(self, name: str, outputs: tuple[str, ...]) -> Graph:
        graph = Graph(model.MODEL, name, tuple(self._nodes.values()), outputs)
        return graph.without_dead_nodes().verify()


def as_float64(array: npt.NDArray[Any], where: str) -> npt.NDArray[np.float64]:
    """The exact float64 of a constant's elements; QC106 for NaN or infinity."""
    with np.errstate(invalid="ignore"):  # float16 NaN
        wide = np.asarray(array).astype(np.float64)
    if not np.isfinite(wide).all():
        bad = wide[~np.isfinite(wide)]
        kinds = [word for word, test in (("NaN", isnan), ("infinity", isinf)) if any(test(float(v)) for v in bad)]
        raise fail(
            "QC106",
            where,
            f"{bad.size} of its {wide.size} elements are {' or '.join(kinds)}",
            "train or export again; a network with such weights has no fixed-point meaning",
        )
    wide.flags.writeable = False  # so that the IR's array need not copy it
    return wide
