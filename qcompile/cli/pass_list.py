"""Every pass that qcompile has, found where passes live."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from dataclasses import dataclass
from typing import Any

from qcompile.ir.graph import Level

_PACKAGES = ("qcompile.passes",)


@dataclass(frozen=True)
class PassEntry:
    """``levels``: "model", or "model -> integer" where the pass lowers."""

    name: str
    levels: str
    summary: str


def known_passes() -> tuple[PassEntry, ...]:
    """All passes, by level from the top down, then by name."""
    found: dict[str, Any] = {}
    for package in map(importlib.import_module, _PACKAGES):
        for module in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
            for _, cls in inspect.getmembers(importlib.import_module(module.name), inspect.isclass):
                if cls.__module__ == module.name and _is_pass(cls):
                    step: Any = cls
                    found[step.name] = step
    order = ["model", "integer"]
    ranked = sorted(found.values(), key=lambda c: (order.index(c.requires.name), c.requires is not c.ensures, c.name))
    return tuple(
        PassEntry(cls.name, _levels(cls), (inspect.getdoc(cls) or "").split("\n\n")[0].replace("\n", " "))
        for cls in ranked
    )


def _is_pass(cls: type[Any]) -> bool:
    return (
        isinstance(getattr(cls, "name", None), str)
        and isinstance(getattr(cls, "requires", None), Level)
        and isinstance(getattr(cls, "ensures", None), Level)
    )


def _levels(cls: Any) -> str:
    if cls.requires is cls.ensures:
        return str(cls.requires.name)
    return f"{cls.requires.name} -> {cls.ensures.name}"
