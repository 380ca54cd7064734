"""Every pass that qcompile has, found where passes live."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from dataclasses import dataclass
from typing import Any

from qcompile.ir.graph import Level

_PACKAGES = ("qcompile.passes",)
_ORDER = ("model", "integer", "hardware")


@dataclass(frozen=True)
class PassEntry:
    """``levels``: "model", or "model -> integer" where the pass lowers."""

    name: str
    levels: str
    summary: str


# What the driver runs between passes and also shows.
_STAGES = (
    PassEntry("quantize", "model", "Give every tensor of a float model its quantizer; quantized models skip it."),
    PassEntry("schedule", "integer -> hardware", "Give every layer an engine, streams and registers."),
)


def known_passes() -> tuple[PassEntry, ...]:
    """All passes, by level from the top down, those that lower last, then by name."""
    found: dict[str, Any] = {}
    for package in map(importlib.import_module, _PACKAGES):
        for module in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
            for _, cls in inspect.getmembers(importlib.import_module(module.name), inspect.isclass):
                if cls.__module__ == module.name and _is_pass(cls):
                    step: Any = cls
                    found[step.name] = step
    entries = [PassEntry(cls.name, _levels(cls), _summary(cls)) for cls in found.values()]
    return tuple(sorted([*entries, *_STAGES], key=_rank))


def _rank(entry: PassEntry) -> tuple[int, bool, str]:
    level, arrow, _ = entry.levels.partition(" -> ")
    return _ORDER.index(level), bool(arrow), entry.name


def _summary(cls: type[Any]) -> str:
    return (inspect.getdoc(cls) or "").split("\n\n")[0].replace("\n", " ")


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
