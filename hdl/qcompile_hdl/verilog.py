"""Amaranth to Verilog: fast, readable, and the same bytes every time."""

from __future__ import annotations

import gc
import re
from collections.abc import Mapping
from typing import Any

from amaranth._toolchain.yosys import find_yosys
from amaranth.back import rtlil

# Registers become `if (reset) … else if (enable) …`; opt_clean first, or unused copies hide that form.
# opt_merge before opt_dff names equal enables once. No pass here moves logic across registers.
PASSES = """
proc
opt_expr
opt_merge
opt_clean
opt_dff
opt_merge
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
    return _tidy(yosys.run(["-q", "-"], script, ignore_warnings=True), comments or {})


def _tidy(text: str, comments: Mapping[str, str]) -> str:
    text = text[text.index("\nmodule ") + 1 :]
    modules = re.findall(r"^module (\\?\S+?) ?\(", text, re.M)
    plain = {module: re.sub(r"\W", "_", module.removeprefix("\\")) for module in modules}
    if len(set(plain.values())) < len(plain):
        raise ValueError(f"module names collide once they are plain identifiers: {sorted(plain)}")
    text = re.sub(
        r"^(module |  )(\\\S+) (?= ?\(| \S+ \($)",
        lambda m: m[1] + plain.get(m[2], m[2] + " "),
        text,
        flags=re.M,
    )
    missing = sorted(set(comments) - set(plain.values()))
    if missing:
        raise ValueError(f"no module {', '.join(missing)}; there are {', '.join(sorted(plain.values()))}")
    for module, comment in comments.items():
        block = "".join(f"// {line}".rstrip() + "\n" for line in comment.splitlines())
        text = re.sub(rf"^(?=module {re.escape(module)} ?\()", lambda _, b=block: b, text, flags=re.M)
    return text
