"""One module of the Verilog that Yosys writes: declarations, and a body of lines."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

IDENTIFIER = re.compile(r"(?<![\w'.$])[A-Za-z_][\w$]*")
TEMPORARY = re.compile(r"_\d+_")
DECLARATION = re.compile(r"  (input|output|wire|reg) (?:\[(\d+):0\] )?(\w+)( \[\d+:0\])?( = \S+)?;")
ASSIGN = re.compile(r"  assign (\w+) = (.*);")
INSTANCE = re.compile(r"  (\w+) (\w+) \($")
UNKNOWN = re.compile(r"  assign (\w+)\[[\d:]+\] = \d+'hx+;")
SELECTED = re.compile(r"(?<![\w'])([A-Za-z_]\w*)(\[[\d:]+\])?")


@dataclass
class Module:
    """``registers`` maps to the text of the initial value, ``memories`` to that of the depth; both may be empty.

    ``widths`` has every declared name.
    """

    name: str
    body: list[str]
    directions: dict[str, str] = field(default_factory=dict)
    widths: dict[str, int] = field(default_factory=dict)
    registers: dict[str, str] = field(default_factory=dict)
    memories: dict[str, str] = field(default_factory=dict)


def parse(name: str, lines: list[str]) -> Module:
    """Declarations leave the body; memories and wires lose what only their making explains."""
    module = Module(name, [])
    for line in lines:
        match = DECLARATION.fullmatch(line)
        if match is None:
            module.body.append(line)
            continue
        kind, high, signal, depth, init = match.groups()
        module.widths[signal] = int(high or 0) + 1
        if kind in ("input", "output"):
            module.directions[signal] = kind
        elif kind == "reg":
            module.registers[signal] = init or ""
        if depth is not None:
            module.memories[signal] = depth
    module.body = _loop_over_memory_init(module.body)
    _merge_memory_outputs(module)
    _narrow_wires(module)
    return module


def rename(module: Module, names: Mapping[str, str]) -> None:
    """Gives nets and ports new names within the module; its own instances' names stay."""
    module.body = [
        line if INSTANCE.fullmatch(line) else IDENTIFIER.sub(lambda m: names.get(m[0], m[0]), line)
        for line in module.body
    ]
    module.widths = {names.get(name, name): width for name, width in module.widths.items()}
    module.directions = {names.get(name, name): direction for name, direction in module.directions.items()}
    module.registers = {names.get(name, name): init for name, init in module.registers.items()}


def width_of(operand: str, module: Module) -> int:
    """Bits of an operand, 0 where that is not known."""
    if match := re.fullmatch(r"(\d+)'\S+", operand):
        return int(match[1])
    if match := re.fullmatch(r"\w+\[(\d+)(?::(\d+))?\]", operand):
        return int(match[1]) - int(match[2] or match[1]) + 1
    if operand.startswith("{"):
        widths = [width_of(part, module) for part in operand.strip("{ }").split(", ")]
        return sum(widths) if all(widths) else 0
    return module.widths.get(operand, 0)


def _merge_memory_outputs(module: Module) -> None:
    """The register of a memory's output gets the name of the one wire that repeats it."""
    names: dict[str, str] = {}
    for line in module.body:
        match = ASSIGN.fullmatch(line)
        if match and TEMPORARY.fullmatch(match[2]) and match[2] in module.registers and match[2] not in names:
            names[match[2]] = match[1]
    for numbered, name in names.items():
        module.registers[name] = module.registers.pop(numbered)
        module.body.remove(f"  assign {name} = {numbered};")
    module.body = [IDENTIFIER.sub(lambda m: names.get(m[0], m[0]), line) for line in module.body]


def _narrow_wires(module: Module) -> None:
    """A wire of which only the lower bits are ever written or read loses the others."""
    parts: dict[str, set[str]] = {}
    for line in module.body:
        if not UNKNOWN.fullmatch(line):
            for name, part in SELECTED.findall(line):
                parts.setdefault(name, set()).add(part)
    narrowed = {}
    for name, selected in parts.items():
        low = re.fullmatch(r"\[(?:(\d+):)?0\]", next(iter(selected)))
        if low and len(selected) == 1 and TEMPORARY.fullmatch(name):
            narrowed[name] = next(iter(selected))
            module.widths[name] = int(low[1] or 0) + 1
    body = [line for line in module.body if not ((m := UNKNOWN.fullmatch(line)) and m[1] in narrowed)]
    module.body = [SELECTED.sub(lambda m: m[1] if m[1] in narrowed else m[0], line) for line in body]


def _loop_over_memory_init(lines: list[str]) -> list[str]:
    """A memory that starts as all the same word gets a loop instead of one line per word."""
    text = "\n".join(lines)

    def loop(match: re.Match[str]) -> str:
        words = re.findall(r"^    (\w+)\[\d+\] = (\S+);$", match[1], re.M)
        if len(set(words)) != 1:
            return match[0]
        memory, word = words[0]
        index = f"{memory}_word"
        return (
            f"  integer {index};\n  initial\n    for ({index} = 0; {index} < {len(words)}; {index} = {index} + 1)\n"
            f"      {memory}[{index}] = {word};"
        )

    return re.sub(r"^  initial begin\n((?:    \w+\[\d+\] = \S+;\n)+)  end$", loop, text, flags=re.M).split("\n")
