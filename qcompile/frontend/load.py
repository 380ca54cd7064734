"""From a path to an ONNX protobuf, with a diagnostic for everything that can be wrong with a file."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import Any

import numpy.typing as npt
import onnx
import onnx.inliner
from onnx.external_data_helper import load_external_data_for_tensor

from qcompile.errors import CompileError, fail
from qcompile.frontend.ordering import REEXPORT

_HELP = "give an ONNX file, as torch.onnx.export, tf2onnx or Brevitas write it"


@dataclass(frozen=True)
class Loaded:
    """A model with its functions inlined. ``path`` is its file, or None for a protobuf that the caller owns.

    Weights are taken out tensor by tensor (`array_of`), so that large ones are in memory once.
    """

    model: Any
    name: str
    path: Path | None

    def array_of(self, tensor: Any) -> npt.NDArray[Any]:
        """The elements of ``tensor``; its data in the protobuf is given up where that came from a file."""
        if self.path is not None and tensor.data_location == onnx.TensorProto.EXTERNAL:
            self._fetch(tensor, self.path)
        try:
            array: npt.NDArray[Any] = onnx.numpy_helper.to_array(tensor)
        except (ValueError, TypeError, KeyError, OSError, onnx.checker.ValidationError) as error:
            first = str(error).splitlines()[0]
            raise fail("QC107", tensor.name, f"its elements cannot be read: {first}", REEXPORT) from None
        if self.path is not None:
            tensor.ClearField("raw_data")
        return array

    def _fetch(self, tensor: Any, path: Path) -> None:
        try:
            load_external_data_for_tensor(tensor, str(path.parent))
        except (OSError, onnx.checker.ValidationError, ValueError) as error:
            first = str(error).strip().splitlines()[0]
            raise fail(
                "QC101",
                str(path),
                f"its weights lie in another file that cannot be read: {first}",
                "keep the data file beside the .onnx file, or save the model with its weights inside",
            ) from None


def load_model(source: str | os.PathLike[str] | onnx.ModelProto) -> Loaded:
    """The model in ``source``; QC101 where there is none."""
    if isinstance(source, onnx.ModelProto):
        model, name, path = source, source.graph.name or "model", None
    else:
        path = Path(source)
        model, name = _from_file(path), path.stem
    if not model.graph.output:
        raise fail("QC101", name, "the file holds no ONNX graph with outputs", _HELP)
    if model.functions:
        # A function is a sub-graph with a name: its meaning is its body.
        model = onnx.inliner.inline_local_functions(model)
    return Loaded(model, name, path)


def _from_file(path: Path) -> onnx.ModelProto:
    where = str(path)
    model = onnx.ModelProto()
    try:
        with path.open("rb") as file:
            raise_if_other_kind(file.read(64), where)
            with mmap(file.fileno(), 0, access=ACCESS_READ) as content, memoryview(content) as view:
                size = len(view)
                # protobuf's DecodeError; its module has no types, and nothing else can fail here.
                try:
                    model.ParseFromString(view)
                except Exception:
                    raise _damaged(where, size) from None
    except IsADirectoryError:
        raise fail("QC101", where, "is a folder", _HELP) from None
    except OSError as error:
        raise fail("QC101", where, f"cannot be read: {error.strerror or error}", _HELP) from None
    # The operator set versions are the last thing in a file: without them it was cut, though it parses.
    if not model.ir_version or not model.opset_import:
        raise _damaged(where, size)
    if not all(isinstance(text, str) for text in _texts(model.graph)):
        # protobuf gives bytes for what is not UTF-8.
        raise _damaged(where, size)
    return model


def _texts(graph: Any) -> Iterator[Any]:
    """The names in a graph that the import uses."""
    for node in graph.node:
        yield from (node.name, node.op_type, node.domain, *node.input, *node.output)
        yield from (attribute.name for attribute in node.attribute)
    for entries in (graph.input, graph.output, graph.initializer):
        yield from (entry.name for entry in entries)


def _damaged(where: str, size: int) -> CompileError:
    return fail("QC101", where, f"its {size} bytes are not an ONNX protobuf, or were cut short", _HELP)


def raise_if_other_kind(head: bytes, where: str) -> None:
    """QC101 that names the kind of file, where ``head`` gives it away."""
    kinds = {
        b"version https://git-lfs": ("a Git LFS pointer", "fetch the file itself with `git lfs pull`"),
        b"PK\x03\x04": ("a zip archive (PyTorch saves those)", "export the network with torch.onnx.export"),
        b"\x80\x02": ("a Python pickle", "export the network with torch.onnx.export"),
        b"\x89HDF": ("an HDF5 file (Keras saves those)", "convert the network with tf2onnx"),
    }
    for start, (kind, help) in kinds.items():
        if head.startswith(start):
            raise fail("QC101", where, f"is {kind}, not ONNX", help)
    if head[4:8] == b"TFL3":
        raise fail("QC101", where, "is a TFLite file, not ONNX", "convert it with tflite2onnx or tf2onnx --tflite")
    if not head:
        raise fail("QC101", where, "is empty", _HELP)
