"""The clock that the delay models foretell beside the one that nextpnr's routed designs hold.

Run from anywhere: ``python benchmarks/timing.py [--only TEXT] [--kept] [--write]``. Needs qcompile[bitstream]; a design
takes one to ten minutes and is kept in build/timing by its Verilog. Public networks are those of the folder that
QCOMPILE_SHARED names (default: ``../shared`` beside the checkout). ``--write`` renders docs/timing.md.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import qcompile
from qcompile.bitstream.build import build
from qcompile.compiled import Hardware
from qcompile.targets import get

ROOT = Path(__file__).resolve().parents[1]
SHARED = Path(os.environ.get("QCOMPILE_SHARED", ROOT.parent / "shared"))
PAGE = ROOT / "docs" / "timing.md"


@dataclass(frozen=True)
class Case:
    """A network folded to ``fps`` samples a second at most, at the target's clock where ``clock_mhz`` is None."""

    model: str
    target: str
    fps: float
    clock_mhz: float | None = None

    def __str__(self) -> str:
        return f"{self.model}, {self.target}, {self.fps:g}/s"


CASES = (
    Case("digits_mlp", "ulx3s-85", 100_000),
    Case("digits_cnn", "ulx3s-85", 10_000),
    Case("tfc_1w1a", "ulx3s-85", 100_000),
    Case("digits_mlp", "icebreaker", 1_000),
    Case("digits_cnn", "icebreaker", 1_000),
    Case("tfc_1w1a", "icebreaker", 1_000),
    Case("digits_mlp", "tang-nano-20k", 10_000),
    Case("digits_cnn", "tang-nano-20k", 5_000),
)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--only", metavar="TEXT", default="", help="the cases whose title holds TEXT")
    parser.add_argument("--kept", action="store_true", help="only designs whose measurement is kept")
    parser.add_argument("--write", action="store_true", help=f"render {PAGE.relative_to(ROOT)}")
    options = parser.parse_args()
    chosen = [case for case in CASES if options.only in str(case)]
    if not chosen:
        parser.error(f"no case holds {options.only!r}; they are {'; '.join(map(str, CASES))}")
    rows = []
    for case in chosen:
        if not model_file(case.model).exists():
            print(f"{case}: skipped, {model_file(case.model)} not found (set QCOMPILE_SHARED)")
            continue
        found = measured(case, options.kept)
        if found is None:
            print(f"{case}: not routed yet")
            continue
        rows.append(row(case, found))
        print(rows[-1], flush=True)
    if options.write:
        PAGE.write_text(page(rows), encoding="utf-8")
    return 0


def model_file(name: str) -> Path:
    own = ROOT / "examples" / f"{name}.onnx"
    return own if own.exists() else SHARED / "models" / f"{name}.onnx"


def measured(case: Case, kept_only: bool) -> dict[str, Any] | None:
    """What the models say and what was routed; None where it would have to be routed first."""
    options: dict[str, Any] = {}
    if case.model.startswith("digits"):
        samples = np.load(ROOT / "examples" / "digits.npz")["x_calib"]
        options["calibration"] = samples.reshape(len(samples), -1) if "mlp" in case.model else samples
    compiled = qcompile.compile(
        model_file(case.model), target=case.target, fps=case.fps, clock_mhz=case.clock_mhz, **options
    )
    hardware = compiled.hardware
    assert hardware is not None and hardware.rtl is not None
    digest = hashlib.sha256(json.dumps([hardware.rtl.files, case.target]).encode()).hexdigest()[:16]
    kept = ROOT / "build" / "timing" / f"{digest}.json"
    if not kept.exists():
        if kept_only:
            return None
        found = routed(hardware)
        kept.parent.mkdir(parents=True, exist_ok=True)
        kept.write_text(json.dumps(found), encoding="utf-8")
    model = get(case.target).delay
    longest = max(path.longest_ns for path in hardware.design.datapaths.values())
    foretold = 1000 / (longest + model.register_ns)
    return json.loads(kept.read_text(encoding="utf-8")) | {
        "foretold_mhz": foretold,
        "clock_mhz": hardware.design.clock_mhz,
    }


def routed(hardware: Hardware) -> dict[str, Any]:
    """nextpnr's measurement, also of a design that misses its clock."""
    assert hardware.rtl is not None
    design = hardware.design
    layers = {layer.name: layer.origin for layer in design.layers}
    made = build(
        hardware.rtl, design.streams[1], hardware.target, design.clock_mhz, layers, classifies=True, misses=True
    )
    slowest = made.measured.slowest
    return {
        "fmax_mhz": made.measured.fmax_mhz,
        "place": slowest.place,
        "start": slowest.start,
        "end": slowest.end,
        "logic_ns": slowest.logic_ns,
        "routing_ns": slowest.routing_ns,
        "used": made.measured.used,
        "tool": made.tool,
    }


HEAD = "| network | board | clock | foretold | routed | slowest path | logic | routing |"


def row(case: Case, found: dict[str, Any]) -> str:
    path = f"{found['place']}: `{found['start']}` to `{found['end']}`"
    figures = f"{found['clock_mhz']:g} | {found['foretold_mhz']:.0f} | {found['fmax_mhz']:.0f}"
    times = f"{found['logic_ns']:.1f} | {found['routing_ns']:.1f}"
    return f"| {case.model}, {case.fps:,.0f}/s | {case.target} | {figures} | {path} | {times} |"


def page(rows: list[str]) -> str:
    table = "\n".join([HEAD, "|---|---|---:|---:|---:|---|---:|---:|", *rows])
    return f"""# Clocks foretold and routed

Registers are inserted by a model of the family's delays (`qcompile/targets/families.py`), so that no stage exceeds the
period of `--clock`. This page holds the model's clock against what nextpnr reaches for the routed board, demo and PLL
included. It is written by

    python benchmarks/timing.py --write

Clocks in MHz, times in ns; *foretold* is the clock that the longest stage of any datapath holds by the model, *routed*
the one that nextpnr's timing analysis finds (seed 1). The model is meant to err on the slow side: a design that is
routed slower than its clock gets no bitstream (QC532), a register too many costs a flip-flop.

{table}

## Where the figures of the model come from

`qcompile targets NAME` shows them. For ECP5, iCE40 and Gowin they are read off the slowest paths of these designs, of
which nextpnr's report lists every step: clock to output, logic, routing, set-up.

- A block RAM answers late: 5.6 ns after the clock on ECP5, where a register takes 0.5. What reads weights from it has
  that much less of its stage, and gets a register more.
- A hop of routing takes 1.0 to 1.9 ns on ECP5 while a design fills a few per cent of the part, and 2 to 3 ns in the
  adder graphs of 500 to 1,000 adders that the model was first fitted to. The model keeps the longer ones.
- Control (counters, windows, the ready chain) is not in the model; register slices cut chains of three layers.
"""


if __name__ == "__main__":
    sys.exit(main())
