"""Reads ONNX, in every dialect, into a model graph. The only package that imports onnx."""

from qcompile.frontend.imported import Imported, TensorInfo
from qcompile.frontend.inputs import single_input
from qcompile.frontend.load import load_model
from qcompile.frontend.read import read

__all__ = ["Imported", "TensorInfo", "load_model", "read", "single_input"]
