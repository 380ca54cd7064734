"""Accuracy after quantization, allocation against uniform formats, every method in one command, and fewer adders.

Run from anywhere: ``python benchmarks/quantization.py [--only NAME ...] [--parts PART ...] [--fresh]``. The digits
networks are the examples'; the MNIST network is taken from the folder that QCOMPILE_SHARED names (default:
``../shared`` beside the checkout), and Fashion-MNIST from where Debian's dataset-fashion-mnist puts it (or
FASHION_MNIST). Writes the tables at the end of docs/quantization.md, and every figure at once into
docs/quantization.json, so that a run that was stopped goes on; networks whose data are missing, and rows that are not
asked for, stay.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

import qcompile
from qcompile.arith import optimize
from qcompile.explore import Search, Subject, format_pairs, measure
from qcompile.explore.point import float_results
from qcompile.ir import integer

ROOT = Path(__file__).resolve().parents[1]
SHARED = Path(os.environ.get("QCOMPILE_SHARED", ROOT.parent / "shared"))
FASHION = Path(os.environ.get("FASHION_MNIST", "/usr/share/datasets/fashion-mnist"))
PAGE, RESULTS = ROOT / "docs" / "quantization.md", ROOT / "docs" / "quantization.json"
MARK = "<!-- below: python benchmarks/quantization.py -->"
OPTIONS: dict[str, Any] = {}
"""Methods are the compiler's own choice."""
FIXED = ((8, 8, 0.2), (6, 6, None), (4, 4, 1.0), (3, 4, 2.0))
"""Bits of weights and activations, and the points that may be lost."""
MINIFLOAT_LOSS = 0.3
TOO_WIDE = {"mnist_conv_fp32": ("minifloat:e5m0",), "fashion_depthwise": ("minifloat:e5m0",)}
"""Not measured: exact sums of more than 64 bits, which the emulator adds as Python integers, image by image."""
PARTS = ("accuracy", "allocation", "everything", "adders")
SLACKS = (0.0, 0.02, 0.05, 0.1, 0.2, 0.4)


def digits(name: str) -> Subject:
    with np.load(ROOT / "examples" / "digits.npz") as data:
        arrays = data["x_calib"], data["x_test"], data["y_test"]
    return Subject(str(ROOT / "examples" / f"{name}.onnx"), "ultra96", *arrays, OPTIONS)


def mnist() -> Subject:
    with np.load(SHARED / "data" / "mnist.npz") as data:
        arrays = data["x_calib"], data["x_test"], data["y_test"]
    return Subject(str(SHARED / "models" / "mnist_conv_fp32.onnx"), "zcu104", *arrays, OPTIONS)


def fashion() -> Subject:
    """256 training images calibrate, all 10,000 test images count."""

    def part(name: str) -> tuple[np.ndarray, np.ndarray]:
        with gzip.open(FASHION / f"{name}-images-idx3-ubyte.gz") as file:
            images = np.frombuffer(file.read(), np.uint8, offset=16).reshape(-1, 28, 28)
        with gzip.open(FASHION / f"{name}-labels-idx1-ubyte.gz") as file:
            return images, np.frombuffer(file.read(), np.uint8, offset=8)

    images, labels = part("t10k")
    model = ROOT / "examples" / "fashion_depthwise.onnx"
    return Subject(str(model), "zcu104", part("train")[0][:256], images, labels, OPTIONS)


NETWORKS: dict[str, Callable[[], Subject]] = {
    "digits_mlp": lambda: digits("digits_mlp"),
    "digits_cnn": lambda: digits("digits_cnn"),
    "mnist_conv_fp32": mnist,
    "fashion_depthwise": fashion,
}
ALLOCATED = {
    name: (tuple(f"fixed:{w}" for w in (2, 3, 4, 5, 6)), tuple(f"fixed:{a}" for a in (3, 4, 5, 6)))
    for name in ("digits_cnn", "mnist_conv_fp32")
}
ROUNDED = ("digits_cnn", "mnist_conv_fp32")
EVERYTHING = {"mnist_conv_fp32": "luts:26000"}
"""Budgets of the command that has every method on."""
METHODS = ("--scales", "free", "--weight-rounding", "gptq+comq", "--equalize", "--smooth", "1", "--propagate", "1")


def accuracies(name: str, subject: Subject, found: dict[str, Any], keep: Callable[[], None]) -> None:
    """Percent right: float, fixed point with each kind of scale, and every split of six bits; CPU seconds."""
    assert subject.samples is not None and subject.labels is not None
    if "float" not in found:
        classes = float_results(subject.model, subject.samples).argmax(axis=1)
        found |= {"float": 100 * float((classes == subject.labels).mean()), "seconds": 0.0}
    splits = [split for split, _ in format_pairs(["minifloat"], 6, 6) if split not in TOO_WIDE.get(name, ())]
    points = [(split, "free", split, split) for split in splits]
    points += [
        (f"{scales} {w}/{a}", scales, f"fixed:{w}", f"fixed:{a}")
        for scales in ("free", "dyadic", "pow2")
        for w, a, _ in FIXED
    ]
    for key, scales, weights, activations in points:
        if key in found:
            continue
        options = {**subject.options, "scales": scales}
        point = measure(replace(subject, options=options), weights, activations, hardware=False)
        found[key] = point.accuracy
        found["seconds"] += point.seconds
        keep()


def allocations(subject: Subject, weights: tuple[str, ...], activations: tuple[str, ...]) -> list[dict[str, Any]]:
    """For the LUTs of each uniform design on the front, the allocation within them."""
    search = Search(subject, list(weights), list(activations), "luts")
    uniform = list(search.uniform.values())
    front = [p for p in uniform if not any(q.lut <= p.lut and q.error < p.error for q in uniform)]
    found = []
    for point in sorted(front, key=lambda p: p.lut)[1:-1]:
        result = search.within(point.lut)
        held = {key: getattr(point, key) for key in ("weights", "activations", "lut", "accuracy", "error")}
        better = {f"to_{key}": getattr(result.point, key) for key in ("lut", "accuracy", "error")}
        layers = {
            name: "/".join(formats.get(key, "").removeprefix("fixed:") for key in ("weights", "activations"))
            for name, formats in result.layers.items()
        }
        found.append(held | better | {"layers": layers})
    return found


def everything(subject: Subject, budget: str) -> dict[str, Any]:
    """`qcompile allocate` with every method on, in a process of its own: what it says, and CPU seconds."""
    with tempfile.TemporaryDirectory() as folder:
        archive = Path(folder) / "samples.npz"
        np.savez(archive, x_calib=subject.calibration, x_test=subject.samples, y_test=subject.labels)
        words = ["--target", subject.target, "--calibrate", str(archive), "--labels", "y_test", "--budget", budget]
        command = [sys.executable, "-m", "qcompile", "allocate", subject.model, *words, *METHODS, "-q"]
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
    used = [getattr(after, kind) - getattr(before, kind) for kind in ("ru_utime", "ru_stime")]
    shown = [Path(word).name if os.sep in word else word for word in ("qcompile", *command[3:-1])]
    return {"command": " ".join(shown), "seconds": sum(used), "said": said}


def frontier(subject: Subject, bits: int = 6) -> list[dict[str, Any]]:
    """Accuracy, adders and full-adder bits as the rounding may cost more error."""
    found = []
    for slack in SLACKS:
        compiled = qcompile.compile(
            subject.model,
            target=subject.target,
            calibration=subject.calibration,
            weights=f"fixed:{bits}",
            activations=f"fixed:{bits}",
            allow_oversize=True,
            adder_slack=slack,
            **subject.options,
        )
        results = compiled.emulate(subject.samples)
        right = np.asarray(results).reshape(len(results), -1).argmax(axis=1) == subject.labels
        found.append(
            {
                "slack": slack,
                "accuracy": 100 * float(right.mean()),
                "bits": sum(full_adder_bits(compiled.integer_graph)),
                "adders": sum(layer["adders"] for layer in compiled.report["layers"]),
                "lut": compiled.report["totals"]["lut"],
            }
        )
    return found


def full_adder_bits(graph: Any) -> list[int]:
    """Of the adder graph of every layer with weights."""
    found = []
    for node in graph.nodes:
        if not isinstance(node.op, integer.MatMul | integer.Conv):
            continue
        x = graph.types[node.inputs[0]]
        if isinstance(node.op, integer.MatMul):
            matrix, ranges = node.op.weights.values, [(s.low, s.high) for s in x.spans]
            found.append(optimize(matrix, ranges).full_adder_bits)
            continue
        kernel = node.op.weights.values
        ins, outs = kernel.shape[2], kernel.shape[3] // node.op.groups
        for group in range(node.op.groups):
            matrix = kernel[..., group * outs : (group + 1) * outs].reshape(-1, outs)
            ranges = [(min(s.low, 0), max(s.high, 0)) for s in x.spans[group * ins : (group + 1) * ins]]
            found.append(optimize(matrix, ranges * (len(matrix) // ins)).full_adder_bits)
    return found


def page(results: dict[str, Any]) -> str:
    """The tables."""
    held = results["accuracy"]
    names = [name for name in NETWORKS if name in held]
    lines = [
        "Percent of the test images right (400 digits; 5,000 of MNIST; 10,000 of Fashion-MNIST). First layer, last",
        "layer and the input have the same bits as the rest; no retraining, no option but formats and scales. The last",
        "column is what may be lost, and **bold** figures keep it. Cells are empty where exact sums have more than 64",
        "bits, which the emulator is slow at.",
        "",
        f"| weights / activations | scales | {' | '.join(names)} | goal |",
        f"|---|---|{'---|' * len(names)}---|",
        f"| float | | {' | '.join(mark(held[name]['float'], held[name]['float'], None) for name in names)} | |",
    ]
    for weights, activations, lost in FIXED:
        for scales in ("pow2", "dyadic", "free"):
            cells = [mark(held[n]["float"], held[n].get(f"{scales} {weights}/{activations}"), lost) for n in names]
            goal = "" if lost is None else f"{lost:g}"
            lines.append(f"| {weights} / {activations} bits | {scales} | {' | '.join(cells)} | {goal} |")
    for name in held[names[0]]:
        if name.startswith("minifloat"):
            cells = [mark(held[n]["float"], held[n].get(name), MINIFLOAT_LOSS) for n in names]
            lines.append(f"| {name.removeprefix('minifloat:')} | free | {' | '.join(cells)} | {MINIFLOAT_LOSS:g} |")
    lines += [
        "",
        "CPU seconds for the whole column: " + ", ".join(f"{n} {held[n]['seconds']:.0f}" for n in names) + ".",
    ]
    for name, rows in results.get("allocation", {}).items():
        lines += [
            "",
            f"### Allocation: {name}",
            "",
            "| the same everywhere (w/a) | LUT | error | right | allocated: LUT | error | right | layers (w/a) |",
            "|---|---|---|---|---|---|---|---|",
        ]
        for row in rows:
            uniform = f"{row['weights'].removeprefix('fixed:')}/{row['activations'].removeprefix('fixed:')}"
            layers = ", ".join(f"{layer} {formats}" for layer, formats in row["layers"].items()) or "the same"
            lines.append(
                f"| {uniform} | {row['lut']:,} | {row['error']:.4f} | {row['accuracy']:.2f} | {row['to_lut']:,} "
                f"| {row['to_error']:.4f} | {row['to_accuracy']:.2f} | {layers} |"
            )
    for name, row in results.get("everything", {}).items():
        title = f"### Every method in one command: {name}"
        lines += ["", title, "", "```", row["command"], "", row["said"].rstrip(), "```", ""]
        lines.append(f"{row['seconds']:,.0f} CPU seconds in all, calibration and the accuracy of each point included.")
    for name, rows in results.get("adders", {}).items():
        lines += [
            "",
            f"### Adder-aware rounding: {name}, 6 bits",
            "",
            "| slack | right | full-adder bits | adders | LUT |",
            "|---|---|---|---|---|",
        ]
        lines += [
            f"| {row['slack']:g} | {row['accuracy']:.2f} | {row['bits']:,} | {row['adders']:,} | {row['lut']:,} |"
            for row in rows
        ]
    return "\n".join(lines) + "\n"


def mark(reference: float, accuracy: float | None, lost: float | None) -> str:
    """Bold where no more than allowed is lost."""
    if accuracy is None:
        return ""
    kept = lost is not None and accuracy >= reference - lost - 1e-9
    return f"**{accuracy:.2f}**" if kept else f"{accuracy:.2f}"


def main() -> None:
    made = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    made.add_argument("--only", nargs="*", choices=tuple(NETWORKS), default=tuple(NETWORKS), metavar="NAME")
    made.add_argument("--parts", nargs="*", choices=PARTS, default=PARTS, metavar="PART", help=f"of {', '.join(PARTS)}")
    made.add_argument("--fresh", action="store_true", help="measure again what the last run left")
    args = made.parse_args()
    for name in args.only:
        try:
            subject = NETWORKS[name]()
        except FileNotFoundError as error:
            print(f"{name}: skipped, {error.filename} is missing")
            continue
        held = {} if args.fresh else {part: rows.get(name) for part, rows in stored().items()}
        if "accuracy" in args.parts:
            accuracy = held.get("accuracy") or {}
            accuracies(name, subject, accuracy, lambda: store("accuracy", name, accuracy))  # noqa: B023
            store("accuracy", name, accuracy)
        left = [part for part in args.parts if not held.get(part)]
        if name in ALLOCATED and "allocation" in left:
            store("allocation", name, allocations(subject, *ALLOCATED[name]))
        if name in EVERYTHING and "everything" in left:
            store("everything", name, everything(subject, EVERYTHING[name]))
        if name in ROUNDED and "adders" in left:
            store("adders", name, frontier(subject))
        print(f"{name}: done after {time.process_time():.0f} CPU seconds", flush=True)


def stored() -> dict[str, Any]:
    empty: dict[str, Any] = {part: {} for part in PARTS}
    return empty | (json.loads(RESULTS.read_text()) if RESULTS.exists() else {})


def store(part: str, name: str, rows: Any) -> None:
    """Into the file at once, and onto the page: a run that is stopped goes on there."""
    results = stored()
    results[part][name] = rows
    RESULTS.write_text(json.dumps(results, indent=1) + "\n")
    PAGE.write_text(PAGE.read_text().partition(MARK)[0] + MARK + "\n\n" + page(results))


if __name__ == "__main__":
    main()
