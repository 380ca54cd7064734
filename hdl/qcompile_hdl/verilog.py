"""Amaranth to Verilog: fast, readable, and the same bytes every time."""

from __future__ import annotations

import gc
from collections.abc import Mapping
from typing import Any

from amaranth._toolchain.yosys import find_yosys
from amaranth.back import rtlil

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


def to_verilog(
    elaboratable: Any, name: str = "top", ports: Any = None, comments: Mapping[str, str] | None = None
) -> str:
    """Verilog text of ``elaboratable`` and everything below it as module ``name``, children ``name_child``.

    ``ports`` as in `amaranth.back.verilog.convert`; by default those of the component's signature.
    ``comments`` maps module names of the result to text printed above them; ValueError for an unknown name.
    """
    collecting = gc.isenabled()
    gc.disable()
    try:
        text = rtlil.convert(elaboratable, name, ports=ports, emit_src=False)
    finally:
        if collecting:
            gc.enable()
    yosys = find_yosys(lambda version: version >= (0, 40))
    script = f"read_rtlil <<rtlil\n{text}\nrtlil\n{PASSES}"
    return tidy(yosys.run(["-q", "-"], script, ignore_warnings=True), comments or {})
