"""Public networks on one board: compiled, simulated bit for bit, and (with --synth) counted by Yosys.

Run from anywhere: ``python benchmarks/networks.py [--quick] [--synth] [--target ultra96] [--only NAME ...]``. The
networks are those of the folder that QCOMPILE_SHARED names (default: ``../shared`` beside the checkout). Rates and
latencies are cycles measured in Verilator at the clock of the target. LUTs and block RAM are estimated, and counted
by Yosys layer by layer with --synth. What was simulated or counted is kept in build/ under the hash of the Verilog, so
a run can be stopped and resumed: a row shows the counts that are there. Writes docs/networks.md.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import counting
import fracbnn
import numpy as np
import onnx

import qcompile

ROOT = Path(__file__).resolve().parents[1]
SHARED = Path(os.environ.get("QCOMPILE_SHARED", ROOT.parent / "shared"))


@dataclass(frozen=True)
class Row:
    """One network: the rate asked for, and what others published (with its kind: measured or estimated)."""

    model: str
    fps: float
    published: str
    quick: bool = False
    options: Mapping[str, Any] = field(default_factory=dict)


ROWS = (
    Row("tfc_1w1a", 1_000_000, "FINN+: 5,272 LUT, 16 BRAM18 (estimated)", quick=True),
    Row("tfc_1w2a", 1_000_000, "", quick=True),
    Row("tfc_2w2a", 1_000_000, "", quick=True),
    Row("kws_w3a3_mlperf", 57_000, "57,000/s on Pynq-Z2 (measured)", quick=True),
    Row("bnnpynq_cnv_w1a1_cifar10", 10_600, "FINN+: 41,185 LUT, 195 BRAM18 (estimated)"),
    Row("bnnpynq_cnv_w1a1_cifar10", 3_000, "3,000/s under 16,000 LUT"),
    Row("mlperftiny_ad_int8", 10_000, "", quick=True),
    Row("mlperftiny_kws_dscnn_int8", 3_000, ""),
    Row("mlperftiny_resnet8_int8", 1_000, ""),
    Row("mlperftiny_vww_mobilenet_int8", 300, ""),
)


ACCELERATOR = "fracbnn_cifar10_hls_fixed"
"""FracBNN as its published accelerator computes it; the trained network is another file."""

WITH_OPTIONS = (
    Row("fracbnn_cifar10_w1a1p4", 2_800, "", options=fracbnn.OPTIONS),
    Row(ACCELERATOR, 2_800, "2,800/s on Ultra96 (measured)", options=fracbnn.OPTIONS),
    Row("radioml_vgg10_w8a8", 2_000, ""),
    Row("espcn_subpixel_quant", 60, "", options={"input_format": "fixed:8"}),
)
"""Networks that need more than a rate to compile, or hours to synthesise."""


def network(model: str) -> Any:
    """What is compiled: a path, or a graph that a script writes."""
    if model == ACCELERATOR:
        return fracbnn.accelerator(onnx.load(SHARED / "models" / "fracbnn_cifar10_w1a1p4.onnx"))
    return SHARED / "models" / f"{model}.onnx"


def samples(model: str, count: int) -> np.ndarray:
    """The stored inputs, and mirrored ones where they are fewer than ``count``."""
    with np.load(SHARED / "models" / f"{model}.io.npz") as held:
        stored = "image_u8" if model == ACCELERATOR else next(name for name in held.files if name.startswith("in"))
        x = held[stored].astype(np.float64) if model == ACCELERATOR else np.asarray(held[stored])
    for axis in (-2, -1):
        x = x if len(x) >= count else np.concatenate([x, np.flip(x, axis)])
    return x


def measure(row: Row, target: str, synth: bool, frames: int) -> dict[str, Any]:
    made = network(row.model)
    compiled = qcompile.compile(made, target=target, fps=row.fps, allow_oversize=True, name=row.model, **row.options)
    verify = simulated(compiled, row, frames)
    totals = compiled.report["totals"]
    clock = totals["clock_mhz"] * 1e6
    parts = counting.count(compiled) if synth else counting.kept(compiled)
    counted = None if parts is None else counting.total(parts)
    fps = clock / verify["ii_cycles"]
    return {
        "network": row.model,
        "fps": round(fps),
        "latency_us": round(verify["latency_cycles"] / clock * 1e6, 1),
        "estimated": totals,
        "counted": counted,
        "layers": [] if parts is None else layers(compiled.report, parts),
        "fits": compiled.report["fits"],
        "fps_per_klut": round(fps / (counted or totals)["lut"] * 1000),
        "frames": verify["rtl_samples"],
        "mismatches": verify["rtl_mismatches"],
        "published": row.published,
    }


def layers(report: dict[str, Any], parts: dict[str, counting.Counts]) -> list[str]:
    """A table of what every layer was estimated to take, and what Yosys counts."""
    rows = [(layer["name"], layer["engine"], layer, parts[layer["name"]]) for layer in report["layers"]]
    rows.append(("**total**, with what is around the layers", "", report["totals"], counting.total(parts)))
    lines = [
        "| layer | engine | LUT estimated | counted | error | BRAM18 estimated | counted |",
        "|---|---|" + "---:|" * 5,
    ]
    for name, engine, own, counted in rows:
        error = f"{(own['lut'] - counted['lut']) / max(1, counted['lut']):+.0%}"
        blocks = f"{own['bram18']} | {counted['bram18']}"
        lines.append(f"| {name} | {engine} | {own['lut']:,} | {counted['lut']:,} | {error} | {blocks} |")
    return lines


def simulated(compiled: qcompile.Compiled, row: Row, frames: int) -> dict[str, Any]:
    """What Verilator found, kept by the Verilog and the frames."""
    hardware = compiled.hardware
    assert hardware is not None and hardware.rtl is not None
    x = samples(row.model, frames)
    digest = hashlib.sha256(json.dumps([hardware.rtl.files, row.model, frames]).encode() + x.tobytes()).hexdigest()
    kept = ROOT / "build" / "simulated" / f"{digest[:20]}.json"
    if not kept.exists():
        started = time.process_time()
        found = compiled.verify(x, count=frames)
        numbers = {k: found[k] for k in ("ii_cycles", "latency_cycles", "rtl_samples", "rtl_mismatches")}
        kept.parent.mkdir(parents=True, exist_ok=True)
        kept.write_text(json.dumps(numbers | {"cpu_seconds": round(time.process_time() - started)}), encoding="utf-8")
    return dict(json.loads(kept.read_text(encoding="utf-8")))


ABOUT = (
    "Frames per second are measured in simulation, at the target's clock; LUTs and block RAM are the report's "
    "estimates, and what Yosys counts (layer by layer, no DSP blocks; empty where it was not run); published figures "
    "are others' and say of what kind they are."
)
HEAD = (
    "| network | frames/s (simulated) | latency us | LUT estimated | LUT counted | BRAM18 estimated | BRAM18 counted "
    "| fits | frames/s per kLUT | exact | published |"
)


def line(row: dict[str, Any]) -> str:
    fits = "yes" if row["fits"] else "no"
    exact = f"{row['frames']} of {row['frames']}" if row["mismatches"] == 0 else f"NO: {row['mismatches']} differ"
    counted = row["counted"]
    lut, bram = ("", "") if counted is None else (f"{counted['lut']:,}", str(counted["bram18"]))
    kind = "estimated" if counted is None else "counted"
    return (
        f"| {row['network']} | {row['fps']:,} | {row['latency_us']:,} | {row['estimated']['lut']:,} | {lut} "
        f"| {row['estimated']['bram18']} | {bram} | {fits} | {row['fps_per_klut']:,} ({kind}) | {exact} "
        f"| {row['published']} |"
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="the small networks")
    parser.add_argument(
        "--synth", action="store_true", help="count with Yosys what was not counted yet (minutes per network)"
    )
    parser.add_argument("--target", default="ultra96")
    parser.add_argument("--only", nargs="*", default=None, metavar="NAME")
    parser.add_argument("--frames", type=int, default=4)
    args = parser.parse_args()
    if not (SHARED / "models").is_dir():
        print(f"skipped: no networks in {SHARED} (set QCOMPILE_SHARED)")
        return 0
    chosen = [
        r for r in (*ROWS, *WITH_OPTIONS) if (not args.quick or r.quick) and (args.only is None or r.model in args.only)
    ]
    lines = [HEAD, "|" + "---|" * 11]
    print("\n".join(lines))
    wrong = 0
    details: list[str] = []
    for row in chosen:
        try:
            result = measure(row, args.target, args.synth, args.frames)
        except qcompile.CompileError as error:
            text = f"| {row.model} | refused: {str(error).splitlines()[0]} |"
        else:
            text = line(result)
            if result["layers"]:
                details += ["", f"## {row.model}, {result['fps']:,} frames/s", "", *result["layers"]]
            wrong += bool(result["mismatches"])
        lines.append(text)
        print(text, flush=True)
    if args.only is None:
        flags = " --quick" * args.quick + " --synth" * args.synth
        note = f"Made by `python benchmarks/networks.py{flags}`."
        page = f"# Public networks on {args.target}\n\n{note} {ABOUT}\n\n" + "\n".join([*lines, *details]) + "\n"
        (ROOT / "docs" / "networks.md").write_text(page)
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
