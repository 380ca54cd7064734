"""The targets by name, read from ``boards.toml``."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import Any

from qcompile.errors import fail
from qcompile.targets.families import ARCHITECTURES
from qcompile.targets.target import Family, Pins, Source, Target


def names() -> tuple[str, ...]:
    """Every target, in the order of the catalogue."""
    return tuple(_catalogue())


def get(name: str) -> Target:
    """The target called ``name``; QC502 with the nearest name where there is none."""
    target = _catalogue().get(name)
    if target is not None:
        return target
    near = get_close_matches(name.lower(), names(), n=1, cutoff=0.5)
    hint = f"did you mean {near[0]}? " if near else ""
    raise fail("QC502", "--target", f"there is no target {name!r}", f"{hint}the targets are {', '.join(names())}")


@cache
def _catalogue() -> Mapping[str, Target]:
    held = tomllib.loads(Path(__file__).with_name("boards.toml").read_text(encoding="utf-8"))
    return {name: _target(name, **figures) for name, figures in held.items()}


def _target(
    name: str, *, family: str, sources: list[dict[str, Any]], pins: dict[str, Any] | None = None, **figures: Any
) -> Target:
    kind = Family(family)
    return Target(
        name=name,
        family=kind,
        architecture=ARCHITECTURES[kind],
        sources=tuple(Source(tuple(source["figures"]), source["text"]) for source in sources),
        pins=None if pins is None else Pins(**pins),
        **figures,
    )
