"""LUTs of one datapath operation, as Yosys maps the Verilog of it.

The figures are those of single operations between registers, synthesized for UltraScale+ (`synth_xilinx`), for
all of which `benchmarks/resources.py --operations` prints formula and measurement. A LUT in front of a carry
chain is only there where the sum of two variable bits is formed; where one operand ends (or is a constant), its
bit goes into the chain as it is, inverted at most. Families with four-input LUTs have one LUT per bit of a carry
chain, whatever it adds, and more of them for other logic.
"""

from __future__ import annotations

from dataclasses import dataclass

from qcompile.ir import datapath
from qcompile.ir.graph import Node
from qcompile.numerics.rounding import Rounding
from qcompile.numerics.span import Span
from qcompile.targets import Family, Target

_FREE_CARRY = (Family.ULTRASCALE_PLUS, Family.SERIES_7)
_LUT4_LOGIC = 2.0  # four-input LUTs in place of one of six inputs, for logic that is not a carry chain


def luts(node: Node, operands: list[Span], result: Span, target: Target) -> float:
    """LUTs of an operation; nothing where its result is constant."""
    if result.size == 1:
        return 0.0
    if isinstance(node.op, datapath.AddThree):
        # Yosys looks into a CARRY4: its first two sums have a constant carry then, and become inverters.
        inverters = 2 if node.op.subtracted == 2 and target.carry_cell == "CARRY4" else 0
        return float(three_input_chain(node.op, operands, result).luts + inverters)
    carried = _carry_luts(node.op, operands, result)
    if carried is not None:
        sparse, every = carried
        if target.family is Family.ECP5:
            every += every % 2  # a CCU2C adds two bits
        return float(max(0, sparse if target.family in _FREE_CARRY else every))
    logic = _logic_luts(node.op, operands, result)
    return logic if target.lut_inputs >= 6 else logic * _LUT4_LOGIC


def _carry_luts(op: object, operands: list[Span], result: Span) -> tuple[int, int] | None:
    """``(LUTs in front of the chain, bits of the chain)`` of an operation that adds; None for others."""
    match op:
        case datapath.ShiftAdd() if op.disjoint(operands[0], operands[1]):
            return 0, 0
        case datapath.AddCarry():
            return min(operands[0].width, operands[1].width), result.width + 1
        case datapath.ShiftAdd(subtract=False):
            low = max(op.left_shift, op.right_shift)
            return _common_bits(op, operands, result) - low, result.width - low
        case datapath.ShiftAdd(left_shift=left, right_shift=right):
            bits = result.width - right
            if left <= right:
                return bits, bits
            # -b alone: its lowest bit is that of b; between the two operands there is only its sign.
            gap = max(0, left - right - operands[1].width)
            return bits - 1 - gap, bits
        case datapath.AddConstant(value=value):
            zeros = (value & -value).bit_length() - 1
            bits = operands[0].width - zeros
            ones = abs(value).bit_count()
            return (ones if value > 0 else bits - ones + 1), result.width - zeros
        case datapath.Negate():
            return operands[0].width - 1, operands[0].width
        case datapath.RoundEven(amount=amount):
            return max(1, amount - 1), operands[0].width
    return None


@dataclass(frozen=True)
class Chain:
    """Where an adder of three operands is one.

    Bits from ``first`` to ``shared`` have two operands at least, a LUT each; those to ``longest`` have one alone, which
    meets the carry of the LUT below in one more; those below ``first`` are wires.
    """

    first: int
    shared: int
    longest: int

    @property
    def luts(self) -> int:
        return self.shared - self.first + (self.longest > self.shared)


def three_input_chain(op: datapath.AddThree, operands: list[Span], result: Span) -> Chain:
    """The bits of the carry chain as `templates/verilog` builds it."""
    negative = [k >= 3 - op.subtracted for k in range(3)]
    lowest, second, _ = sorted(range(3), key=lambda k: op.shifts[k])
    first = op.shifts[lowest if negative[lowest] else second]
    first = first if first < result.width else 0
    if op.subtracted:  # a complement has ones above its operand
        return Chain(first, result.width, result.width)
    ends = [
        result.width if span.signed else min(result.width, span.width + shift)
        for span, shift in zip(operands, op.shifts, strict=True)
    ]
    _, shared, longest = sorted(max(first, end) for end in ends)
    return Chain(first, shared, longest)


def _common_bits(op: datapath.ShiftAdd, operands: list[Span], result: Span) -> int:
    """The end of the bits that both operands have, repeated signs counted once."""
    ends = [span.width + shift for span, shift in zip(operands, (op.left_shift, op.right_shift), strict=True)]
    longest = min(result.width, max(ends))
    return min([longest, *(end for span, end in zip(operands, ends, strict=True) if not span.signed)])


def _logic_luts(op: object, operands: list[Span], result: Span) -> float:
    """Six-input LUTs of an operation that does not add."""
    widest = max([result.width, *(o.width for o in operands)])
    match op:
        case datapath.Clamp():
            # Per bit of the result one LUT, which sees the sign and whether the bits above it agree.
            return result.width + max(0, widest - result.width - 2) / 2
        case datapath.RoundSignificand(shift=shift, rounding=rounding):
            # Per binade what finds the leading one, what is added there, and the mask; half even sees one bit more.
            binades = op.largest_drop(operands[0]) - shift + 1
            if rounding is Rounding.FLOOR:
                return max(1.0, 1.5 * binades - 3)
            if rounding is Rounding.HALF_UP:
                return max(result.width, 4.0 * binades - 6)
            return max(result.width, (8.0 * binades - 28) * (1.3 if operands[0].signed else 1.0))
        case datapath.Greater():
            return min(widest - 1, widest * 2 / 3 + 1.5)
        case datapath.Maximum():
            if widest <= 2:  # two levels of a tree fit one LUT
                return 0.6 * widest
            return min(2 * widest - 2, 1.5 * widest + 1)
        case datapath.AtLeast(value=value):
            bits = operands[0].width - ((value & -value).bit_length() - 1 if value else operands[0].width - 1)
            return 1.0 if bits <= 6 else bits / 3
        case datapath.Select() | datapath.BoothDigit():
            return float(result.width)
        case datapath.Xnor():
            return float(min(span.size for span in operands) > 1)
        case datapath.SignedShift():
            # A LUT chooses among four shifts; the sign and the flag mostly have room in that of an adder behind.
            return result.width * (2.0 ** max(0, len(operands) - 5) + 0.1)
        case datapath.CountOnes():
            return max(2.0, 1.5 * len(operands) - 5) if len(operands) > 1 else 0.0
        case datapath.Lookup():
            inputs = operands[0].width
            # Four tables of six inputs and their multiplexer (MUXF7, MUXF8) are free of overhead, more are not.
            return result.width * (0.9 if inputs <= 6 else 2.0 ** (inputs - 6) * (1.0 if inputs <= 8 else 1.4))
    return 0.0
