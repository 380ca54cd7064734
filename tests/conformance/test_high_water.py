"""How full the FIFOs of joins become: what the schedule gives them is enough, and they need most of it."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from integer_bench import build_all, emit_all, scheduled
from integer_networks import FOLDED, NETWORKS

from qcompile.backends.amaranth import Rtl
from qcompile.emulator import Emulator
from qcompile.ir import hardware, integer
from qcompile.schedule import Design

NAMES = ("residual", "nested", "inception")
MODULE = re.compile(r"(?ms)^module (\w+).*?^endmodule")
LEVEL = re.compile(r"^  reg \[\d+:0\] ((?:inner_)?level);$", re.M)
FULL = re.compile(r"assign w_rdy = (?:inner_)?level != \d+'h([0-9a-f]+);")

Marks = dict[str, int]


def roomy(design: Design) -> Design:
    """FIFOs four times as deep."""
    nodes = (
        replace(node, op=replace(node.op, depth=4 * node.op.depth)) if isinstance(node.op, hardware.Fifo) else node
        for node in design.graph.nodes
    )
    return replace(design, graph=replace(design.graph, nodes=tuple(nodes)))


def watched(rtl: Rtl, file: Path) -> tuple[Rtl, Marks]:
    """The Verilog with every FIFO's highest level written to ``file`` at the end, and the FIFOs' depths by module."""
    depths: Marks = {}

    def watch(match: re.Match[str]) -> str:
        text, level = match[0], LEVEL.search(match[0])
        if level is None or "_fifo" not in match[1]:
            return text
        ahead = int(level[1] == "inner_level")  # a word waits in the register behind the memory
        full = FULL.search(text)
        assert full is not None
        depths[_place(match[1])] = int(full[1], 16) + ahead
        return text.removesuffix("endmodule") + (
            f"  integer mark = 0, file;\n"
            f"  always @(posedge clk) if ({level[1]} + {ahead} > mark) mark = {level[1]} + {ahead};\n"
            f'  final begin file = $fopen("{file}", "a"); $fdisplay(file, "{match[1]} %0d", mark); $fclose(file); end\n'
            "endmodule"
        )

    return replace(rtl, files={name: MODULE.sub(watch, text) for name, text in rtl.files.items()}), depths


def _place(module: str) -> str:
    """The FIFO's name without that of the design."""
    return module.partition("_core_")[2]


@pytest.mark.xdist_group("conformance_rtl")
def test_fifos_of_joins_are_as_deep_as_they_become_full(simulator: None, tmp_path: Path) -> None:
    designs = {name: scheduled(NETWORKS[name]) for name in NAMES}
    designs |= {f"{name}, folded": scheduled(NETWORKS[name], FOLDED[name]) for name in NAMES if name in FOLDED}
    designs |= {f"{name}, roomy": roomy(design) for name, design in designs.items()}
    depths: dict[str, Marks] = {}
    rtl = {}
    for number, (name, plain) in enumerate(emit_all(designs).items()):
        rtl[name], depths[name] = watched(plain, tmp_path / f"{number}")
    built = build_all(designs, rtl)

    def marks(name: str, stall: float, seed: int) -> Marks:
        """After a run of some frames that give what the emulator does."""
        file = tmp_path / str(list(designs).index(name))
        graph = NETWORKS[name.partition(",")[0]]
        source = graph.nodes[0].op
        assert isinstance(source, integer.Input) and source.quantizer.span is not None
        span = source.quantizer.span
        codes = np.random.default_rng(seed).integers(span.low, span.high + 1, (12, *source.order.shape))
        found, _ = built.run(name, codes, seed=seed, stall=stall)
        assert found.ravel().tolist() == Emulator(graph).run(codes)["y"].ravel().tolist()
        lines = [line.split() for line in file.read_text().splitlines()]
        for other in range(len(designs)):
            (tmp_path / f"{other}").unlink()
        return {_place(module): int(mark) for module, mark in lines}

    fill = []
    for name in [name for name in designs if not name.endswith("roomy")]:
        assert depths[name]
        for seed in range(3):  # stalls on both sides: nothing is lost, nothing waits for ever
            assert marks(name, 0.4, seed).keys() == depths[name].keys()
        free = marks(f"{name}, roomy", 0.0, 0)
        assert all(mark <= depths[name][place] for place, mark in free.items()), (free, depths[name])
        fill += [mark / depths[name][place] for place, mark in free.items()]
    assert sum(share > 0.5 for share in fill) > len(fill) / 2  # and little of it is for nothing
