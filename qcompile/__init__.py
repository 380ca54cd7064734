"""qcompile: trained ONNX networks to verified, multiplier-free FPGA hardware.

`compile` is the whole of it in Python; the command line (`qcompile`) is the same thing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from qcompile.compiled import Compiled
    from qcompile.driver import compile, estimate
    from qcompile.errors import CompileError, Diagnostic

__all__ = ["CompileError", "Compiled", "Diagnostic", "compile", "estimate"]


def __getattr__(name: str) -> Any:
    # Loaded on first use: onnx, onnxruntime and numba take seconds that `qcompile targets` should not.
    if name in ("compile", "estimate"):
        from qcompile import driver

        return getattr(driver, name)
    if name == "Compiled":
        from qcompile import compiled

        return compiled.Compiled
    if name in ("CompileError", "Diagnostic"):
        from qcompile import errors

        return getattr(errors, name)
    raise AttributeError(f"module 'qcompile' has no attribute {name!r}")
