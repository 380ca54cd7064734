"""Number formats on the digits networks: accuracy, and what a weight costs in hardware.

Prints the tables of docs/formats.md:

    python benchmarks/formats.py [FORMAT ...] [--products]

Each format serves the weights of all layers, beside activations in fixed:8, and the activations, beside weights in
fixed:8. Post-training, scales that are powers of two, no retraining. Costs are those of the whole unrolled multi-layer
perceptron over its weights (estimates, docs/resources.md). With --products: exact and approximate products of
minifloats, both networks unrolled.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

import qcompile
from qcompile.numerics.formats import FORMATS, parse_format
from qcompile.quantize.options import MULTIPLY

EXAMPLES = Path(__file__).parents[1] / "examples"
MINIFLOAT = "minifloat:e3m3"
MORE = ("fixed:4", "fixed:3", "minifloat:e2m1", "minifloat:e4m3fn", "mx:int8:32", "fixed:4@32", "ternary@32")


def accuracy(network: str, data: dict[str, np.ndarray], **formats: str) -> float:
    compiled = qcompile.compile(EXAMPLES / network, target=None, calibration=data["x_calib"], **formats)
    scores = compiled.emulate(data["x_test"]).reshape(len(data["y_test"]), -1)
    return float((scores.argmax(axis=1) == data["y_test"]).mean())


def cost(data: dict[str, np.ndarray], **formats: str) -> tuple[float, float]:
    """``(adders, LUTs)`` for each weight of the perceptron."""
    report = qcompile.estimate(EXAMPLES / "digits_mlp.onnx", target="zcu104", calibration=data["x_calib"], **formats)
    weights = sum(layer["macs"] for layer in report["layers"] if layer.get("macs"))
    return report["totals"]["adders"] / weights, report["totals"]["lut"] / weights


def by_format(data: dict[str, np.ndarray], formats: list[str]) -> None:
    print("| format | bits | weights: mlp | cnn | adders per weight | LUTs per weight | activations: mlp | cnn |")
    print("|---|---|---|---|---|---|---|---|")
    for text in formats:
        format_ = parse_format(text, "")
        shown = [f"{accuracy(f'digits_{net}.onnx', data, weights=text):.2%}" for net in ("mlp", "cnn")]
        adders, luts = cost(data, weights=text)
        shown += [f"{adders:.2f}", f"{luts:.1f}"]
        if format_.for_weights_only:
            shown += ["", ""]
        else:
            shown += [f"{accuracy(f'digits_{net}.onnx', data, activations=text):.2%}" for net in ("mlp", "cnn")]
        print(f"| `{text}` | {format_.bits} | {' | '.join(shown)} |", flush=True)


def by_product(data: dict[str, np.ndarray]) -> None:
    print(f"| {MINIFLOAT} weights and activations, unrolled | digits_mlp | LUTs | digits_cnn | LUTs |")
    print("|---|---|---|---|---|")
    for rule in MULTIPLY:
        chosen = {"weights": MINIFLOAT, "activations": MINIFLOAT, "multiply": rule}
        shown = []
        for net in ("mlp", "cnn"):
            model = EXAMPLES / f"digits_{net}.onnx"
            report = qcompile.estimate(model, target="zcu104", calibration=data["x_calib"], **chosen)
            shown += [f"{accuracy(model.name, data, **chosen):.2%}", f"{report['totals']['lut']:,}"]
        print(f"| `{rule}` | {' | '.join(shown)} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("formats", nargs="*", metavar="FORMAT", help="default: one of every kind, and some more")
    parser.add_argument("--products", action="store_true", help="exact and approximate products instead")
    args = parser.parse_args()
    with np.load(EXAMPLES / "digits.npz") as arrays:
        data = dict(arrays)
    if args.products:
        by_product(data)
    else:
        by_format(data, args.formats or [*dict.fromkeys([*(s.example for s in FORMATS.values()), *MORE])])


if __name__ == "__main__":
    main()
