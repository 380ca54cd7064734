"""What the frontend hands over: the model graph and the facts about the file that the graph does not hold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from qcompile.ir.graph import Graph
from qcompile.ir.model import Reals


@dataclass(frozen=True)
class TensorInfo:
    """A network input or output. ``name`` and ``shape`` are ONNX's, ``node`` is the model graph's.

    ``dtype`` is the NumPy name of the ONNX element type (``float32``, ``int8``, ``float8_e4m3fn``, ...). The
    model graph's value at ``node`` is the ONNX value itself, as a real number: codes where the ONNX tensor
    holds codes.
    """

    name: str
    node: str
    shape: tuple[int, ...]
    dtype: str


@dataclass(frozen=True)
class Statistics:
    """Per channel, what training saw of a batch normalization's result."""

    mean: Reals
    deviation: Reals


@dataclass(frozen=True)
class Imported:
    """A model graph that was read from ONNX.

    ``quantized``: the file brings quantizers for activations, so none are to be added. ``dialects`` names
    what was met, of ``qdq``, ``qoperator``, ``qonnx``, ``qcdq`` and ``multithreshold``, sorted; empty for a
    float network. ``opset`` is the version of the default domain. ``statistics``: of the batch normalizations, by the
    node of their result.
    """

    graph: Graph
    inputs: tuple[TensorInfo, ...]
    outputs: tuple[TensorInfo, ...]
    quantized: bool
    dialects: tuple[str, ...]
    opset: int
    ir_version: int
    producer: str
    statistics: Mapping[str, Statistics] = field(default_factory=dict, compare=False)
