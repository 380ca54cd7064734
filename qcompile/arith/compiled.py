"""The just-in-time compiler behind a typed decorator, so that the kernels keep their signatures."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

import numba

_Parameters = ParamSpec("_Parameters")
_Result = TypeVar("_Result")

_njit: Any = numba.njit(cache=True, error_model="numpy")


def compiled(function: Callable[_Parameters, _Result]) -> Callable[_Parameters, _Result]:
    """``function`` compiled to machine code at its first call and kept on disk for the next process."""
    result: Callable[_Parameters, _Result] = _njit(function)
    return result
