"""Read-only memories that are read from the first word to the last and again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from amaranth.hdl import ClockSignal, Const, Instance, Module, Signal, unsigned
from amaranth.lib.memory import Memory

from ._counter import counter

_LUTS_PER_BLOCK = 64  # what a block RAM is worth: a ROM of more LUTs for each of its blocks becomes block RAM
_BLOCK_SHAPES = ((512, 36), (1024, 18), (2048, 9), (4096, 4), (8192, 2), (16384, 1))  # words, bits
_INITIAL = 64  # words per initial block: Yosys takes time quadratic in a block's length


def in_block_ram(words: int, width: int) -> bool:
    """Whether `rom_verilog` asks synthesis for block RAM: not where a few LUTs (64 words of a bit each) do."""
    blocks = min(-(-words // deep) * -(-width // wide) for deep, wide in _BLOCK_SHAPES)
    return -(-words // 64) * width > _LUTS_PER_BLOCK * blocks


def read_in_sequence(m: Module, name: str, words: Sequence[int], width: int, step: Any, module: str | None) -> Any:
    """The first word after the first step, the next after the second, and so on: block RAM with synchronous read.

    With ``module`` the memory is that Verilog module, whose text is `rom_verilog`.
    """
    if len(words) == 1:
        return Const(words[0], width)
    address, _ = counter(m, f"{name}_address", len(words), step)
    word = Signal(width, name=name)
    if module is not None:
        m.submodules[f"{name}_rom"] = Instance(
            module, i_clk=ClockSignal(), i_enable=step, i_address=address, o_word=word
        )
        return word
    m.submodules[f"{name}_rom"] = memory = Memory(shape=unsigned(width), depth=len(words), init=words)
    read = memory.read_port()
    m.d.comb += [read.en.eq(step), read.addr.eq(address), word.eq(read.data)]
    return word


def rom_verilog(module: str, words: Sequence[int], width: int, about: str = "") -> str:
    """A memory as a Verilog module of its own, with ports ``clk``, ``enable``, ``address`` and ``word``.

    ``word`` follows ``address`` by one enabled cycle. Amaranth takes seconds for a megabit, and the memory's text
    would bury the logic around it. ``about`` is printed above.
    """
    return "".join(_rom_lines(module, words, width, about))


def _rom_lines(module: str, words: Sequence[int], width: int, about: str) -> Iterator[str]:
    digits = -(-width // 4)
    address_width = max(1, (len(words) - 1).bit_length())
    for line in about.splitlines():
        yield f"// {line}".rstrip() + "\n"
    # Flattened, Yosys takes a small ROM's words apart together with the counter that reads them: twice the LUTs.
    yield f'(* keep_hierarchy = "yes" *)\nmodule {module} (\n  input  wire clk,\n  input  wire enable,\n'
    yield f"  input  wire [{address_width - 1}:0] address,\n  output reg  [{width - 1}:0] word\n);\n"
    style = '(* rom_style = "block" *) ' if in_block_ram(len(words), width) else ""
    yield f"  {style}reg [{width - 1}:0] words [0:{len(words) - 1}];\n\n"
    yield "  always @(posedge clk)\n    if (enable) word <= words[address];\n"
    for start in range(0, len(words), _INITIAL):
        yield "\n  initial begin\n"
        for place, word in enumerate(words[start : start + _INITIAL], start):
            yield f"    words[{place}] = {width}'h{word:0{digits}x};\n"
        yield "  end\n"
    yield "endmodule\n"
