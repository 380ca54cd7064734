"""Names for nodes that a pass adds."""

from __future__ import annotations

from collections.abc import Container


def fresh_name(stem: str, taken: Container[str]) -> str:
    """``stem``, or ``stem_2``, ``stem_3`` … where it is taken."""
    name, count = stem, 1
    while name in taken:
        count += 1
        name = f"{stem}_{count}"
    return name
