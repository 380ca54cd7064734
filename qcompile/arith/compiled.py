"""The just-in-time compiler behind typed decorators, so that the kernels keep their signatures."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import numba
from llvmlite import ir
from numba import types
from numba.core.caching import FunctionCache
from numba.extending import intrinsic

_Parameters = ParamSpec("_Parameters")
_Result = TypeVar("_Result")

_config: Any = numba.config
_njit: Any = numba.njit
_intrinsic: Any = intrinsic
_FunctionCache: Any = FunctionCache

INTERPRETED = bool(_config.DISABLE_JIT)
"""With NUMBA_DISABLE_JIT=1 the functions of this package run as the Python they are: the same results, slowly."""

_inner = _njit(no_cpython_wrapper=True, no_cfunc_wrapper=True, error_model="numpy")
_bare = _njit(_nrt=False, forceinline=True, no_cpython_wrapper=True, no_cfunc_wrapper=True, error_model="numpy")
_outer = _njit(error_model="numpy")


def compiled(function: Callable[_Parameters, _Result]) -> Callable[_Parameters, _Result]:
    """``function`` for use inside an ``entry``."""
    result: Callable[_Parameters, _Result] = _for_integers(_inner(function))
    return result


def in_place(function: Callable[_Parameters, _Result]) -> Callable[_Parameters, _Result]:
    """``function``, which works in the arrays that it is given, for use inside others.

    It may neither make nor return arrays. References to them are not counted, which would take atomic operations: a
    third of the search's time. Its body is put in place of calls, which would pass every field of every array.
    """
    result: Callable[_Parameters, _Result] = _for_integers(_bare(function))
    return result


def entry(function: Callable[_Parameters, _Result]) -> Callable[_Parameters, _Result]:
    """``function`` for use from Python, compiled at its first call and kept on disk for the next process."""
    dispatcher = _outer(function)
    if not INTERPRETED:
        dispatcher._cache = _PackageCache(function)
    result: Callable[_Parameters, _Result] = dispatcher
    return result


def ready(kernel: Any) -> bool:
    """Whether an ``entry`` need not be compiled: it is, in this process or on disk, or nothing is."""
    return INTERPRETED or bool(kernel.signatures) or kernel._cache.ready()


def _for_integers(dispatcher: Any) -> Any:
    """Compiled once for all integers, where it is called with the constant 0, with 32 bits and with 64."""
    if INTERPRETED:
        return dispatcher
    found = dispatcher.get_call_template

    def get_call_template(arguments: Any, keywords: Any) -> Any:
        return found([types.int64 if isinstance(a, types.Integer) else a for a in arguments], keywords)

    dispatcher.get_call_template = get_call_template
    return dispatcher


@cache
def kernel_digest() -> str:
    """Text that changes with any source file of this package."""
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()


class _PackageCache(_FunctionCache):  # type: ignore[misc]
    """Machine code on disk that is good for one state of the whole package.

    The compiler's own cache asks only whether the function's file has changed, by its date, and would keep code whose
    callees in other files have changed.
    """

    def ready(self) -> bool:
        """Whether there is machine code of today's sources."""
        return any(key[-1] == kernel_digest() for key in self._cache_file._load_index())

    def _index_key(self, signature: Any, codegen: Any) -> Any:
        return (*super()._index_key(signature, codegen), kernel_digest())


def _count_leading_zeros(typing: Any, value: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.ctlz(arguments[0], ir.Constant(ir.IntType(1), 0))

    return types.int64(types.int64), generate


def _count_ones(typing: Any, value: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.ctpop(arguments[0])

    return types.int64(types.int64), generate


def _python_leading_zeros(value: int) -> int:
    return 64 - int(value).bit_length()


def _python_ones(value: int) -> int:
    return int(value).bit_count()


leading_zeros: Callable[[int], int] = _python_leading_zeros if INTERPRETED else _intrinsic(_count_leading_zeros)
"""Zeros above the highest set bit of a 64-bit number, by the machine's own instruction; only for compiled functions."""

ones: Callable[[int], int] = _python_ones if INTERPRETED else _intrinsic(_count_ones)
"""Set bits of a 64-bit number, likewise."""
