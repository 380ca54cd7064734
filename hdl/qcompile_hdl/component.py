"""The base of every component: Amaranth's, seen by a type checker as untyped members."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:

    class Component:
        """`amaranth.lib.wiring.Component`; the signature's members become attributes."""

        def __init__(self, signature: Mapping[str, Any]) -> None: ...

        def __getattr__(self, name: str) -> Any: ...

else:
    from amaranth.lib.wiring import Component as Component

__all__ = ["Component"]
