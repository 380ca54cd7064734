"""The walk over an ONNX graph: every node is folded, imported by its handler, or refused; all findings at once."""

from __future__ import annotations

import os
from functools import cached_property
from typing import Any

import numpy as np
import onnx
import onnx.shape_inference

import qcompile.frontend.operators  # noqa: F401  (fills the table)
from qcompile.errors import Collector, CompileError, fail
from qcompile.frontend.advice import advice
from qcompile.frontend.builder import Builder
from qcompile.frontend.call import Call
from qcompile.frontend.fold import UNREPEATABLE, fold
from qcompile.frontend.grids import MINIFLOATS, limits_of
from qcompile.frontend.imported import Imported, TensorInfo
from qcompile.frontend.load import Loaded, load_model
from qcompile.frontend.malformed import blame
from qcompile.frontend.ordering import REEXPORT, labels_of, ordered
from qcompile.frontend.registry import OPERATORS, STANDARD, canonical_domain
from qcompile.frontend.values import Absent, Known, Live, Value
from qcompile.ir import model


def read(source: str | os.PathLike[str] | onnx.ModelProto, diagnostics: Collector | None = None) -> Imported:
    """The model graph of an ONNX file or protobuf.

    Raises `CompileError` with every finding: all nodes are checked, also behind one that is refused. Warnings
    go to ``diagnostics``.
    """
    return _Reader(load_model(source), Collector() if diagnostics is None else diagnostics).run()


class _Reader:
    def __init__(self, loaded: Loaded, findings: Collector) -> None:
        self.loaded = loaded
        self.proto = loaded.model
        self.graph = loaded.model.graph
        self.findings = findings
        self.builder = Builder()
        self.values: dict[str, Value] = {}
        self.dialects: set[str] = set()
        self.versions = {entry.domain: entry.version for entry in self.proto.opset_import}
        self.versions.setdefault(STANDARD, self.versions.get("ai.onnx", 1))

    def run(self) -> Imported:
        for tensor in self.graph.initializer:
            self._initializer(tensor)
        inputs = [self._input(i) for i in self.graph.input if i.name not in self.values]
        self.findings.check()
        self._walk(self.graph)
        self.findings.check()
        outputs = []
        for output in self.graph.output:
            with self.findings.collecting():
                outputs.append(self._output(output.name))
        self.findings.check()
        graph = self.builder.finish(self.loaded.name, tuple(o.node for o in outputs))
        return Imported(
            graph,
            tuple(i for i in inputs if i is not None),
            tuple(outputs),
            _has_activation_quantizers(graph),
            tuple(sorted(self.dialects)),
            self.versions[STANDARD],
            self.proto.ir_version,
            f"{self.proto.producer_name} {self.proto.producer_version}".strip(),
            {name: held for name, held in self.builder.statistics.items() if name in graph.by_name},
        )

    # -- what goes in

    def _initializer(self, tensor: Any) -> None:
        self.values[tensor.name] = Absent()
        with self.findings.collecting():
            array = self.loaded.array_of(tensor)
            self.values[tensor.name] = Known(array, tensor.name, array.dtype)

    def _input(self, entry: Any) -> TensorInfo | None:
        """Declares a network input; the first dimension is 1 where the file leaves it open."""
        kind = entry.type.tensor_type
        if not entry.type.HasField("tensor_type") or not kind.HasField("shape"):
            self.findings.error("QC103", entry.name, "the input has no shape", "export with a fixed input shape")
            self.values[entry.name] = Absent()
            return None
        shape = [d.dim_value if d.HasField("dim_value") else 0 for d in kind.shape.dim]
        if shape and shape[0] <= 0:
            shape[0] = 1
        open_ones = [kind.shape.dim[axis].dim_param or f"axis {axis}" for axis, size in enumerate(shape) if size <= 0]
        if open_ones:
            self.findings.error(
                "QC103",
                entry.name,
                f"the input's size is open in {', '.join(open_ones)}",
                "export with a fixed input shape, or set it with "
                "`python -m onnxruntime.tools.make_dynamic_shape_fixed`",
            )
            self.values[entry.name] = Absent()
            return None
        dtype = _numpy_type(kind.elem_type)
        if dtype is None:
            names = {number: name for name, number in onnx.TensorProto.DataType.items()}
            self.findings.error(
                "QC104",
                entry.name,
                f"the input has elements of type {names.get(kind.elem_type, kind.elem_type)}",
                "inputs of numbers are supported",
            )
            self.values[entry.name] = Absent()
            return None
        name = self.builder.unique(entry.name)
        live = self.builder.emit(model.Input(tuple(shape), limits_of(dtype)), (), name, (), dtype)
        self.values[entry.name] = live
        return TensorInfo(entry.name, live.name, live.shape, dtype.name)

    # -- nodes

    def _walk(self, graph: Any, prefix: str = "") -> None:
        """Imports the nodes of ``graph``, inner labels behind ``prefix``."""
        nodes = list(graph.node)
        labels = labels_of(nodes, prefix)
        for index in ordered(nodes, labels, self.values, self.findings):
            node, label = nodes[index], labels[index]
            try:
                if not self._took_branch(node, label):
                    self._import(node, label)
            except CompileError as error:
                self.findings.include(error)
                self._stand_in(node, label)

    def _took_branch(self, node: Any, label: str) -> bool:
        """An If whose condition is known is the branch that it takes."""
        if node.op_type != "If" or node.domain not in (STANDARD, "ai.onnx"):
            return False
        condition = self.values.get(node.input[0]) if node.input else None
        branches = {attribute.name: attribute.g for attribute in node.attribute}
        if not isinstance(condition, Known) or not {"then_branch", "else_branch"} <= set(branches):
            return False
        branch = branches["then_branch" if condition.plain().any() else "else_branch"]
        for tensor in branch.initializer:
            self._initializer(tensor)
        self._walk(branch, f"{label}/")
        for name, inner in zip(node.output, branch.output, strict=False):
            self.values[name] = self.values.get(inner.name, Absent())
        return True

    def _import(self, node: Any, label: str) -> None:
        operands = tuple(self.values.get(name, Absent()) if name else None for name in node.input)
        self.values.update({name: Absent() for name in node.output if name})
        domain = canonical_domain(node.domain, node.op_type)
        version = self.versions.get(node.domain, self.versions[STANDARD] if domain == STANDARD else 1)
        call = Call(node, label, version, operands, self.builder, self.dialects)
        entry = OPERATORS.get((domain, node.op_type))
        present = [o for o in operands if o is not None]
        all_known = all(isinstance(o, Known) for o in present) and node.op_type not in UNREPEATABLE
        if entry is None and not (all_known and domain == STANDARD):
            raise self._unsupported(call)
        if any(isinstance(o, Absent) for o in present):
            return
        if all_known and (entry is None or entry.folds):
            results = fold(call)
        else:
            assert entry is not None
            try:
                found = entry.handler(call)
            except CompileError:
                raise
            except Exception as error:
                verdict = blame(call, error)
                if verdict is None:
                    raise
                raise verdict from error
            results = found if isinstance(found, tuple) else (found,)
        for name, value in zip(node.output, results, strict=False):
            self.values[name] = value

    def _unsupported(self, call: Call) -> CompileError:
        node = call.node
        spelled = f"{node.domain}::{node.op_type}" if node.domain else node.op_type
        return fail("QC102", call.name, f"operator {spelled} is not supported", advice(node.op_type))

    def _stand_in(self, node: Any, label: str) -> None:
        """After a refusal: inputs in place of the results, where ONNX knows their shapes.

        The graph is lost, but nodes behind the refused one are still checked, so that the user sees all.
        """
        if all(isinstance(self.values.get(name), Known) for name in node.input if name):
            return
        for name in node.output:
            shape, dtype = self.inferred.get(name, (None, None))
            if shape is not None and dtype is not None:
                self.values[name] = self.builder.emit(model.Input(shape), (), name, (label,), dtype)

    @cached_property
    def inferred(self) -> dict[str, tuple[tuple[int, ...], np.dtype[Any]]]:
        """Shapes by ONNX's own inference, open dimensions taken as 1."""
        try:
            graph = onnx.shape_inference.infer_shapes(self.proto).graph
        # It is asked after an error, for the sake of better diagnostics: whatever it raises, there are none.
        except Exception:
            return {}
        found = {}
        for entry in (*graph.value_info, *graph.output):
            kind = entry.type.tensor_type
            dtype = _numpy_type(kind.elem_type)
            if kind.HasField("shape") and dtype is not None:
                found[entry.name] = (tuple(max(1, d.dim_value) for d in kind.shape.dim), dtype)
        return found

    # -- what comes out

    def _output(self, name: str) -> TensorInfo:
        value = self.values.get(name)
        if not isinstance(value, Known | Live):
            raise CompileError() if isinstance(value, Absent) else _no_such_output(name)
        call = Call(onnx.NodeProto(), name, 1, (value,), self.builder, self.dialects)
        live = call.real(0)
        return TensorInfo(name, live.name, live.shape, live.dtype.name)


def _no_such_output(name: str) -> CompileError:
    return fail("QC107", name, "the output is made by no node", REEXPORT)


def _numpy_type(kind: int) -> np.dtype[Any] | None:
    """The NumPy type of an ONNX element type that holds numbers; None for any other."""
    try:
        dtype = np.dtype(onnx.helper.tensor_dtype_to_np_dtype(kind))
    except KeyError:
        return None
    numbers = dtype.kind in "fiub" or dtype.name in MINIFLOATS or limits_of(dtype) is not None
    return dtype if numbers or dtype.name == "bfloat16" else None


def _has_activation_quantizers(graph: Any) -> bool:
    """Whether any quantizer's operand depends on a network input."""
    live: set[str] = set()
    for node in graph.nodes:
        if isinstance(node.op, model.Input) or any(name in live for name in node.inputs):
            live.add(node.name)
            if isinstance(node.op, model.Quantize):
                return True
    return False
