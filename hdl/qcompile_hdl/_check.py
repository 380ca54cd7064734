"""Constructor arguments checked once: wrong ones are bugs of the caller and raise ValueError."""

from __future__ import annotations


def positive(**arguments: int) -> None:
    """ValueError unless every argument is a Python int of at least 1 (Amaranth refuses NumPy's integers)."""
    at_least(1, **arguments)


def at_least(low: int, **arguments: int) -> None:
    for name, value in arguments.items():
        if type(value) is not int or value < low:
            raise ValueError(f"{name} must be an int of at least {low}, not {value!r}")
