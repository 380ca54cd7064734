"""One ONNX node on its way into the model graph: what its handler may ask for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx

from qcompile.errors import CompileError, fail
from qcompile.frontend.builder import Builder
from qcompile.frontend.values import Absent, Grid, Known, Live, Value
from qcompile.ir import model
from qcompile.ir.array import Array


@dataclass(frozen=True)
class Call:
    """``name`` is the node's own, or made up and stable; ``version`` is its domain's opset."""

    node: Any
    name: str
    version: int
    operands: tuple[Value | None, ...]
    builder: Builder
    dialects: set[str]

    @property
    def op_type(self) -> str:
        return str(self.node.op_type)

    # -- attributes

    def attribute(self, name: str, default: Any = None) -> Any:
        """The attribute as a Python value (bytes become str), or ``default``."""
        for attribute in self.node.attribute:
            if attribute.name == name:
                value = onnx.helper.get_attribute_value(attribute)
                return value.decode(errors="replace") if isinstance(value, bytes) else value
        return default

    # -- operands

    def has(self, index: int) -> bool:
        return index < len(self.operands) and self.operands[index] is not None

    def value(self, index: int) -> Known | Live:
        """The operand; QC107 where the node leaves it out."""
        found = self.operands[index] if index < len(self.operands) else None
        if found is None or isinstance(found, Absent):
            raise fail(
                "QC107",
                self.name,
                f"{self.op_type} has no input {index}",
                "check the file with onnx.checker.check_model and export it again",
            )
        return found

    def real(self, index: int) -> Live:
        """The operand as a node of the model graph."""
        return self.as_real(self.value(index))

    def as_real(self, value: Known | Live) -> Live:
        """``value`` as a node whose real value is the ONNX tensor."""
        if isinstance(value, Known):
            if value.coded:
                value = Known(value.plain(), value.name, value.dtype, origin=value.origin)
            return self.builder.constant(value)
        if value.codes is None:
            return value
        return self._codes_as_real(value, value.codes)

    def _codes_as_real(self, value: Live, grid: Grid) -> Live:
        """Codes as numbers: ``real / scale + zero``, exact because the real value lies on the grid."""
        plain = Live(value.name, value.shape, value.dtype)
        scale, zero = grid.real_scale(len(value.shape))
        if not (scale == 1).all():
            plain = self.emit(model.Div(), plain, self.scalar(scale, "scale"), part="codes")
        if zero.any():
            plain = self.emit(model.Add(), plain, self.scalar(zero, "zero_point"), part="codes")
        return plain

    def known(self, index: int, what: str) -> Known:
        """A compile-time operand; QC105 naming ``what`` it is where it is computed at run time."""
        value = self.value(index)
        if isinstance(value, Known):
            return value
        raise fail(
            "QC105",
            self.name,
            f"{self.op_type} computes its {what} at run time",
            f"export the network so that the {what} is an initializer",
        )

    def constant(self, index: int, what: str) -> npt.NDArray[Any]:
        """The elements of a compile-time operand, in their ONNX type."""
        return self.known(index, what).plain()

    def integers(self, index: int, what: str) -> tuple[int, ...]:
        return tuple(int(v) for v in self.constant(index, what).ravel())

    def number(self, index: int, what: str) -> float:
        """A compile-time scalar."""
        array = self.constant(index, what)
        if array.size != 1:
            raise self.refuse("QC104", f"{what} has {array.size} elements", "a single one is supported")
        return float(array.ravel()[0])

    def scalar(self, array: npt.ArrayLike, part: str) -> Live:
        """A constant made during import."""
        op = model.Constant(Array(np.asarray(array, np.float64)))
        return self.builder.emit(op, (), f"{self.name}.{part}", (self.name,))

    # -- results

    def emit(self, op: model.ModelOp, *operands: Live, part: str = "", dtype: np.dtype[Any] | None = None) -> Live:
        """A new node named after this call, and after ``part`` where the call makes several."""
        name = f"{self.name}.{part}" if part else self.name
        return self.builder.emit(op, operands, name, (self.name,), dtype)

    def quantize(self, x: Live, grid: Grid, part: str = "") -> Live:
        name = f"{self.name}.{part}" if part else self.name
        return self.builder.quantize(x, grid, name, (self.name,))

    def reshape(self, x: Live, shape: tuple[int, ...], part: str = "") -> Live:
        return x if x.shape == shape else self.emit(model.Reshape(shape), x, part=part)

    def refuse(self, code: str, found: str, help: str) -> CompileError:
        """The diagnostic for this node; the handler raises it."""
        return fail(code, self.name, f"{self.op_type}: {found}", help)
