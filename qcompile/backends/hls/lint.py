"""A check of generated C++: nothing that runs multiplies or divides."""

from __future__ import annotations

import re

_HIDDEN = re.compile(r"//[^\n]*|/\*.*?\*/|\"(?:\\.|[^\"\\\n])*\"|^[ \t]*#[^\n]*", re.S | re.M)
_TOKEN = re.compile(r"[A-Za-z_]\w*|\d\w*|::|<<=|>>=|<<|>>|[-+*/%&|^<>=!]=|&&|\|\||->|\+\+|--|\S")
_CONSTANT = re.compile(r"\d\w*|[A-Z][A-Z0-9_]*")
_OPEN, _CLOSE = "([", ")]"
_TYPES = frozenset({"char", "int", "word", "void", "uint8_t", "uint64_t", "int64_t"})


def lint_no_runtime_multiplication(text: str) -> list[str]:
    """Where C++ ``text`` multiplies, divides or takes a remainder of run-time values: "line 12: `*` in `…`".

    Both operands must be compile-time constants: numbers, names in capitals (the sources' convention for
    template parameters and constants), members of a class (``Kernel::rows``), and expressions of them.
    """
    plain = _HIDDEN.sub(lambda match: " " + "\n" * match[0].count("\n"), text)
    tokens = (
        [(match[0], plain.count("\n", 0, match.start()) + 1) for match in _TOKEN.finditer(plain)]
        if any(sign in plain for sign in "*/%")
        else []
    )
    words = [word for word, _ in tokens]
    lines = text.split("\n")
    found = []
    for place, (word, line) in enumerate(tokens):
        if word not in ("*", "/", "%", "*=", "/=", "%="):
            continue
        if word == "*" and words[place - 1] in _TYPES:
            continue  # a pointer's type
        if word.endswith("=") or not (_constant(words, place - 1, -1) and _constant(words, place + 1, 1)):
            found.append(f"line {line}: `{word}` in `{lines[line - 1].strip()}`")
    return found


def _constant(words: list[str], place: int, step: int) -> bool:
    """Whether the operand that begins at ``place`` and goes in direction ``step`` is known at compile time."""
    opening, closing = (_OPEN, _CLOSE) if step > 0 else (_CLOSE, _OPEN)
    if words[place] == "sizeof":
        return True
    if words[place] not in opening:
        return _constant_name(words, place)
    depth, inside = 0, []
    while True:
        depth += (words[place] in opening) - (words[place] in closing)
        if depth == 0:
            break
        if re.match(r"\w", words[place]):
            inside.append(place)
        place += step
    before = words[place - 1] if step < 0 else ""
    if before == "sizeof":
        return True
    # What else stands before an opening bracket is called or indexed.
    called = before != "return" and re.fullmatch(r"[A-Za-z_]\w*|[\])]", before) is not None
    return not called and all(_constant_name(words, name) for name in inside)


def _constant_name(words: list[str], place: int) -> bool:
    if _CONSTANT.fullmatch(words[place]):
        return True
    return "::" in words[max(place - 1, 0) : place + 2]
