"""Estimated against measured resources: every layer of the example networks, and single datapath operations.

    python benchmarks/resources.py [--quick] [--shared FOLDER] [--write]
    python benchmarks/resources.py --operations

Compiles each case for its target, synthesizes the Verilog with Yosys (per layer: modules stay apart) and prints
estimate, measurement and error of LUTs, flip-flops and block RAM; ``--write`` renders docs/resources.md of it.
A measurement is kept in build/resources under the hash of the Verilog, so only changed designs are synthesized
again. Exit code 1 where an error is beyond the bounds: 10 % of a network's LUTs, 20 % of a layer's (layers of
less than `SMALL` LUTs count in the total alone), block RAM exact.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import qcompile
from qcompile.backends.verilog.datapath import render_datapath
from qcompile.ir import datapath
from qcompile.ir.datapath import DatapathOp
from qcompile.ir.graph import Graph, Node
from qcompile.numerics.rounding import Rounding
from qcompile.numerics.span import Span
from qcompile.schedule.cells import luts
from qcompile.schedule.design import Datapath
from qcompile.synth import synth
from qcompile.targets import get

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "resources.md"
NETWORK_BOUND, LAYER_BOUND, SMALL = 0.10, 0.20, 50


@dataclass(frozen=True)
class Case:
    """``model`` is an example's name, or a public model's (with the file of its calibration data)."""

    model: str
    weights: int | None = None
    activations: int | None = None
    target: str = "ultra96"
    quick: bool = False
    images: str | None = None

    def __str__(self) -> str:
        bits = "" if self.weights is None else f" {self.weights}/{self.activations}"
        return f"{self.model}{bits}, {self.target}"


CASES = (
    Case("digits_mlp", 3, 4, quick=True),
    Case("digits_mlp", 4, 6),
    Case("digits_cnn", 4, 4, quick=True),
    Case("digits_cnn", 8, 8),
    Case("digits_cnn_qdq"),
    Case("digits_cnn", 4, 4, "pynq-z2"),
    Case("digits_cnn", 4, 4, "ulx3s-85"),
    Case("digits_cnn", 4, 4, "tang-nano-20k"),
    Case("mnist_conv_fp32", 2, 2, images="mnist.npz"),
    Case("mnist_conv_fp32", 4, 6, images="mnist.npz"),
)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="the two smallest designs")
    parser.add_argument("--operations", action="store_true", help="single datapath operations instead of networks")
    parser.add_argument("--only", metavar="TEXT", default="", help="the cases whose title holds TEXT")
    parser.add_argument("--kept", action="store_true", help="only designs whose measurement is kept")
    parser.add_argument("--shared", type=Path, default=os.environ.get("QCOMPILE_SHARED", ROOT.parent / "shared"))
    parser.add_argument("--write", action="store_true", help=f"render {PAGE.relative_to(ROOT)}")
    options = parser.parse_args()
    if options.operations:
        return operations()
    found, missing = [], []
    for case in CASES:
        if (options.quick and not case.quick) or options.only not in str(case):
            continue
        model = Path(options.shared, "models", f"{case.model}.onnx") if case.images else example(f"{case.model}.onnx")
        if not model.exists():
            missing.append(f"{case}: skipped, {model} not found")
            continue
        report, counted = measured(case, model, Path(options.shared), options.kept)
        if counted is None:
            missing.append(f"{case}: skipped, not synthesized yet")
            continue
        found.append(table(case, report, counted))
        print(found[-1].text, flush=True)
    print("\n".join(missing))
    bad = [line for result in found for line in result.bad]
    print("\n".join(f"beyond the bounds: {line}" for line in bad) or "every estimate is within the bounds")
    if options.write:
        PAGE.write_text(page(found), encoding="utf-8")
    return 1 if bad else 0


def example(name: str) -> Path:
    return ROOT / "examples" / name


def measured(case: Case, model: Path, shared: Path, kept_only: bool) -> tuple[dict[str, Any], dict[str, Any] | None]:
    """The report of a compile, and what Yosys says (None where it would have to run first)."""
    if case.images:
        samples = np.load(shared / "data" / case.images)["x_calib"][:, None].astype(np.float32)
    else:
        samples = np.load(example("digits.npz"))["x_calib"]
        samples = samples.reshape(len(samples), -1) if "mlp" in case.model else samples
    formats = {} if case.weights is None else {"weights": f"fixed:{case.weights}"}
    formats |= {} if case.activations is None else {"activations": f"fixed:{case.activations}"}
    compiled = qcompile.compile(model, target=case.target, calibration=samples, allow_oversize=True, **formats)
    assert compiled.hardware is not None
    digest = hashlib.sha256(json.dumps([compiled.hardware.rtl.files, case.target]).encode()).hexdigest()[:16]
    kept = ROOT / "build" / "resources" / f"{digest}.json"
    if not kept.exists() and kept_only:
        return compiled.report, None
    if not kept.exists():
        start = time.time()
        result = compiled.synthesize() | {"seconds": round(time.time() - start)}
        kept.parent.mkdir(parents=True, exist_ok=True)
        kept.write_text(json.dumps(result), encoding="utf-8")
    return compiled.report, json.loads(kept.read_text(encoding="utf-8"))


@dataclass(frozen=True)
class Result:
    text: str
    bad: list[str]


def table(case: Case, report: dict[str, Any], counted: dict[str, Any]) -> Result:
    """A Markdown table, and what is beyond the bounds (of the family the model was made for)."""
    rows, bad = [], []
    bounded = get(case.target).family == get("ultra96").family
    parts = [
        (layer["name"], layer["engine"], layer, counted["modules"].get(layer["module"])) for layer in report["layers"]
    ]
    for name, engine, own, yosys in (*parts, ("**total**", "", report["totals"], counted)):
        if yosys is None:
            continue
        error = (own["lut"] - yosys["lut"]) / max(1, yosys["lut"])
        cells = [f"{own['lut']:,}", f"{yosys['lut']:,}", f"{error:+.1%}", f"{own['ff']:,}", f"{yosys['ff']:,}"]
        cells += [f"{(own['ff'] - yosys['ff']) / max(1, yosys['ff']):+.1%}", str(own["bram18"]), str(yosys["bram18"])]
        rows.append(f"| {name} | {engine} | {' | '.join(cells)} |")
        bound = LAYER_BOUND if engine else NETWORK_BOUND
        if bounded and abs(error) > bound and (not engine or yosys["lut"] >= SMALL):
            bad.append(f"{case}, {name}: {error:+.1%} LUTs")
        if bounded and own["bram18"] != yosys["bram18"]:
            bad.append(f"{case}, {name}: {own['bram18']} block RAMs estimated, {yosys['bram18']} measured")
    head = ["layer", "engine", "LUT est.", "Yosys", "error", "FF est.", "Yosys", "error", "BRAM est.", "Yosys"]
    lines = [f"| {' | '.join(head)} |", "|---|---|" + "---:|" * 8, *rows]
    return Result(f"### {case}\n\n" + "\n".join(lines) + "\n", bad)


def page(results: list[Result]) -> str:
    texts = "\n".join(result.text for result in results)
    return f"""# Estimated and measured resources

The report's LUT and flip-flop figures are estimates, and they decide whether a design fits. This page holds them
against what Yosys (`synth_xilinx -family xcup` for ultra96, and so on) counts for the same Verilog, layer by
layer. It is written by

    python benchmarks/resources.py --write

The model (`qcompile/schedule/cells.py` for the operations of a datapath, `schedule/estimate.py` for the
components around them) was made for UltraScale+; the other families are there to see that it is not far off.
Yosys counts LUTs before placement: what a vendor's tool makes of the Verilog is not measured here.

{texts}"""


# Single operations -----------------------------------------------------------------------------------------


def operations() -> int:
    """Every kind of operation between registers: the LUTs of `cells.luts` and of Yosys."""
    cases = list(_operations())
    sources, ports, instances = {}, [], []
    paths = []
    for k, (op, spans) in enumerate(cases):
        inputs = [Node(f"i{j}", datapath.Input(0, j, span), ()) for j, span in enumerate(spans)]
        node = Node("result", op, tuple(n.name for n in inputs))
        path = Datapath(
            Graph(datapath.DATAPATH, "operation", (*inputs, node), ("result",)), (0,) * (len(inputs) + 1), 1
        )
        paths.append((node, path))
        sources[f"m{k}.v"] = render_datapath(f"m{k}", path, str(op))
        ports.append(
            f"input [{sum(s.width for s in spans) - 1}:0] x{k}, output [{path.result_spans()[0].width - 1}:0] y{k}"
        )
        instances.append(f"m{k} u{k}(.clk(clk), .enable(enable), .x(x{k}), .y(y{k}));")
    sources["top.v"] = (
        f"module top(input clk, input enable, {', '.join(ports)});\n" + "\n".join(instances) + "\nendmodule\n"
    )
    target = get("ultra96")
    counted = synth(sources, "top", target, [f"m{k}" for k in range(len(cases))])["modules"]
    for k, ((op, spans), (node, path)) in enumerate(zip(cases, paths, strict=True)):
        estimate = luts(node, list(spans), path.result_spans()[0], target)
        kinds = ", ".join(f"{'s' if s.signed else 'u'}{s.width}" for s in spans[:3])
        print(f"{op!s:58} {kinds:14} {estimate:7.1f} {counted[f'm{k}']['lut']:5}")
    return 0


def _operations() -> Any:
    kind = Span.of_bits
    for subtract in (False, True):
        for signed in (False, True):
            for a, b, left, right in (
                (8, 8, 0, 0),
                (8, 8, 3, 0),
                (8, 8, 0, 3),
                (12, 6, 0, 2),
                (6, 12, 4, 0),
                (8, 8, 10, 0),
            ):
                yield datapath.ShiftAdd(left, right, subtract), (kind(a, signed), kind(b, signed))
    for value in (1, 16, 37, 127, -1, -16, -37):
        yield datapath.AddConstant(value), (kind(10, True),)
    yield from [(datapath.Negate(), (kind(8, True),)), (datapath.RoundEven(3), (kind(10, True),))]
    simple: list[tuple[DatapathOp, int]] = [(datapath.Clamp(0, (1 << n) - 1), w) for n in (4, 8) for w in (10, 12, 14)]
    simple += [(datapath.Clamp(-8, 7), w) for w in (8, 12)]
    simple += [(datapath.AtLeast(value), w) for value in (3, 64) for w in (8, 12, 16)]
    yield from ((op, (kind(w, True),)) for op, w in simple)
    for w in (4, 6, 8, 12):
        yield datapath.Maximum(), (kind(w, False),) * 2
        yield datapath.Greater(), (kind(w, True),) * 2
    for mode in (Rounding.HALF_UP, Rounding.HALF_EVEN):
        for w, bits, drop, signed in ((10, 3, 1, False), (14, 3, 1, False), (14, 3, 5, False), (18, 4, 1, True)):
            yield datapath.RoundSignificand(bits, drop, mode), (kind(w, signed),)
    yield from ((datapath.RoundSignificand(1, 0, Rounding.FLOOR), (kind(w, False),)) for w in (9, 14))
    yield from ((datapath.CountOnes(), (Span(0, 1),) * n) for n in (3, 6, 12, 31))


if __name__ == "__main__":
    sys.exit(main())
