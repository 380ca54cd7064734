"""Amaranth to Verilog: fast, readable, and the same bytes every time."""

from __future__ import annotations

import gc
from collections.abc import Mapping
from typing import Any

from amaranth._toolchain.yosys import find_yosys
from amaranth.back import rtlil
from amaranth.hdl import Fragment
from amaranth.hdl._ir import PortDirection
from amaranth.lib import wiring

from .verilog_text import tidy

# Registers become `if (reset) … else if (enable) …`; opt_clean first, or unused copies hide that form.
# opt_merge before opt_dff names equal enables once. No pass here moves logic across registers.
PASSES = """
proc
opt_expr
opt_merge
opt_clean
opt_dff -simple-dffe
opt_merge
opt_clean
wreduce
opt_clean
memory_collect
write_verilog -noattr
"""

# What linters ask about, and is meant; the waivers are for this text alone.
LINT = """\
// One file for all modules of the structure, parents first. A narrower operand is extended as Verilog defines it; of
// some signals not every bit is read: padding of the input pins, carries that cannot occur.
// verilator lint_off DECLFILENAME
// verilator lint_off WIDTHEXPAND
// verilator lint_off UNUSEDSIGNAL

"""


def to_verilog(
    elaboratable: Any, name: str = "top", ports: Any = None, comments: Mapping[str, str] | None = None
) -> str:
    """Verilog text of ``elaboratable`` and everything below it as module ``name``, children ``name_child``.

    ``ports`` as in `amaranth.back.verilog.convert`; by default those of the component's signature. Ports of components
    are called as in their signature, its levels joined by "_": ``i_payload``, ``i_valid``, ``i_ready``.
    ``comments`` maps module names of the result to text printed above them; ValueError for an unknown name.
    """
    collecting = gc.isenabled()
    gc.disable()
    try:
        text = _rtlil(elaboratable, name, ports)
    finally:
        if collecting:
            gc.enable()
    yosys = find_yosys(lambda version: version >= (0, 40))
    script = f"read_rtlil <<rtlil\n{text}\nrtlil\n{PASSES}"
    return LINT + tidy(yosys.run(["-q", "-"], script, ignore_warnings=True), comments or {})


def _rtlil(elaboratable: Any, name: str, ports: Any) -> str:
    fragment = Fragment.get(elaboratable, None)
    if ports is None:
        ports = {
            port: (signal, PortDirection.Input if member.flow is wiring.In else PortDirection.Output)
            for port, member, signal in _own_ports(elaboratable)
        }
    design = fragment.prepare(ports=ports, hierarchy=(name,))
    for component, part in design.elaboratables.items():
        if isinstance(component, wiring.Component):
            _name_own_ports(component, design.fragments[part])
    text, _ = rtlil.convert_fragment(design, name=name, emit_src=False)
    return text


def _own_ports(component: Any) -> list[tuple[str, Any, Any]]:
    members = component.signature.flatten(component)
    return [("_".join(map(str, path)), member, value) for path, member, value in members]


def _name_own_ports(component: Any, fragment: Any) -> None:
    """Amaranth calls a port after the first of all signals on its net: the component's own become the first."""
    others = fragment.signal_names
    names = type(others)()
    for port, _, signal in _own_ports(component):
        if signal in others:
            names[signal] = port
    taken = set(names.values())
    for signal, name in others.items():
        if signal not in names:
            names[signal] = name if name not in taken else f"{name}${len(others)}"
    fragment.signal_names = names
