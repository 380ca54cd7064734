"""Runs an integer graph: real inputs to codes, codes through the kernels, codes to real outputs."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt

from qcompile.emulator.encode import encode
from qcompile.emulator.kernels import KERNELS, PLANAR, Kernel
from qcompile.emulator.linear import fused
from qcompile.emulator.numbers import Numbers, from_planar, storage, to_planar
from qcompile.ir import integer
from qcompile.ir.graph import Graph, Node
from qcompile.numerics.curves import CURVES


@dataclass(frozen=True)
class _Plan:
    """``steps``: a value, how it is computed, of which values, and those that nobody needs after it.

    ``results`` names, for each value asked for, the step that holds it with the samples first.
    """

    steps: list[tuple[str, Kernel, tuple[str, ...], tuple[str, ...]]]
    results: dict[str, str]


_OTHER_LAYOUT = " in the other layout"  # no value of a graph has a name that ends so
_BLOCK_VALUES = 1 << 17  # values of the widest tensor per block: keeps a block's tensors in the caches


_LEAST_BLOCK = 8  # below that loops over a planar block's samples are too short


class Emulator:
    """The integer graph on NumPy. Arrays carry a sample axis in front; one input, any number of outputs."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.types: dict[str, integer.IntType] = dict(graph.types)
        self.inputs = tuple(n for n in graph.nodes if isinstance(n.op, integer.Input))
        self.outputs = tuple(graph.by_name[name] for name in graph.outputs)
        self._plan = self._planned(fuse=True)
        widest = max(prod(t.shape) for t in self.types.values())
        self._block = max(_LEAST_BLOCK, _BLOCK_VALUES // widest)

    def _planned(self, fuse: bool) -> _Plan:
        """The kernels in order; with ``fuse`` a product and the rescaling behind it are one."""
        made: dict[str, tuple[Kernel, list[str]]] = {}
        planar = {node.name for node in self.graph.nodes if type(node.op) in PLANAR and type(node.op) not in KERNELS}

        def laid_out(name: str, as_planar: bool) -> str:
            """The value in the layout asked for: itself, or what a new step makes of it."""
            if (name in planar) == as_planar:
                return name
            other = name + _OTHER_LAYOUT
            made.setdefault(other, (to_planar if as_planar else from_planar, [name]))
            return other

        for node in self.graph.nodes:
            if isinstance(node.op, integer.Input):
                continue
            if type(node.op) in PLANAR and any(name in planar for name in node.inputs):
                planar.add(node.name)
            as_planar = node.name in planar
            found = self._fused(node) if fuse else None
            if found is None:
                make = (PLANAR if as_planar else KERNELS)[type(node.op)]  # type: ignore[index]
                kernel, source = (
                    make(node.op, self.types[node.name], *(self.types[n] for n in node.inputs)),
                    node.inputs,
                )
            else:
                kernel, source, absorbed = found
                for name in absorbed:
                    made.pop(name, None)
            inputs = [laid_out(name, as_planar) for name in source]
            made[node.name] = kernel, inputs
        results = {name: laid_out(name, False) for name in (self.graph.outputs if fuse else self.types)}
        last = {name: reader for reader, (_, inputs) in made.items() for name in inputs}
        kept = set(results.values())
        steps = [
            (name, kernel, tuple(inputs), tuple(n for n in dict.fromkeys(inputs) if last[n] == name and n not in kept))
            for name, (kernel, inputs) in made.items()
        ]
        return _Plan(steps, results)

    def _fused(self, node: Node) -> tuple[Kernel, tuple[str, ...], list[str]] | None:
        """One kernel for a product, the rescaling behind it and a max pool behind that, none read by others.

        ``(kernel, operands, values that no longer exist)``.
        """
        pool = node.op.window if isinstance(node.op, integer.MaxPool) else None
        chain = [node]
        while isinstance(chain[-1].op, integer.MaxPool | integer.Rescale) and len(chain) < (2 if pool is None else 3):
            before = self.graph.by_name[chain[-1].inputs[0]]
            if len(self.graph.users[before.name]) > 1 or before.name in self.graph.outputs:
                return None
            chain.append(before)
        match [n.op for n in reversed(chain)]:
            case [integer.Conv() | integer.MatMul() as op, integer.Rescale() as after, *_]:
                product = chain[-1]
                kernel = fused(op, after, self.types[product.name], self.types[product.inputs[0]], pool)
                return None if kernel is None else (kernel, product.inputs, [n.name for n in chain[1:]])
        return None

    # Codes --------------------------------------------------------------------------------------------

    def encode(self, samples: npt.NDArray[Any]) -> Numbers:
        """Codes ``[samples, *shape]`` (channels last) of real inputs ``[samples, *ONNX shape]``; exact."""
        (node,) = self.inputs
        op = node.op
        assert isinstance(op, integer.Input)
        return encode(op, samples, storage(self.types[node.name]))

    def run(self, codes: Numbers) -> dict[str, Numbers]:
        """Output codes (int64) of input codes ``[samples, *shape]``."""
        kinds = {name: self.types[name] for name in self.graph.outputs}
        results = {name: np.empty((len(codes), *kind.shape), _outgoing(kind)) for name, kind in kinds.items()}
        for start in range(0, len(codes), self._block):
            for name, block in self._run_block(self._plan, codes[start : start + self._block]).items():
                results[name][start : start + self._block] = block
        return results

    def _run_block(self, plan: _Plan, codes: Numbers) -> dict[str, Numbers]:
        values: dict[str, Numbers] = {self.inputs[0].name: codes}
        for name, kernel, operands, done in plan.steps:
            values[name] = kernel(*(values[o] for o in operands))
            for spent in done:
                del values[spent]
        return {name: values[held] for name, held in plan.results.items()}

    def trace(self, codes: Numbers) -> dict[str, Numbers]:
        """Every tensor of the graph, for diagnosis and reports."""
        return {n: _integers(v) for n, v in self._run_block(self._planned(fuse=False), codes).items()}

    # Reals --------------------------------------------------------------------------------------------

    def decode(self, node: Node, codes: Numbers) -> npt.NDArray[np.float64]:
        """Real outputs ``[samples, *ONNX shape]`` of output codes, the host's part included."""
        op = node.op
        assert isinstance(op, integer.Output)
        scale = np.array([float(s) for s in op.scale])
        offset = np.array([float(o) for o in op.offset])
        real = np.asarray(codes, np.float64) * scale + offset
        values = real.reshape(len(codes), -1)[:, op.order.values.ravel()].reshape(-1, *op.onnx_shape)
        if op.host in CURVES:
            values = CURVES[op.host].fast(values)
        elif op.host == "softmax":
            powers = np.exp(values - values.max(axis=-1, keepdims=True))
            values = powers / powers.sum(axis=-1, keepdims=True)
        return values if op.grid is None else op.grid.values(op.grid.codes(values))

    def __call__(self, samples: npt.NDArray[Any]) -> dict[str, npt.NDArray[np.float64]]:
        """Real outputs of real inputs, by output name."""
        codes = self.run(self.encode(samples))
        return {node.name: self.decode(node, codes[node.name]) for node in self.outputs}


def _outgoing(kind: integer.IntType) -> np.dtype[Any]:
    return np.dtype(object if storage(kind).kind == "O" else np.int64)


def _integers(values: Numbers) -> Numbers:
    return values if values.dtype == object else values.astype(np.int64)
