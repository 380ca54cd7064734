"""The subcommands that list what there is: targets, formats, passes, explain."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from qcompile import targets as catalogue
from qcompile.cli.parser import Parser, did_you_mean
from qcompile.cli.pass_list import known_passes
from qcompile.numerics.formats import FORMATS
from qcompile.report.table import Column, table
from qcompile.rules import RULES

_WIDTH = 100


def targets(words: Sequence[str]) -> int:
    parser = Parser(prog="qcompile targets", description="List the targets, or show one with its sources.")
    parser.add_argument("name", nargs="?", help="show this target")
    name = parser.parse_args(words).name
    print(_targets_table() if name is None else _target_text(catalogue.get(name)))
    return 0


def formats(words: Sequence[str]) -> int:
    parser = Parser(prog="qcompile formats", description="List the number formats of --weights and --activations.")
    parser.parse_args(words)
    rows = [[spelling.written, spelling.meaning] for spelling in FORMATS.values()]
    print(table([Column("format"), Column("meaning")], rows, _WIDTH))
    print("\nEvery format is a set of exact numbers times a scale that the data decide (docs/formats.md).")
    return 0


def passes(words: Sequence[str]) -> int:
    parser = Parser(prog="qcompile passes", description="List the passes that --print-ir-after takes.")
    parser.parse_args(words)
    steps = known_passes()
    name, levels = max(len(step.name) for step in steps), max(len(step.levels) for step in steps)
    for step in steps:
        head = f"{step.name:<{name}}  {step.levels:<{levels}}  "
        print(textwrap.fill(step.summary, _WIDTH, initial_indent=head, subsequent_indent=" " * len(head)))
    return 0


def explain(words: Sequence[str]) -> int:
    parser = Parser(prog="qcompile explain", description="Explain a diagnostic's code, or list all codes.")
    parser.add_argument("code", nargs="?", help="as in QC301")
    code = parser.parse_args(words).code
    if code is None:
        rows = [[known, rule.title] for known, rule in RULES.items()]
        print(table([Column("code"), Column("title")], rows, _WIDTH))
        return 0
    rule = RULES.get(code.upper())
    if rule is None:
        parser.error(f"there is no code {code}{did_you_mean(code.upper(), RULES)}")
    print(f"{code.upper()}: {rule.title}\n\n{textwrap.fill(rule.text, _WIDTH)}")
    return 0


def _targets_table() -> str:
    columns = [Column("target"), Column("part", 24), Column("family")]
    columns += [Column(title, right=True) for title in ("LUT", "inputs", "FF", "BRAM18", "DSP", "MHz")]
    rows = []
    for target in map(catalogue.get, catalogue.names()):
        counts = (target.luts, target.lut_inputs, target.ffs, target.bram18, target.dsp)
        shown = [*(f"{count:,}" for count in counts), f"{target.clock_mhz:g}"]
        rough = "~" if target.architecture.caution else ""
        starred = f"{target.name} *" if target.pins else target.name
        rows.append([starred, target.part, f"{rough}{target.family}", *shown])
    notes = "*: --bitstream makes one. ~: estimates for this family are rough.\n"
    notes += "`qcompile targets NAME` shows where the figures come from."
    return f"{table(columns, rows, _WIDTH)}\n\n{notes}"


def _target_text(target: catalogue.Target) -> str:
    delay = target.delay
    rows = [
        ("part", target.part),
        ("family", str(target.family)),
        ("LUTs", f"{target.luts:,} of {target.lut_inputs} inputs; {target.max_lut:.0%} may be filled"),
        ("flip-flops", f"{target.ffs:,}; {target.max_ff:.0%} may be filled"),
        (
            "block RAM",
            f"{target.brams:,} blocks ({target.memory.kind}) of {target.memory.bits:,} bits; "
            f"{target.max_bram:.0%} may be filled",
        ),
        ("DSP blocks", f"{target.dsp:,}; none is ever used"),
        ("clock", f"{target.clock_mhz:g} MHz unless --clock says otherwise"),
        (
            "delays",
            f"LUT {delay.lut_ns:g} ns, carry {delay.carry_ns_per_bit:g} ns a bit, routing {delay.route_ns:g} ns",
        ),
        ("", f"register {delay.register_ns:g} ns"),
    ]
    pins = target.pins
    if pins is not None:
        rows.append(("bitstream", f"{pins.crystal_mhz} MHz at pin {pins.clock}, UART in {pins.rx}, out {pins.tx}"))
    if target.architecture.caution:
        rows.append(("caution", target.architecture.caution))
    lines = [target.name, *(f"  {title:<12}{text}" for title, text in rows), "  sources"]
    sources = [f"{', '.join(source.figures)}: {source.text}" for source in target.sources]
    for source in (*sources, f"delays: {delay.source}"):
        lines += textwrap.wrap(source, _WIDTH, initial_indent="    - ", subsequent_indent="      ")
    return "\n".join(lines)
