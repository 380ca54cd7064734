"""From a path to an ONNX protobuf, with a diagnostic for everything that can be wrong with a file."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import onnx
import onnx.inliner
from onnx.external_data_helper import load_external_data_for_model

from qcompile.errors import CompileError, fail

_HELP = "give an ONNX file, as torch.onnx.export, tf2onnx or Brevitas write it"


def load_model(source: str | os.PathLike[str] | onnx.ModelProto) -> tuple[onnx.ModelProto, str]:
    """The model with its external data, functions inlined, and a name for it; QC101 where that fails."""
    if isinstance(source, onnx.ModelProto):
        model, name = source, source.graph.name or "model"
    else:
        model, name = _from_file(Path(source)), Path(source).stem
    if not model.graph.output:
        raise fail("QC101", name, "the file holds no ONNX graph with outputs", _HELP)
    if model.functions:
        # A function is a sub-graph with a name: its meaning is its body.
        model = onnx.inliner.inline_local_functions(model)
    return model, name


def _from_file(path: Path) -> onnx.ModelProto:
    where = str(path)
    try:
        content = path.read_bytes()
    except IsADirectoryError:
        raise fail("QC101", where, "is a folder", _HELP) from None
    except OSError as error:
        raise fail("QC101", where, f"cannot be read: {error.strerror or error}", _HELP) from None
    raise_if_other_kind(content[:64], where)
    model = onnx.ModelProto()
    try:
        model.ParseFromString(content)
    # protobuf's DecodeError; its module has no types, and nothing else can fail here.
    except Exception:
        raise _damaged(where, len(content)) from None
    # The operator set versions are the last thing in a file: without them it was cut, though it parses.
    if not model.ir_version or not model.opset_import:
        raise _damaged(where, len(content))
    if not all(isinstance(text, str) for text in _texts(model.graph)):
        # protobuf gives bytes for what is not UTF-8.
        raise _damaged(where, len(content))
    try:
        load_external_data_for_model(model, str(path.parent))
    except (OSError, onnx.checker.ValidationError, ValueError) as error:
        first = str(error).strip().splitlines()[0]
        raise fail(
            "QC101",
            where,
            f"its weights lie in another file that cannot be read: {first}",
            "keep the data file beside the .onnx file, or save the model with its weights inside",
        ) from None
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
