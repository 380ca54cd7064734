"""The just-in-time compiler behind typed decorators, so that the kernels keep their signatures."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import numba
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

_Parameters = ParamSpec("_Parameters")
_Result = TypeVar("_Result")

_njit: Any = numba.njit
_inner = _njit(no_cpython_wrapper=True, no_cfunc_wrapper=True, error_model="numpy")
_outer = _njit(cache=True, error_model="numpy")


def compiled(function: Callable[_Parameters, _Result]) -> Callable[_Parameters, _Result]:
    """``function`` for use inside an ``entry``."""
    result: Callable[_Parameters, _Result] = _inner(function)
    return result


def entry(function: Callable[_Parameters, _Result]) -> Callable[_Parameters, _Result]:
    """``function`` for use from Python, compiled at its first call and kept on disk for the next process.

    The function must close over ``kernel_digest()``: the cache on disk looks only at the function's own file and
    closure, and would keep machine code whose callees have changed.
    """
    result: Callable[_Parameters, _Result] = _outer(function)
    return result


def kernel_digest() -> int:
    """Number that changes with any source file of this package."""
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.read_bytes())
    return int.from_bytes(digest.digest()[:6], "big")


def _count_leading_zeros(typing: Any, value: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.ctlz(arguments[0], ir.Constant(ir.IntType(1), 0))

    return types.int64(types.int64), generate


_intrinsic: Any = intrinsic
leading_zeros: Callable[[int], int] = _intrinsic(_count_leading_zeros)
"""Zeros above the highest set bit of a 64-bit number, by the machine's own instruction; only for compiled functions."""
