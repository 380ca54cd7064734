"""Yosys's Verilog made readable: plain names, ANSI ports, expressions instead of numbered wires.

Works line by line on what ``write_verilog -noattr`` writes after ``proc``, where every assignment has one operator.
The result has the same registers, ports and logic.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

IDENTIFIER = re.compile(r"(?<![\w'.$])[A-Za-z_][\w$]*")
ESCAPED = re.compile(r"\\(\S+) ?")
TEMPORARY = re.compile(r"_\d+_")
DECLARATION = re.compile(r"  (input|output|wire|reg) (?:\[(\d+):0\] )?(\w+)( \[\d+:0\])?( = \S+)?;")
ASSIGN = re.compile(r"  assign (\w+) = (.*);")
INSTANCE = re.compile(r"  (\w+) (\w+) \($")
CONNECTION = re.compile(r"    \.(\w+)\((.*)\)(,?)$")
OPERAND = r"[\w']+(?:\[[\d:]+\])?|\{[^{}]*\}"
UNARY = re.compile(rf"(~|!|&|\||\^) ({OPERAND})")
BINARY = re.compile(rf"({OPERAND}) (==|!=|<|<=|>|>=|&|\||\^|\+|-) ({OPERAND})")
CHAIN = re.compile(r"[\w'\[\]:]+ ([&|^]) [\w'\[\]:]+(?: \1 [\w'\[\]:]+)*")
CHOICE = re.compile(rf"({OPERAND}) \? ({OPERAND}) : ({OPERAND})")
UNKNOWN = re.compile(r"  assign (\w+)\[[\d:]+\] = \d+'hx+;")
SELECTED = re.compile(r"(?<![\w'])([A-Za-z_]\w*)(\[[\d:]+\])?")
CLOCKED = re.compile(r"  always @\(posedge \w+\)")
REGISTER = re.compile(r"    (?:(?:(if|else if) \((.*?)\)|(else)) )?(\w+) <= (.*);")
# A longer expression keeps its own line.
LONGEST_INLINED = 60


@dataclass
class _Module:
    name: str
    body: list[str]
    directions: dict[str, str] = field(default_factory=dict)
    widths: dict[str, int] = field(default_factory=dict)
    registers: dict[str, str] = field(default_factory=dict)
    memories: dict[str, str] = field(default_factory=dict)


def tidy(text: str, comments: Mapping[str, str]) -> str:
    """``comments`` maps a module's plain name to the text above it; ValueError for a module that is not there."""
    modules = [_parse(header, body) for header, body in _split(_plain_names(text))]
    by_name = {module.name: module for module in modules}
    if len(by_name) < len(modules):
        raise ValueError(f"module names collide as plain identifiers: {sorted(m.name for m in modules)}")
    unknown = sorted(set(comments) - set(by_name))
    if unknown:
        raise ValueError(f"no module {', '.join(unknown)}; there are {', '.join(sorted(by_name))}")
    out = []
    for module in modules:
        _name_nets_after_outputs(module, by_name)
        _inline(module)
        _group_registers(module)
        comment = comments.get(module.name, "")
        out.append("".join(f"// {line}".rstrip() + "\n" for line in comment.splitlines()) + _print(module))
    return "\n".join(out)


def _plain_names(text: str) -> str:
    """Escaped identifiers as plain ones; within a module two names never become one."""
    taken = {name.group() for name in IDENTIFIER.finditer(text)}
    plain: dict[str, str] = {}

    def rename(match: re.Match[str]) -> str:
        name = match[1]
        if name not in plain:
            wanted = re.sub(r"\W", "_", name)
            wanted = wanted if re.match(r"[A-Za-z_]", wanted) else f"n_{wanted}"
            while wanted in taken:
                wanted += "_"
            taken.add(wanted)
            plain[name] = wanted
        return plain[name]

    return ESCAPED.sub(rename, text)


def _split(text: str) -> list[tuple[str, list[str]]]:
    found = re.findall(r"^module (\w+) ?\(.*?\);\n(.*?)^endmodule$", text, re.M | re.S)
    return [(name, body.splitlines()) for name, body in found]


def _parse(name: str, lines: list[str]) -> _Module:
    module = _Module(name, [])
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


def _merge_memory_outputs(module: _Module) -> None:
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


def _narrow_wires(module: _Module) -> None:
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


def _name_nets_after_outputs(module: _Module, modules: Mapping[str, _Module]) -> None:
    """A net that an instance drives is called ``instance_port``."""
    names: dict[str, str] = {}
    taken = set(module.widths)
    child: _Module | None = None
    instance = ""
    for line in module.body:
        if match := INSTANCE.fullmatch(line):
            child, instance = modules.get(match[1]), match[2]
        elif child is not None and (match := CONNECTION.fullmatch(line)):
            port, net = match[1], match[2]
            wanted = f"{instance}_{port}".replace("__", "_")
            if (
                child.directions.get(port) == "output"
                and net in module.widths
                and net not in module.directions
                and net not in names
                and wanted not in taken
            ):
                names[net] = wanted
                taken.add(wanted)
    module.body = [
        line if INSTANCE.fullmatch(line) else IDENTIFIER.sub(lambda m: names.get(m[0], m[0]), line)
        for line in module.body
    ]
    module.widths = {names.get(name, name): width for name, width in module.widths.items()}


def _inline(module: _Module) -> None:
    """Puts the expression of a numbered wire where the wire is read, if it is read once and widths stay the same.

    Verilog evaluates an operand in the width of its surroundings, so an expression only moves to a place of its own
    width, or, as a condition, to one that has no surroundings.
    """
    module.body = [_simplify(line, module) for line in module.body]
    uses = Counter(name for line in module.body for name in IDENTIFIER.findall(line))
    definitions: dict[str, str] = {}
    for line in module.body:
        match = ASSIGN.fullmatch(line)
        # Twice: the definition and one reader.
        if match and TEMPORARY.fullmatch(match[1]) and uses[match[1]] == 2:
            width = module.widths[match[1]]
            if all(_width(operand, module) in range(1, width + 1) for operand in _operands(match[2])):
                definitions[match[1]] = match[2]
    expanded: dict[str, str] = {}

    def expand(name: str, width: int | None) -> str:
        if name not in definitions or width not in (None, module.widths[name]):
            return name
        if name not in expanded:
            text = rewrite(definitions[name], module.widths[name])
            enclosed = text if re.fullmatch(r"~\w+", text) else f"({text})"
            expanded[name] = enclosed if len(text) <= LONGEST_INLINED else name
        return expanded[name]

    def rewrite(expression: str, width: int) -> str:
        if match := CHOICE.fullmatch(expression):
            return f"{expand(match[1], None)} ? {expand(match[2], width)} : {expand(match[3], width)}"
        if (match := UNARY.fullmatch(expression)) and match[1] == "~":
            return f"~{expand(match[2], width)}"
        if match := CHAIN.fullmatch(expression):
            return f" {match[1]} ".join(expand(operand, width) for operand in expression.split(f" {match[1]} "))
        return expression

    def rewrite_line(line: str) -> str:
        if match := ASSIGN.fullmatch(line):
            return f"  assign {match[1]} = {rewrite(match[2], module.widths.get(match[1], 0))};"
        if match := REGISTER.fullmatch(line):
            keyword, condition, otherwise, target, value = match.groups()
            assignment = f"{target} <= {_bare(expand(value, module.widths.get(target, 0)))};"
            if keyword is None:
                return f"    {otherwise} {assignment}" if otherwise else f"    {assignment}"
            if condition.startswith("!"):
                return f"    {keyword} (!{expand(condition[1:], None)}) {assignment}"
            return f"    {keyword} ({_bare(expand(condition, None))}) {assignment}"
        return line

    rewritten = [(ASSIGN.fullmatch(line), rewrite_line(line)) for line in module.body]
    module.body = [line for match, line in rewritten if match is None or expanded.get(match[1], match[1]) == match[1]]


def _bare(expression: str) -> str:
    """What `expand` gave, without its parentheses."""
    return expression[1:-1] if expression.startswith("(") else expression


def _simplify(line: str, module: _Module) -> str:
    """``! x`` of a vector as a comparison, ``& { a, b }`` of single bits as ``a & b``."""
    match = ASSIGN.fullmatch(line)
    unary = UNARY.fullmatch(match[2]) if match else None
    if match is None or unary is None:
        return line
    width = _width(unary[2], module)
    if unary[1] == "!" and width > 1:
        return f"  assign {match[1]} = {unary[2]} == {width}'h0;"
    bits = unary[2].strip("{ }").split(", ")
    if unary[1] in "&|^" and unary[2].startswith("{") and all(_width(bit, module) == 1 for bit in bits):
        return f"  assign {match[1]} = {f' {unary[1]} '.join(bits)};"
    return line


def _operands(expression: str) -> list[str]:
    """The operands that Verilog widens to their surroundings; "?" (of no width) for an expression not understood."""
    if match := CHOICE.fullmatch(expression):
        return [match[2], match[3]]
    if match := UNARY.fullmatch(expression):
        return [match[2]] if match[1] == "~" else []
    if match := BINARY.fullmatch(expression):
        return [match[1], match[3]] if match[2] in "&|^+-" else []
    if match := CHAIN.fullmatch(expression):
        return expression.split(f" {match[1]} ")
    return ["?"]


def _width(operand: str, module: _Module) -> int:
    """Bits of an operand, 0 where that is not known."""
    if match := re.fullmatch(r"(\d+)'\S+", operand):
        return int(match[1])
    if match := re.fullmatch(r"\w+\[(\d+)(?::(\d+))?\]", operand):
        return int(match[1]) - int(match[2] or match[1]) + 1
    if operand.startswith("{"):
        widths = [_width(part, module) for part in operand.strip("{ }").split(", ")]
        return sum(widths) if all(widths) else 0
    return module.widths.get(operand, 0)


def _group_registers(module: _Module) -> None:
    """One always block for all registers of one clock and the same conditions."""
    groups: dict[tuple[str, ...], list[list[str]]] = {}
    body: list[str | tuple[str, ...]] = []
    position = 0
    while position < len(module.body):
        line = module.body[position]
        position += 1
        if not CLOCKED.fullmatch(line):
            body.append(line)
            continue
        key, branches = [line], []
        while position < len(module.body) and (match := REGISTER.fullmatch(module.body[position])):
            key.append(f"{match[1]} ({match[2]})" if match[1] else match[3] or "")
            branches.append(f"{match[4]} <= {match[5]};")
            position += 1
        if tuple(key) not in groups:
            groups[tuple(key)] = []
            body.append(tuple(key))
        groups[tuple(key)].append(branches)
    module.body = []
    for item in body:
        if isinstance(item, str):
            module.body.append(item)
            continue
        module.body += _always(item, groups[item])


def _always(key: tuple[str, ...], registers: list[list[str]]) -> list[str]:
    clock, conditions = key[0], key[1:]
    if len(registers) == 1:
        lines = [clock]
        for condition, statement in zip(conditions, registers[0], strict=True):
            lines.append(f"    {condition} {statement}" if condition else f"    {statement}")
        return lines
    lines = [f"{clock} begin"]
    for k, condition in enumerate(conditions):
        if condition:
            lines.append(f"    {'end ' if k else ''}{condition} begin")
        lines += [f"    {'  ' if condition else ''}{branches[k]}" for branches in registers]
    return [*lines, *(["    end"] if conditions[-1] else []), "  end"]


def _print(module: _Module) -> str:
    _drop_unread(module)
    used = {name for line in module.body for name in IDENTIFIER.findall(line)}
    ports = sorted(module.directions, key=lambda name: _port_order(name, module.directions[name]))
    lines = [f"module {module.name} ("]
    for k, name in enumerate(ports):
        kind = "reg " if name in module.registers else "wire"
        init = module.registers.get(name, "")
        comma = "" if k == len(ports) - 1 else ","
        lines.append(f"  {module.directions[name]:6} {kind} {_range(name, module)}{name}{init}{comma}")
    lines.append(");")
    for name in sorted(used & set(module.widths) - set(module.directions), key=_natural):
        kind = "reg" if name in module.registers else "wire"
        depth = module.memories.get(name, "")
        lines.append(f"  {kind} {_range(name, module)}{name}{depth}{module.registers.get(name, '')};")
    return "\n".join([*lines, "", *module.body, "endmodule", ""])


def _drop_unread(module: _Module) -> None:
    """Drops wires that only repeat another under a second name and that nothing reads."""
    while True:
        unread = Counter(name for line in module.body for name in IDENTIFIER.findall(line))
        targets = [re.match(r"  assign (\w+)(?:\[[\d:]+\])? = ", line) for line in module.body]
        unread.subtract(target[1] for target in targets if target)
        kept = []
        for line, target in zip(module.body, targets, strict=True):
            if target is None or target[1] in module.directions or unread[target[1]] > 0:
                kept.append(line)
        if len(kept) == len(module.body):
            return
        module.body = kept


def _range(name: str, module: _Module) -> str:
    return f"[{module.widths[name] - 1}:0] " if module.widths[name] > 1 else ""


def _natural(name: str) -> list[tuple[bool, int, str]]:
    return [(part.isdigit(), int(part) if part.isdigit() else 0, part) for part in re.split(r"(\d+)", name)]


def _port_order(name: str, direction: str) -> tuple[int, int, list[tuple[bool, int, str]]]:
    """Clock, reset, the streams that come in, other ports, the streams that go out."""
    if name in ("clk", "aclk", "rst", "aresetn"):
        return 0, ("clk" not in name), []
    if re.match(r"s_axis|i\d*__", name):
        return 1, 0, _natural(name)
    if re.match(r"m_axis|o\d*__", name):
        return 3, 0, _natural(name)
    return 2, direction == "output", _natural(name)
