"""Where the Jinja templates are, and the one environment that renders them."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape


@cache
def path() -> Path:
    """The templates' folder: inside the package where a wheel put it, else the checkout's ``templates``."""
    package = Path(__file__).resolve().parent
    installed = package / "_templates"
    return installed if installed.is_dir() else package.parent / "templates"


@cache
def environment() -> Environment:
    """A name that a template uses and does not receive raises `jinja2.UndefinedError`; HTML alone is escaped."""
    made = Environment(
        loader=FileSystemLoader(path()),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=select_autoescape(("html.j2",), default=False),
    )
    made.filters["wrapped"] = wrapped
    return made


def render(name: str, /, **names: object) -> str:
    """The text of template ``name`` (a path below `path`)."""
    return environment().get_template(name).render(**names)


def wrapped(values: Iterable[object], brackets: str = "[]", indent: int = 0, columns: int = 112) -> str:
    """A list of ``values`` in a generated source, over as many lines as it needs; it begins in a line indented so."""
    text = ", ".join(map(str, values))
    if len(text) + indent <= columns - 40:  # beside what it is assigned to
        return f"{brackets[0]}{text}{brackets[1]}"
    lines = textwrap.wrap(text, columns - indent, break_long_words=False, break_on_hyphens=False)
    margin = "\n" + " " * indent
    return f"{margin}    ".join((brackets[0], *lines)) + f"{margin}{brackets[1]}"
