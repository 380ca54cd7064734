"""Yosys's Verilog made readable: plain names, ANSI ports, expressions instead of numbered wires.

Works line by line on what ``write_verilog -noattr`` writes after ``proc``, where every assignment has one operator.
The result has the same registers, ports and logic.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping

from .verilog_inline import group_registers, inline
from .verilog_module import ASSIGN, IDENTIFIER, INSTANCE, TEMPORARY, Module, parse, rename, width_of

ESCAPED = re.compile(r"\\(\S+) ?")
TARGET = re.compile(r"  assign (\w+)(?:\[[\d:]+\])? = ")
CONNECTION = re.compile(r"    \.(\w+)\((.*)\)(,?)$")


def tidy(text: str, comments: Mapping[str, str]) -> str:
    """``comments`` maps a module's plain name to the text above it; ValueError for a module that is not there."""
    text, originals = _plain_names(text)
    modules = [parse(header, body) for header, body in _split(text)]
    by_name = {module.name: module for module in modules}
    if len(by_name) < len(modules):
        raise ValueError(f"module names collide as plain identifiers: {sorted(m.name for m in modules)}")
    unknown = sorted(set(comments) - set(by_name))
    if unknown:
        raise ValueError(f"no module {', '.join(unknown)}; there are {', '.join(sorted(by_name))}")
    _name_ports(modules, originals)
    _drop_unread(modules)
    out = []
    for module in modules:
        _name_nets(module, by_name)
        inline(module)
        group_registers(module)
        comment = comments.get(module.name, "")
        out.append("".join(f"// {line}".rstrip() + "\n" for line in comment.splitlines()) + _print(module))
    return "\n".join(out)


def _plain_names(text: str) -> tuple[str, dict[str, str]]:
    """Escaped identifiers as plain ones, never two as one; also what each new name was."""
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

    return ESCAPED.sub(rename, text), {new: old for old, new in plain.items()}


def _split(text: str) -> list[tuple[str, list[str]]]:
    found = re.findall(r"^module (\w+) ?\(.*?\);\n(.*?)^endmodule$", text, re.M | re.S)
    return [(name, body.splitlines()) for name, body in found]


def _name_ports(modules: list[Module], originals: Mapping[str, str]) -> None:
    """Ports without the number that told them from nets of the same name; parts of a signal named after it."""
    renamed: dict[str, dict[str, str]] = {}
    for module in modules:
        parts = _parts(module)
        names: dict[str, str] = {}
        for port in module.directions:
            numbered = re.fullmatch(r"([A-Za-z_]\w*)\$\d+", originals.get(port, ""))
            wanted = (numbered[1] if numbered else parts.get(port, port)).replace("__", "_")
            if wanted == port or wanted in module.directions or wanted in names.values():
                continue
            names[port] = wanted
            if wanted in module.widths:
                names[wanted] = port
        rename(module, names)
        renamed[module.name] = names
    for module in modules:
        child: dict[str, str] = {}
        for position, line in enumerate(module.body):
            if match := INSTANCE.fullmatch(line):
                child = renamed.get(match[1], {})
            elif match := CONNECTION.fullmatch(line):
                module.body[position] = f"    .{child.get(match[1], match[1])}({match[2]}){match[3]}"


def _parts(module: Module) -> dict[str, str]:
    """Ports that have only a number, as ``signal_high_low`` of a signal that is put together from them."""
    found: dict[str, str] = {}
    for line in module.body:
        match = ASSIGN.fullmatch(line)
        if match is None or not match[2].startswith("{") or TEMPORARY.fullmatch(match[1]):
            continue
        high = module.widths.get(match[1], 0) - 1
        for part in match[2].strip("{ }").split(", "):
            width = width_of(part, module)
            if re.fullmatch(r"port_\d+_\d+", part):
                found.setdefault(part, f"{match[1]}_{high}_{high - width + 1}")
            high -= width
    return found


def _name_nets(module: Module, modules: Mapping[str, Module]) -> None:
    """A net that an instance drives is called ``instance_port``; no other has two underscores in a row.

    Of modules that are not among these, the outputs are those at nets without another source.
    """
    ends: list[tuple[str, str, str, str]] = []
    instance = kind = ""
    for line in module.body:
        if match := INSTANCE.fullmatch(line):
            kind, instance = match[1], match[2]
        elif match := CONNECTION.fullmatch(line):
            ends.append((kind, instance, match[1], match[2]))
    outputs = {(name, port) for name, m in modules.items() for port, way in m.directions.items() if way == "output"}
    driven = {match[1] for line in module.body if (match := TARGET.match(line))}
    driven |= {net for kind, _, port, net in ends if (kind, port) in outputs}
    driven |= set(module.directions) | set(module.registers)

    names: dict[str, str] = {}
    taken = set(module.widths)

    def name_net(net: str, wanted: str) -> None:
        if net in module.widths and net not in module.directions and net not in names and wanted not in taken:
            names[net] = wanted
            taken.add(wanted)

    for kind, instance, port, net in ends:
        if (kind, port) in outputs or (kind not in modules and net not in driven):
            name_net(net, f"{instance}_{port}".replace("__", "_"))
    for net in module.widths:
        if "__" in net:
            name_net(net, net.replace("__", "_"))
    rename(module, names)


def _print(module: Module) -> str:
    used = {name for line in module.body for name in IDENTIFIER.findall(line)}
    ports = sorted(module.directions, key=lambda name: _port_order(name, module.directions[name]))
    lines = [f"module {module.name} ("]
    for k, name in enumerate(ports):
        kind = "reg " if name in module.registers else "wire"
        comma = "" if k == len(ports) - 1 else ","
        lines.append(f"  {module.directions[name]:6} {kind} {_range(name, module)}{name}{comma}")
    lines.append(");")
    for name in sorted(used & set(module.widths) - set(module.directions), key=_natural):
        kind = "reg" if name in module.registers else "wire"
        depth = module.memories.get(name, "")
        lines.append(f"  {kind} {_range(name, module)}{name}{depth};")
    return "\n".join([*lines, *_initial(module), "", *module.body, "endmodule", ""])


def _initial(module: Module) -> list[str]:
    """Initial values, in a block: with the declaration of what is assigned elsewhere, they are a lint warning."""
    names = sorted((name for name, init in module.registers.items() if init), key=_natural)
    values = [f"{name}{module.registers[name]};" for name in names]
    if len(values) < 2:
        return ["", *(f"  initial {value}" for value in values)] if values else []
    return ["", "  initial begin", *(f"    {value}" for value in values), "  end"]


def _drop_unread(modules: list[Module]) -> None:
    """Drops wires that only repeat another under a second name, then inputs that nothing reads, except at the top.

    Modules come before their children.
    """
    dropped: dict[str, set[str]] = {}
    for module in reversed(modules):
        _disconnect(module, dropped)
        _drop_unread_wires(module)
        read = {name for line in module.body for name in IDENTIFIER.findall(line)}
        unread = {name for name, direction in module.directions.items() if direction == "input"} - read
        if module is not modules[0]:
            dropped[module.name] = unread
            for name in unread:
                del module.directions[name], module.widths[name]


def _disconnect(module: Module, dropped: Mapping[str, set[str]]) -> None:
    body: list[str] = []
    gone: set[str] = set()
    for line in module.body:
        if match := INSTANCE.fullmatch(line):
            gone = dropped.get(match[1], set())
        elif (match := CONNECTION.fullmatch(line)) and match[1] in gone:
            continue
        elif line == "  );":
            body[-1] = body[-1].removesuffix(",")
        body.append(line)
    module.body = body


def _drop_unread_wires(module: Module) -> None:
    while True:
        unread = Counter(name for line in module.body for name in IDENTIFIER.findall(line))
        targets = [TARGET.match(line) for line in module.body]
        unread.subtract(target[1] for target in targets if target)
        kept = []
        for line, target in zip(module.body, targets, strict=True):
            if target is None or target[1] in module.directions or unread[target[1]] > 0:
                kept.append(line)
        if len(kept) == len(module.body):
            return
        module.body = kept


def _range(name: str, module: Module) -> str:
    return f"[{module.widths[name] - 1}:0] " if module.widths[name] > 1 else ""


def _natural(name: str) -> list[tuple[bool, int, str]]:
    return [(part.isdigit(), int(part) if part.isdigit() else 0, part) for part in re.split(r"(\d+)", name)]


def _port_order(name: str, direction: str) -> tuple[int, int, list[tuple[bool, int, str]]]:
    """Clock, reset, the streams that come in, other ports, the streams that go out."""
    if name in ("clk", "aclk", "rst", "aresetn", "aclken"):
        return 0, ("clk" not in name) + (name == "aclken") * 2, []
    if re.match(r"s_axis|i\d*_|in_", name):
        return 1, 0, _natural(name)
    if re.match(r"m_axis|o\d*_|out_", name):
        return 3, 0, _natural(name)
    return 2, direction == "output", _natural(name)
