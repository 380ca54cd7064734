"""An immutable array that can be a field of a frozen node: compared and hashed by content."""

from __future__ import annotations

from hashlib import sha256
from typing import Any

import numpy as np
import numpy.typing as npt


class Array:
    """A read-only NumPy array with value semantics; dtype is bool, int64 or float64.

    Python ints (dtype object) become int64, and stay Python ints where some do not fit.
    """

    __slots__ = ("_digest", "values")

    values: npt.NDArray[Any]
    _digest: bytes | None

    def __init__(self, values: npt.ArrayLike) -> None:
        array = np.asarray(values)
        if array.dtype.kind == "b":
            array = array.astype(np.bool_, copy=False)
        elif array.dtype.kind in "iu":
            array = array.astype(np.int64, copy=False)
        elif array.dtype.kind == "f":
            array = array.astype(np.float64, copy=False)
        elif array.dtype.kind == "O" and all(isinstance(v, int) for v in array.flat):
            fits = all(-(1 << 63) <= v < 1 << 63 for v in array.flat)
            array = array.astype(np.int64) if fits else array
        else:
            raise TypeError(f"no array of {array.dtype} in the IR")
        if array.flags.writeable:
            array = array.copy()
            array.flags.writeable = False
        object.__setattr__(self, "values", array)
        object.__setattr__(self, "_digest", None)

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError("arrays in the IR are immutable")

    @property
    def shape(self) -> tuple[int, ...]:
        return self.values.shape

    @property
    def digest(self) -> bytes:
        if self._digest is not None:
            return self._digest
        head = f"{self.values.dtype.str}{self.values.shape}".encode()
        wide = self.values.dtype.kind == "O"
        body = repr(self.values.tolist()).encode() if wide else np.ascontiguousarray(self.values).tobytes()
        digest = sha256(head + body).digest()
        object.__setattr__(self, "_digest", digest)
        return digest

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Array) and self.digest == other.digest

    def __hash__(self) -> int:
        return hash(self.digest)

    def __repr__(self) -> str:
        return f"Array({self.values.dtype.name}{list(self.shape)})"
