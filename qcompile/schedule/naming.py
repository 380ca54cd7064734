"""Names of modules and signals: those of the ONNX nodes, as identifiers that every tool accepts."""

from __future__ import annotations

import re

from qcompile.schedule.partition import Group

_RESERVED = frozenset(
    """always and assign begin buf case else end endcase endmodule for function if initial inout input integer
    logic module nand negedge nor not or output parameter posedge reg signed table task time tri wait while wire
    xor clk enable top core input_slice output_slice""".split()  # noqa: SIM905
)


def identifier(name: str) -> str:
    """``name`` as a Verilog, VHDL and C++ identifier: letters, digits, single underscores."""
    plain = re.sub(r"_+", "_", re.sub(r"[^A-Za-z0-9]", "_", name)).strip("_")
    if not plain or plain[0].isdigit():
        plain = f"n{plain}"
    return f"{plain}_" if plain in _RESERVED else plain


class Names:
    """Unique layer names, in order of request."""

    def __init__(self) -> None:
        self._taken: set[str] = set()

    def layer(self, group: Group) -> str:
        """The anchor's ONNX node, else the value's own name; numbered where two layers share it."""
        return self.free(identifier(group.anchor.origin[-1] if group.anchor.origin else group.result).lower())

    def free(self, stem: str) -> str:
        """``stem``, numbered where it is taken."""
        name, count = stem, 1
        while name in self._taken:
            count += 1
            name = f"{stem}_{count}"
        self._taken.add(name)
        return name

    def lanes(self, operand: int, count: int, kernel: tuple[int, int] | None) -> list[str]:
        """Lane names of operand stream ``operand``: ``x3``, or ``x_r0_c2_3``: row, column, channel of a window."""
        letter = "xuvw"[operand] if operand < 4 else f"x{operand}_"
        if kernel is None or kernel == (1, 1):
            return [f"{letter}{k}" for k in range(count)]
        channels = count // (kernel[0] * kernel[1])
        return [
            f"{letter}_r{k // channels // kernel[1]}_c{k // channels % kernel[1]}_{k % channels}" for k in range(count)
        ]
