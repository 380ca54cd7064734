"""argparse, with wrong words answered by the nearest right ones."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from typing import Any, NoReturn


class Parser(argparse.ArgumentParser):
    """Options in full only, errors in one line, and "did you mean" for options that do not exist."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(allow_abbrev=False, formatter_class=argparse.RawDescriptionHelpFormatter, **settings)

    def parse_args(self, args: Sequence[str], namespace: Any = None) -> Any:  # type: ignore[override]
        # Before argparse, which would take an unknown option's value for the model.
        for word in args:
            if word == "--":
                break
            option = word.partition("=")[0]
            if re.match(r"--?[A-Za-z]", word) and not self._known(option):
                self.error(f"there is no option {option}{did_you_mean(option, self._option_string_actions)}")
        return super().parse_args(args, namespace)

    def _known(self, option: str) -> bool:
        names = self._option_string_actions
        return option in names or (not option.startswith("--") and option[:2] in names)

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}\n(`{self.prog} --help` shows the options)\n")


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """ "; did you mean X?", or nothing."""
    near = get_close_matches(word, list(known), n=1)
    return f"; did you mean {near[0]}?" if near else ""


def positive_int(text: str) -> int:
    value = int(text) if text.isdecimal() else 0
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above 0")
    return value


def positive_float(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number above 0")
    return value
