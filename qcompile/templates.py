"""Where the Jinja templates are, and the one environment that renders them."""

from __future__ import annotations

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
    return Environment(
        loader=FileSystemLoader(path()),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=select_autoescape(("html.j2",), default=False),
    )


def render(name: str, /, **names: object) -> str:
    """The text of template ``name`` (a path below `path`)."""
    return environment().get_template(name).render(**names)
