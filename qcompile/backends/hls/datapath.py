"""A datapath graph as the C++ of one layer: small functions of statements, through ``templates/hls``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from dataclasses import field as made_by

from qcompile.backends.hls.naming import cpp_name
from qcompile.backends.hls.rom import Field, Rom
from qcompile.backends.linear_forms import linear_forms
from qcompile.ir import datapath
from qcompile.ir.graph import Node
from qcompile.numerics.span import Span, union
from qcompile.schedule.design import Datapath
from qcompile.templates import environment, render

_MOST_STATEMENTS = 200  # of a function: compilers need more than linear time for longer ones
_LETTERS = "xuvw"  # of operand streams, as in the names of lanes


@dataclass(frozen=True)
class Beat:
    """A beat that enters a datapath: its C++ type and name."""

    type: str
    name: str


@dataclass(frozen=True)
class Statement:
    """One operation as ``ops.cpp.j2`` sees it. ``shared``: a member of the struct that all parts see."""

    name: str
    op: datapath.DatapathOp
    inputs: tuple[str, ...]
    spans: tuple[Span, ...]
    result: Span
    wide: Span
    shared: bool = False
    beat: str = ""
    field: Field | None = None
    table: str = ""
    note: str = ""

    @property
    def lane_place(self) -> tuple[int, int]:
        """Where an input lane enters: stream and lane."""
        assert isinstance(self.op, datapath.Input)
        return self.op.stream, self.op.lane

    @property
    def mnemonic(self) -> str:
        return self.op.mnemonic


@dataclass(frozen=True)
class Table:
    """A constant table: ``values[index - first]``."""

    name: str
    first: int
    index: Span
    result: Span
    values: tuple[int, ...]


@dataclass(frozen=True)
class Result:
    """``value`` leaves as lane ``lane`` of the result."""

    lane: int
    value: str


@dataclass
class _Part:
    lanes: list[Statement] = made_by(default_factory=list)
    statements: list[Statement] = made_by(default_factory=list)
    outputs: list[Result] = made_by(default_factory=list)


@dataclass(frozen=True)
class _Group:
    span: Span
    names: tuple[str, ...]


def beat_names(count: int) -> list[str]:
    """Names of the beats of ``count`` operand streams."""
    return [_LETTERS[k] if k < len(_LETTERS) else f"x{k}" for k in range(count)]


def intermediate(op: datapath.DatapathOp, spans: Sequence[Span], result: Span) -> Span:
    """A span that holds whatever the C++ of ``op`` computes on the way, its literals included."""
    match op:
        case datapath.ShiftAdd(left_shift=left, right_shift=right):
            return union([result, spans[0].scaled(1 << left), spans[1].scaled(1 << right)])
        case datapath.AddThree(shifts=shifts, subtracted=subtracted):
            a, b, c = (span.scaled(1 << shift) for span, shift in zip(spans, shifts, strict=True))
            return union([result, a, b, c, a + (-b if subtracted == 2 else b)])
        case datapath.RoundEven(amount=amount):
            return union([spans[0], spans[0] + Span(0, 1 << amount), Span(0, 1 << amount)])
        case datapath.RoundSignificand():
            half = 1 << op.largest_drop(spans[0])
            return union([spans[0], spans[0] + Span(0, half), Span(-half, half), result])
        case datapath.AddConstant(value=value):
            return union([spans[0], result, Span(-abs(value), abs(value))])
        case datapath.Clamp(low=low, high=high):
            return union([spans[0], Span(min(low, high), max(low, high))])
        case datapath.AtLeast(value=value):
            return union([spans[0], Span(value, value)])
        case datapath.BoothDigit():
            twice = union([spans[0].scaled(2), Span(0, 0)])
            return union([twice, -twice, twice + Span(-1, -1), -twice + Span(-1, -1)])
        case datapath.SignedShift():
            most = union([spans[0].scaled(1 << ((1 << len(spans) - 3) - 1)), spans[0], Span(0, 0)])
            return union([most, -most, -most + Span(-1, -1)])
        case datapath.Greater():
            return union(spans)
        case datapath.Lookup(low=low):
            return union([spans[0], spans[0] + Span(-low, -low), Span(-abs(low), abs(low)), result])
    return union([result, *spans])


def widest(path: Datapath) -> Span:
    """Holds every value of the datapath, intermediate ones included."""
    types = path.graph.types
    spans = [Span(0, 1)]
    for node in path.graph.nodes:
        assert isinstance(node.op, datapath.DatapathOp)
        spans.append(intermediate(node.op, [types[name] for name in node.inputs], types[node.name]))
    return union(spans)


def render_datapath(
    top: str, name: str, path: Datapath, operands: Sequence[Beat], result: str, about: str, rom: Rom | None = None
) -> str:
    """C++ of ``path`` as ``<name>_datapath::apply``; ``about`` says in the head what it implements.

    With ``rom`` the lanes of the operand after ``operands`` are fields of its words.
    """
    return _Renderer(name, path, operands, rom).render(top, result, about)


class _Renderer:
    def __init__(self, name: str, path: Datapath, operands: Sequence[Beat], rom: Rom | None) -> None:
        self.name = name
        self.rom = rom
        self.graph = path.graph
        self.operands = operands
        self.types: dict[str, Span] = dict(path.graph.types)
        self.notes = linear_forms(path.graph)
        self.only_value = environment().get_template("hls/ops.cpp.j2").module.only_value  # type: ignore[attr-defined]
        self.tables: dict[tuple[object, ...], Table] = {}

    def render(self, top: str, result: str, about: str) -> str:
        order = list(self._outputs_first())
        home: dict[str, int] = {}
        for count, node in enumerate(order):
            home[node.name] = count // _MOST_STATEMENTS
        shared = self._crossing(order, home)
        parts = [_Part() for _ in range(max(home.values(), default=0) + 1)]
        declared: list[set[str]] = [set() for _ in parts]
        for node in order:
            part = home[node.name]
            self._declare_lanes(node.inputs, parts[part], declared[part])
            parts[part].statements.append(self._statement(node, shared))
        for lane, name in enumerate(self.graph.outputs):
            part = home.get(name, len(parts) - 1)
            self._declare_lanes((name,), parts[part], declared[part])
            parts[part].outputs.append(Result(lane, self._reference(name, shared)))
        for each in parts:
            each.lanes.sort(key=lambda n: n.lane_place)
        return render(
            "hls/datapath.cpp.j2",
            name=self.name,
            top=top,
            about=about.splitlines(),
            operands=self.operands,
            result=result,
            parts=parts,
            shared=self._groups(shared),
            tables=list(self.tables.values()),
            rom=self.rom,
        )

    def _outputs_first(self) -> Iterator[Node]:
        """Operations in an order that finishes one output before it begins the next: few values wait for long."""
        done: set[str] = set()
        for output in self.graph.outputs:
            stack = [(output, False)]
            while stack:
                name, ready = stack.pop()
                node = self.graph.by_name[name]
                if name in done or isinstance(node.op, datapath.Input) or self.types[name].size == 1:
                    continue
                if ready:
                    done.add(name)
                    yield node
                    continue
                stack.append((name, True))
                stack.extend((operand, False) for operand in reversed(node.inputs))

    def _crossing(self, order: list[Node], home: dict[str, int]) -> dict[str, Span]:
        """Values that one part computes and another reads."""
        crossing: dict[str, Span] = {}
        for node in order:
            for name in node.inputs:
                if name in home and home[name] != home[node.name]:
                    crossing[name] = self.types[name]
        return {node.name: crossing[node.name] for node in order if node.name in crossing}

    def _groups(self, shared: dict[str, Span]) -> list[_Group]:
        names: dict[tuple[bool, int], list[str]] = {}
        spans: dict[tuple[bool, int], Span] = {}
        for name, span in shared.items():
            key = (span.signed, span.width)
            names.setdefault(key, []).append(cpp_name(name))
            spans.setdefault(key, span)
        return [_Group(spans[key], tuple(names[key])) for key in sorted(names)]

    def _reference(self, name: str, shared: dict[str, Span]) -> str:
        span = self.types[name]
        if span.size == 1:
            return str(self.only_value(span))
        return f"v.{cpp_name(name)}" if name in shared else cpp_name(name)

    def _declare_lanes(self, names: Sequence[str], part: _Part, declared: set[str]) -> None:
        for name in names:
            op = self.graph.by_name[name].op
            if not isinstance(op, datapath.Input) or name in declared or self.types[name].size == 1:
                continue
            declared.add(name)
            from_rom = op.stream == len(self.operands)
            beat = "" if from_rom else self.operands[op.stream].name
            field = self.rom.fields[op.lane] if self.rom is not None and from_rom else None
            span = self.types[name]
            part.lanes.append(Statement(cpp_name(name), op, (), (), span, span, beat=beat, field=field))

    def _statement(self, node: Node, shared: dict[str, Span]) -> Statement:
        op = node.op
        assert isinstance(op, datapath.DatapathOp)
        spans = tuple(self.types[name] for name in node.inputs)
        result = self.types[node.name]
        return Statement(
            name=self._reference(node.name, shared),
            op=op,
            inputs=tuple(self._reference(name, shared) for name in node.inputs),
            spans=spans,
            result=result,
            wide=intermediate(op, spans, result),
            shared=node.name in shared,
            table=self._table(op, spans[0], result) if isinstance(op, datapath.Lookup) else "",
            note=self._note(node),
        )

    def _note(self, node: Node) -> str:
        """The sum in terms of the inputs, where the statement itself does not show it."""
        shown = all(isinstance(self.graph.by_name[name].op, datapath.Input) for name in node.inputs)
        return "" if shown else self.notes.get(node.name, "")

    def _table(self, op: datapath.Lookup, index: Span, result: Span) -> str:
        """The name of the table's function; equal tables are one."""
        values = tuple(op.table.values[index.low - op.low : index.high - op.low + 1].tolist())
        key = (values, index)
        if key not in self.tables:
            self.tables[key] = Table(f"{self.name}_table_{len(self.tables)}", index.low, index, result, values)
        return self.tables[key].name
