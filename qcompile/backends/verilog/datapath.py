"""A pipelined datapath graph as one Verilog module, through the templates in ``templates/verilog``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from qcompile.backends.linear_forms import linear_forms
from qcompile.ir import datapath
from qcompile.ir.graph import Node
from qcompile.numerics.span import Span
from qcompile.schedule.cells import Chain, three_input_chain
from qcompile.schedule.design import Datapath
from qcompile.templates import render

_ARITHMETIC = (
    datapath.ShiftAdd,
    datapath.AddConstant,
    datapath.Negate,
    datapath.ShiftLeft,
    datapath.ShiftRight,
    datapath.RoundEven,
    datapath.RoundSignificand,
    datapath.Clamp,
    datapath.Maximum,
    datapath.Select,
    datapath.BoothDigit,
    datapath.SignedShift,
    datapath.Extend,
)


@dataclass(frozen=True)
class _Statement:
    """One operation as the templates see it; the fields are explained in ``ops.v.j2``."""

    name: str
    op: datapath.DatapathOp
    inputs: tuple[str, ...]
    signed: bool
    spans: tuple[Span, ...]
    result: Span
    condition: str
    bits: tuple[str, ...]
    note: str
    passing: int
    low: int
    high: int
    chain: Chain | None = None

    @property
    def mnemonic(self) -> str:
        return self.op.mnemonic

    @property
    def declaration(self) -> str:
        return _declared(self.result)

    @property
    def disjoint(self) -> bool:
        """Whether the operands of a `ShiftAdd` have no bits in common."""
        assert isinstance(self.op, datapath.ShiftAdd)
        return self.op.disjoint(*self.spans)

    @property
    def upper(self) -> Span:
        """What the sum is above the bits that pass."""
        return Span(self.result.low >> self.passing, self.result.high >> self.passing)

    @property
    def upper_declaration(self) -> str:
        return _declared(self.upper)

    def literal(self, value: int, spare: int = 0) -> str:
        width = max([self.result.width, *(s.width for s in self.spans)]) + spare
        return _literal(value, max(width, Span(value, value).width + self.signed), self.signed)

    def bit(self, index: int) -> str:
        """Bit ``index`` of the first operand; beyond its width the sign, or 0."""
        plain = self.condition
        span = self.spans[0]
        if index >= span.width:
            if not span.signed:
                return self.literal(0)
            index = span.width - 1
        chosen = f"{plain}[{index}]" if span.width > 1 else plain
        return f"$signed({{1'b0, {chosen}}})" if self.signed else chosen

    @property
    def binades(self) -> list[dict[str, Any]]:
        """What a `RoundSignificand` does where the operand has so many bits, the largest magnitudes first.

        ``reached``: the condition, empty for the last; ``drop``: bits that are cut; ``odd``: the bit above them.
        """
        op = self.op
        assert isinstance(op, datapath.RoundSignificand)
        x, span = self.condition, self.spans[0]
        top = span.width - 1 - span.signed  # the highest bit of the magnitude
        found = []
        for drop in range(op.largest_drop(span), op.shift - 1, -1):
            first = drop + op.bits - 1
            above = f"{x}[{top}:{first}]" if span.width > 1 else x
            if span.signed:
                above = f"{above} ^ {{{top - first + 1}{{{x}[{span.width - 1}]}}}}"
            place = min(drop, span.width - 1)
            odd = "1'b0" if drop >= span.width and not span.signed else (f"{x}[{place}]" if span.width > 1 else x)
            reached = f"|({above})" if drop > op.shift else ""
            found.append({"reached": reached, "drop": drop, "odd": odd})
        return found

    @property
    def spare(self) -> int:
        """Bits beyond operand and result that the sum of a `RoundSignificand` needs."""
        op = self.op
        assert isinstance(op, datapath.RoundSignificand)
        operand, result = self.spans[0].width, self.result.width
        return max(operand, result + op.shift, op.shift + 1) + 1 - max(operand, result)

    def kept(self, drop: int) -> str:
        """The mask of a sum of a `RoundSignificand` without its lowest ``drop`` bits."""
        if self.signed:
            return self.literal(-(1 << drop), self.spare)
        width = max(self.spans[0].width, self.result.width) + self.spare
        return self.literal((1 << width) - (1 << drop), self.spare)


def _literal(value: int, width: int, signed: bool) -> str:
    if signed and value == -(1 << (width - 1)):
        # Its magnitude does not fit: a minus before it would be lost where the expression is wider.
        return f"{width}'sh{value & ((1 << width) - 1):x}"
    text = f"{width}'{'s' if signed else ''}d{abs(value)}"
    return f"-{text}" if value < 0 else text


def _declared(span: Span) -> str:
    """``signed [7:0] `` and the like, to stand between ``wire`` and the name."""
    bits = f"[{span.width - 1}:0] " if span.width > 1 else ""
    return ("signed " if span.signed else "") + bits


_CARRY_BITS = {"CARRY8": 8, "CARRY4": 4}


def render_three_input_adder(name: str, carry_cell: str) -> str:
    """Verilog-2005 of module ``name``, the adder of three operands on a family's carry chain."""
    return render("verilog/add_three.v.j2", name=name, cell=carry_cell, bits=_CARRY_BITS[carry_cell])


def render_datapath(name: str, path: Datapath, about: str, adder: str = "") -> str:
    """Verilog-2005 of ``path`` as module ``name``; ``about`` says in the head what it implements.

    ``adder`` is the module of `render_three_input_adder`, for paths that have such.

    Ports: ``clk``, ``enable`` (registers hold while 0), ``x`` (operand streams side by side, lane 0 lowest),
    ``y``. The result for an operand taken in one enabled cycle is at ``y`` after ``latency`` enabled cycles.
    """
    return _Renderer(path).render(name, about, adder)


class _Renderer:
    def __init__(self, path: Datapath) -> None:
        self.path = path
        self.types: dict[str, Span] = dict(path.graph.types)
        self.forms = linear_forms(path.graph)

    def render(self, name: str, about: str, adder: str) -> str:
        graph, latency = self.path.graph, self.path.latency
        lanes = [(n.name, self.types[n.name]) for n in graph.nodes if isinstance(n.op, datapath.Input)]
        offsets, place = {}, 0
        for lane, span in lanes:
            offsets[lane] = place
            place += span.width
        statements: list[list[_Statement]] = [[] for _ in range(max(latency, 1))]
        used = self._used()
        for node in graph.nodes:
            if node.name in used and self.types[node.name].size > 1:
                statements[self.path.stage_of[node.name]].append(self._statement(node, offsets))
        return render(
            "verilog/datapath.v.j2",
            name=name,
            about=about.splitlines(),
            latency=latency,
            x_width=max(place, 1),
            stages=statements,
            registers=self._registers(used),
            tables=[s for stage in statements for s in stage if isinstance(s.op, datapath.Lookup)],
            literal=_literal,
            adder=adder,
            outputs=self._outputs(),
        )

    def _used(self) -> set[str]:
        """Values that something reads (an input lane may have no weight)."""
        used = set(self.path.graph.outputs)
        for node in self.path.graph.nodes:
            used.update(node.inputs)
        return used

    def _at(self, name: str, stage: int) -> str:
        """The copy of a value that stage ``stage`` reads."""
        return name if stage == self.path.stage_of[name] else f"{name}_s{stage}"

    def _reference(self, name: str, stage: int, signed: bool) -> str:
        span = self.types[name]
        if span.size == 1:
            return _literal(span.low, span.width + (signed and not span.signed), signed)
        copy = self._at(name, stage)
        return f"$signed({{1'b0, {copy}}})" if signed and not span.signed else copy

    def _statement(self, node: Node, offsets: dict[str, int]) -> _Statement:
        op = node.op
        assert isinstance(op, datapath.DatapathOp)
        stage = self.path.stage_of[node.name]
        spans = tuple(self.types[name] for name in node.inputs)
        result = self.types[node.name]
        signed = any(s.signed for s in spans) or (isinstance(op, _ARITHMETIC) and result.signed)
        chain = three_input_chain(op, list(spans), result) if isinstance(op, datapath.AddThree) else None
        low = offsets.get(node.name, 0)
        return _Statement(
            name=node.name,
            op=op,
            inputs=tuple(
                self._reference(name, stage, span.signed if chain else signed)
                for name, span in zip(node.inputs, spans, strict=True)
            ),
            signed=signed,
            spans=spans,
            result=result,
            condition=self._reference(node.inputs[0], stage, False) if node.inputs else "",
            bits=tuple(self._reference(name, stage, False) for name in node.inputs[1:]),
            note=self.forms.get(node.name, ""),
            passing=self._passing(node, result),
            low=low,
            high=low + result.width - 1,
            chain=chain,
        )

    def _passing(self, node: Node, result: Span) -> int:
        """Low bits of one operand that an adder passes through, because the other is shifted beyond them.

        Written as wires they cost nothing; synthesis does not find all of them by itself.
        """
        match node.op:
            case datapath.ShiftAdd(left_shift=0, right_shift=shift):
                through = self.types[node.inputs[0]]
            case datapath.ShiftAdd(left_shift=shift, right_shift=0, subtract=False):
                through = self.types[node.inputs[1]]
            case _:
                return 0
        fits = through.size > 1 and shift < min(through.width, result.width)
        return shift if fits else 0

    def _registers(self, used: set[str]) -> list[list[dict[str, Any]]]:
        """Per stage the registers at its end: declaration, register, and what it takes over."""
        result: list[list[dict[str, Any]]] = [[] for _ in range(max(self.path.latency, 1))]
        for node in self.path.graph.nodes:
            name = node.name
            if name not in used or self.types[name].size == 1:
                continue
            for stage in range(self.path.stage_of[name], self.path.last_read[name]):
                result[stage].append(
                    {
                        "declaration": _declared(self.types[name]),
                        "name": f"{name}_s{stage + 1}",
                        "source": self._at(name, stage),
                    }
                )
        return result

    def _outputs(self) -> list[dict[str, Any]]:
        result, place = [], 0
        for name in self.path.graph.outputs:
            span = self.types[name]
            value = self._reference(name, self.path.latency, span.signed)
            result.append({"low": place, "high": place + span.width - 1, "value": value})
            place += span.width
        return result
