"""Expressions in place of the numbered wires that Yosys writes, and one always block per enable."""

from __future__ import annotations

import re
from collections import Counter

from .verilog_module import ASSIGN, IDENTIFIER, TEMPORARY, Module, width_of

OPERAND = r"[\w']+(?:\[[\d:]+\])?|\{[^{}]*\}"
UNARY = re.compile(rf"(~|!|&|\||\^) ({OPERAND})")
BINARY = re.compile(rf"({OPERAND}) (==|!=|<|<=|>|>=|&|\||\^|\+|-) ({OPERAND})")
CHAIN = re.compile(r"[\w'\[\]:]+ ([&|^]) [\w'\[\]:]+(?: \1 [\w'\[\]:]+)*")
CHOICE = re.compile(rf"({OPERAND}) \? ({OPERAND}) : ({OPERAND})")
CLOCKED = re.compile(r"  always @\(posedge \w+\)")
REGISTER = re.compile(r"    (?:(?:(if|else if) \((.*?)\)|(else)) )?(\w+(?:\[[\d:]+\])?) <= (.*);")
# A longer expression keeps its own line.
LONGEST_INLINED = 60


def inline(module: Module) -> None:
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
            if all(width_of(operand, module) in range(1, width + 1) for operand in _operands(match[2])):
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
        if match := UNARY.fullmatch(expression):
            return f"{match[1]}{expand(match[2], width) if match[1] == '~' else match[2]}"
        if match := CHAIN.fullmatch(expression):
            return f" {match[1]} ".join(expand(operand, width) for operand in expression.split(f" {match[1]} "))
        return expression

    def rewrite_line(line: str) -> str:
        if match := ASSIGN.fullmatch(line):
            return f"  assign {match[1]} = {rewrite(match[2], module.widths.get(match[1], 0))};"
        if match := REGISTER.fullmatch(line):
            keyword, condition, otherwise, target, value = match.groups()
            assignment = f"{target} <= {_bare(expand(value, width_of(target, module)))};"
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


def _simplify(line: str, module: Module) -> str:
    """``! x`` of a vector as a comparison, ``& { a, b }`` of single bits as ``a & b``."""
    match = ASSIGN.fullmatch(line)
    unary = UNARY.fullmatch(match[2]) if match else None
    if match is None or unary is None:
        return line
    width = width_of(unary[2], module)
    if unary[1] == "!" and width > 1:
        return f"  assign {match[1]} = {unary[2]} == {width}'h0;"
    bits = unary[2].strip("{ }").split(", ")
    if unary[1] in "&|^" and unary[2].startswith("{") and all(width_of(bit, module) == 1 for bit in bits):
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


def group_registers(module: Module) -> None:
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
        if not branches:
            body.append(line)
            continue
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
