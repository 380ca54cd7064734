"""The text form of every level: prints a graph, and parses it back to an equal graph.

```
integer graph "mnist"
  %x = input() {shape = (28, 28, 1), ...}
  %acc = conv(%x) {weights = @0, strides = (1, 1), ...} from "Convolution28"
  return %acc
arrays
  @0 = int64[5, 5, 1, 8] 3 -7 ...
```
Operation and field names are those of the classes; a nested dataclass prints as `Name{field = value}`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import fields, is_dataclass
from enum import StrEnum
from fractions import Fraction
from typing import Any

import numpy as np

from qcompile.ir.array import Array
from qcompile.ir.graph import Graph, IRError, Level, Node

_WRAP = 32  # array values per line


def print_graph(graph: Graph, arrays: bool = True) -> str:
    """The text of ``graph``. ``arrays=False`` leaves out the constants' values: for reading, not for parsing."""
    table: dict[Array, int] = {}
    lines = [f"{graph.level.name} graph {json.dumps(graph.name)}"]
    for node in graph.nodes:
        operands = ", ".join(f"%{_name(name)}" for name in node.inputs)
        parameters = ", ".join(f"{f.name} = {_print(getattr(node.op, f.name), table)}" for f in fields(node.op))
        text = f"  %{_name(node.name)} = {node.op.mnemonic}({operands})"
        if parameters:
            text += f" {{{parameters}}}"
        if node.origin:
            text += " from " + ", ".join(json.dumps(name) for name in node.origin)
        lines.append(text)
    lines.append("  return " + ", ".join(f"%{_name(name)}" for name in graph.outputs))
    if arrays and table:
        lines.append("arrays")
        for array, index in table.items():
            lines.extend(_print_array(array, index))
    return "\n".join(lines) + "\n"


def _name(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name) else json.dumps(name)


def _print(value: Any, table: dict[Array, int]) -> str:
    match value:
        case None:
            return "none"
        case bool():
            return "true" if value else "false"
        case StrEnum():
            return f"{type(value).__name__}.{value.name}"
        case str():
            return json.dumps(value)
        case int():
            return str(value)
        case float():
            return f"float({value!r})"
        case Fraction():
            return f"{value.numerator}/{value.denominator}"
        case tuple():
            inside = ", ".join(_print(item, table) for item in value)
            return f"({inside},)" if len(value) == 1 else f"({inside})"
        case Array():
            return f"@{table.setdefault(value, len(table))}"
    if is_dataclass(value):
        inside = ", ".join(f"{f.name} = {_print(getattr(value, f.name), table)}" for f in fields(value))
        return f"{type(value).__name__}{{{inside}}}"
    raise IRError(f"{type(value).__name__} has no text form")


def _print_array(array: Array, index: int) -> Iterator[str]:
    values = array.values.ravel()
    head = f"  @{index} = {array.values.dtype.name}[{', '.join(map(str, array.shape))}]"
    words = [repr(float(v)) for v in values] if values.dtype.kind == "f" else [str(int(v)) for v in values]
    if len(words) <= _WRAP:
        yield " ".join([head, *words])
        return
    yield head
    for start in range(0, len(words), _WRAP):
        yield "    " + " ".join(words[start : start + _WRAP])


_TOKEN = re.compile(
    r'\s*(?:(?P<string>"(?:[^"\\]|\\.)*")|(?P<float>float\([^)]*\))|(?P<fraction>-?\d+/\d+)|(?P<int>-?\d+)'
    r"|(?P<array>@\d+)|(?P<word>[A-Za-z_][A-Za-z0-9_]*)|(?P<mark>[%=(){},.]))"
)


class _Reader:
    """Tokens of one line."""

    def __init__(self, text: str, values: dict[str, type], arrays: dict[int, Array]) -> None:
        self.tokens: list[tuple[str, str]] = []
        place = 0
        text = text.rstrip()
        while place < len(text):
            match = _TOKEN.match(text, place)
            if match is None or match.lastgroup is None:
                raise IRError(f"cannot read {text[place : place + 20]!r}")
            self.tokens.append((match.lastgroup, match[match.lastgroup]))
            place = match.end()
        self.at = 0
        self.values = values
        self.arrays = arrays

    def peek(self) -> str:
        return self.tokens[self.at][1] if self.at < len(self.tokens) else ""

    def take(self, *expected: str) -> str:
        if self.at >= len(self.tokens) or (expected and self.peek() not in expected):
            raise IRError(f"found {self.peek()!r}, needed {' or '.join(expected) or 'more'}")
        self.at += 1
        return self.tokens[self.at - 1][1]

    def accept(self, mark: str) -> bool:
        if self.peek() != mark:
            return False
        self.at += 1
        return True

    def name(self) -> str:
        self.take("%")
        text = self.take()
        return str(json.loads(text)) if text.startswith('"') else text

    def listed(self, end: str, item: Callable[[], Any]) -> tuple[Any, ...]:
        """Items separated by commas up to ``end``, a trailing comma allowed."""
        found = []
        while not self.accept(end):
            found.append(item())
            if self.peek() != end:
                self.take(",")
        return tuple(found)

    def field(self) -> tuple[str, Any]:
        name = self.take()
        self.take("=")
        return name, self.value()

    def value(self) -> Any:
        kind, text = self.tokens[self.at]
        self.at += 1
        match kind:
            case "string":
                return json.loads(text)
            case "float":
                return float(text[6:-1])
            case "fraction":
                return Fraction(text)
            case "int":
                return int(text)
            case "array":
                return self.arrays[int(text[1:])]
            case "mark" if text == "(":
                return self.listed(")", self.value)
            case "word" if text in ("none", "true", "false"):
                return {"none": None, "true": True, "false": False}[text]
            case "word" if text in self.values:
                cls = self.values[text]
                if issubclass(cls, StrEnum):
                    self.take(".")
                    return cls[self.take()]
                self.take("{")
                return cls(**dict(self.listed("}", self.field)))
        raise IRError(f"cannot read {text!r}")


def parse_graph(text: str, level: Level, values: dict[str, type]) -> Graph:
    """The graph that `print_graph` wrote. ``values``: the parameter classes of the level, by class name."""
    lines = text.splitlines()
    split = lines.index("arrays") if "arrays" in lines else len(lines)
    arrays = _parse_arrays(lines[split + 1 :])
    head = re.fullmatch(rf"{re.escape(level.name)} graph (\".*\")", lines[0])
    if head is None:
        raise IRError(f"not a {level.name} graph: {lines[0]!r}")
    nodes: list[Node] = []
    outputs: tuple[str, ...] = ()
    for number, line in enumerate(lines[1:split], 2):
        try:
            reader = _Reader(line, values, arrays)
            if reader.accept("return"):
                outputs = reader.listed("", reader.name)
                continue
            nodes.append(_parse_node(reader, level))
        except (IRError, IndexError, KeyError, TypeError, ValueError) as error:
            raise IRError(f"line {number}: {error}") from error
    return Graph(level, json.loads(head[1]), tuple(nodes), outputs)


def _parse_node(reader: _Reader, level: Level) -> Node:
    name = reader.name()
    reader.take("=")
    op = level.registry[reader.take()]
    reader.take("(")
    inputs = reader.listed(")", reader.name)
    parameters = dict(reader.listed("}", reader.field)) if reader.accept("{") else {}
    origin = reader.listed("", reader.value) if reader.accept("from") else ()
    return Node(name, op(**parameters), inputs, origin)


def _parse_arrays(lines: list[str]) -> dict[int, Array]:
    arrays: dict[int, Array] = {}
    head: re.Match[str] | None = None
    words: list[str] = []

    def finish() -> None:
        if head is not None:
            kind = np.dtype(head[2])
            shape = tuple(int(n) for n in head[3].split(",")) if head[3] else ()
            read = float if kind.kind == "f" else int
            arrays[int(head[1])] = Array(np.array([read(w) for w in words], kind).reshape(shape))

    for line in lines:
        match = re.match(r"  @(\d+) = (\w+)\[([\d, ]*)\](.*)", line)
        if match is None:
            words.extend(line.split())
            continue
        finish()
        head, words = match, match[4].split()
    finish()
    return arrays
