"""`qcompile estimate` against Yosys, over whole public networks: how far off, layer by layer, and how fast.

    python benchmarks/estimates.py [--only TEXT ...] [--write]

Estimates each case, compiles it, synthesizes the Verilog with Yosys (layers stay apart) and prints a table of the
network's and its layers' errors. The networks are those of networks.py, and more, in the folder that QCOMPILE_SHARED
names (default: ``../shared`` beside the checkout). Counts are kept layer by layer (`counting`), so only what changed
is synthesized again. ``--write`` renders docs/estimates.md. Exit code 1 where an error is beyond the goal: 10 % of a
network's LUTs, 20 % of a layer's (layers of less than `SMALL` LUTs count in the total alone), block RAM exact.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from counting import count, total
from networks import ROWS, WITH_OPTIONS

import qcompile

ROOT = Path(__file__).resolve().parents[1]
SHARED = Path(os.environ.get("QCOMPILE_SHARED", ROOT.parent / "shared"))
PAGE = ROOT / "docs" / "estimates.md"
NETWORK_GOAL, LAYER_GOAL, SMALL = 0.10, 0.20, 50
TARGET = "ultra96"


@dataclass(frozen=True)
class Case:
    """A shared network at a rate (None: unrolled); float ones with bits of weights and activations."""

    model: str
    fps: float | None = None
    bits: tuple[int, int] | None = None

    def __str__(self) -> str:
        bits = "" if self.bits is None else f" {self.bits[0]}/{self.bits[1]}"
        rate = "unrolled" if self.fps is None else f"{self.fps:,.0f}/s"
        return f"{self.model}{bits}, {rate}"


CASES = (
    *(Case(row.model, row.fps) for row in (*ROWS, *WITH_OPTIONS) if not row.options),
    Case("brevitas_mlp_w3a3_pow2.qonnx", 100_000),
    Case("brevitas_cnn_w4a4.qcdq", 20_000),
    Case("brevitas_cnn_w4a4.qcdq"),
    Case("mnist_conv_fp32", 20_000, (8, 8)),
    Case("mnist_conv_fp32", None, (4, 6)),
    Case("residual_block_fp32", 1_000, (8, 8)),
)


@dataclass(frozen=True)
class Row:
    """One case: relative errors of LUTs, block RAM, and seconds of processor time."""

    case: Case
    lut: tuple[int, int]
    bram18: tuple[int, int]
    layers: dict[str, tuple[int, int]]
    seconds: float

    @property
    def error(self) -> float:
        return self.lut[0] / self.lut[1] - 1

    @property
    def off(self) -> dict[str, float]:
        """Errors of the layers that are large enough to count."""
        return {name: e / m - 1 for name, (e, m) in self.layers.items() if m >= SMALL}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", metavar="TEXT", nargs="+", default=[""], help="the cases whose title holds a TEXT")
    parser.add_argument("--write", action="store_true", help=f"render {PAGE.relative_to(ROOT)}")
    options = parser.parse_args()
    rows = []
    for case in CASES:
        if not any(text in str(case) for text in options.only):
            continue
        if not path_of(case).exists():
            print(f"{case}: skipped, {path_of(case)} not found")
            continue
        rows.append(measured(case))
        print(line(rows[-1]), flush=True)
    bad = [text for row in rows for text in beyond(row)]
    print("\n".join(f"beyond the goal: {text}" for text in bad) or "every estimate is within the goal")
    if options.write:
        PAGE.write_text(page(rows, bad), encoding="utf-8")
    return 1 if bad else 0


def path_of(case: Case) -> Path:
    return SHARED / "models" / f"{case.model}.onnx"


def arguments(case: Case) -> dict[str, Any]:
    found: dict[str, Any] = {"target": TARGET, "fps": case.fps}
    if case.bits is None:
        return found
    found |= {"weights": f"fixed:{case.bits[0]}", "activations": f"fixed:{case.bits[1]}"}
    if case.model.startswith("mnist"):
        with np.load(SHARED / "data" / "mnist.npz") as held:
            return found | {"calibration": held["x_calib"][:, None].astype(np.float32)}
    return found


def measured(case: Case) -> Row:
    given = arguments(case)
    started = time.process_time()
    estimate = qcompile.estimate(path_of(case), **given)
    seconds = time.process_time() - started
    compiled = qcompile.compile(path_of(case), allow_oversize=True, **given)
    assert estimate["totals"] == compiled.report["totals"], "an estimate is what the compile reports"
    counted = count(compiled)
    totals = total(counted)
    return Row(
        case,
        (estimate["totals"]["lut"], totals["lut"]),
        (estimate["totals"]["bram18"], totals["bram18"]),
        {layer["name"]: (layer["lut"], counted[layer["name"]]["lut"]) for layer in estimate["layers"]},
        seconds,
    )


def beyond(row: Row) -> list[str]:
    found = [f"{row.case}: {row.error:+.1%} LUTs"] if abs(row.error) > NETWORK_GOAL else []
    found += [f"{row.case}, {name}: {e:+.1%} LUTs" for name, e in row.off.items() if abs(e) > LAYER_GOAL]
    if row.bram18[0] != row.bram18[1]:
        found.append(f"{row.case}: {row.bram18[0]} block RAMs estimated, {row.bram18[1]} measured")
    return found


HEAD = "| network | LUT est. | Yosys | error | layers within 20 % | worst layer | BRAM18 est. | Yosys | CPU s |"


def line(row: Row) -> str:
    off = row.off
    within = sum(abs(e) <= LAYER_GOAL for e in off.values())
    name, error = max(off.items(), key=lambda item: abs(item[1]), default=("none", 0.0))
    cells = [str(row.case), f"{row.lut[0]:,}", f"{row.lut[1]:,}", f"{row.error:+.1%}", f"{within} of {len(off)}"]
    cells += [f"{name} {error:+.1%}", f"{row.bram18[0]:,}", f"{row.bram18[1]:,}", f"{row.seconds:.1f}"]
    return f"| {' | '.join(cells)} |"


def page(rows: list[Row], bad: list[str]) -> str:
    table = "\n".join([HEAD, "|---" * 9 + "|", *map(line, rows)])
    errors = [error for row in rows for error in row.off.values()]
    within = sum(abs(error) <= LAYER_GOAL for error in errors)
    networks = sum(abs(row.error) <= NETWORK_GOAL for row in rows)
    exact = sum(row.bram18[0] == row.bram18[1] for row in rows)
    misses = "\n".join(f"- {text}" for text in bad) or "None."
    return f"""# Estimates of whole networks

What `qcompile estimate` says, beside what Yosys counts for the Verilog of the same design on {TARGET}. It is written by

    python benchmarks/estimates.py --write

The goal is 10 % of a network's LUTs, 20 % of a layer's (layers of less than {SMALL} LUTs count in the total alone),
and block RAM exactly. CPU s is the processor time of the estimate, the import of the compiler aside. Yosys counts LUTs
before placement; what a vendor's tool makes of the Verilog is not measured here. The networks are public ones;
[docs/resources.md](resources.md) has the examples of this repository, layer by layer and for other families.

{table}

{networks} of {len(rows)} networks are within 10 %, {within} of {len(errors)} layers within 20 %, {exact} of {len(rows)}
networks have exactly the estimated block RAM. {len(rows)} of the script's {len(CASES)} cases were run.

## Beyond the goal

{misses}
"""


if __name__ == "__main__":
    sys.exit(main())
