"""Plain-text tables of a fixed width."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

_GAP = "  "


@dataclass(frozen=True)
class Column:
    """``most``: columns that text may take, and what is shortened when the table is too wide; None: never."""

    title: str
    most: int | None = None
    right: bool = False


def table(columns: Sequence[Column], rows: Sequence[Sequence[str]], width: int, rule_before_last: bool = False) -> str:
    """The rows under a header and a rule. Long text loses its middle; numbers are never shortened."""
    wide = [
        max(len(cell) for cell in (column.title, *(row[index] for row in rows))) for index, column in enumerate(columns)
    ]
    wide = [size if column.most is None else min(size, column.most) for size, column in zip(wide, columns, strict=True)]
    while sum(wide) + len(_GAP) * (len(columns) - 1) > width:
        longest = max((i for i, c in enumerate(columns) if c.most is not None), key=lambda i: wide[i], default=None)
        if longest is None or wide[longest] <= 8:
            break
        wide[longest] -= 1
    rule = _GAP.join("-" * size for size in wide)
    lines = [_line([column.title for column in columns], columns, wide), rule]
    for index, row in enumerate(rows):
        if rule_before_last and index == len(rows) - 1:
            lines.append(rule)
        lines.append(_line(row, columns, wide))
    return "\n".join(lines)


def bar(share: float, width: int) -> str:
    """``share`` of ``width`` as #; full, with a mark, where it is more."""
    if share > 1:
        return "#" * (width - 1) + "!"
    return "#" * max(round(share * width), 1 if share > 0 else 0)


def shortened(text: str, width: int) -> str:
    """``text`` in ``width`` columns: its middle becomes two dots."""
    if len(text) <= width:
        return text
    tail = (width - 2) // 2
    return text[: width - 2 - tail] + ".." + (text[-tail:] if tail else "")


def _line(cells: Sequence[str], columns: Sequence[Column], wide: Sequence[int]) -> str:
    shown = (
        shortened(cell, size).rjust(size) if column.right else shortened(cell, size).ljust(size)
        for cell, column, size in zip(cells, columns, wide, strict=True)
    )
    return _GAP.join(shown).rstrip()
