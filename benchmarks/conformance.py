"""Every public network against its stored reference, sample by sample; writes docs/conformance.md.

    python benchmarks/conformance.py [FOLDER OF MODELS] [NETWORK ...]

Exact where the reference is an integer runtime (LiteRT); for references computed in float32, equal up to float32
resolution, and every sample that differs is traced to float ties (`qcompile.verify.ties`).
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import fracbnn
import numpy as np
import numpy.typing as npt
import onnx

import qcompile
from qcompile import frontend
from qcompile.emulator import Emulator
from qcompile.errors import Collector
from qcompile.ir import integer
from qcompile.ir.graph import Graph
from qcompile.passes.integerize import Integerize
from qcompile.passes.manager import PassManager
from qcompile.passes.quantize_inputs import QuantizeInputs
from qcompile.passes.realize_requantize import RealizeRequantize
from qcompile.passes.shorten_sums import ShortenSums
from qcompile.quantize import TIDY, QuantizeOptions, quantize
from qcompile.verify.ties import TieSearch, WeightTie, weight_ties, with_weights

ROOT = Path(__file__).resolve().parents[1]
MODELS = Path(os.environ.get("QCOMPILE_MODELS", ROOT.parent / "shared" / "models"))
INPUT_RANGES = {"espcn_subpixel_quant": (0, 1), "fracbnn_cifar10_w1a1p4": (0, 255)}
"""Where inputs lie that the file leaves real; both networks see 8-bit images."""
FLOAT32 = 1e-5
"""Largest difference, relative to the largest output, that float32 sums may have."""


@dataclass(frozen=True)
class Row:
    """``equal`` and ``ties`` count samples; ``note`` says what was compared and what the ties are."""

    name: str
    samples: int
    equal: int
    ties: int
    note: str

    @property
    def proved(self) -> bool:
        return self.samples == self.equal + self.ties


def model_graph(path: Path) -> tuple[Graph, bool]:
    """The model graph on grids throughout, and whether the file brought them."""
    imported = frontend.read(path)
    if imported.quantized:
        low, high = INPUT_RANGES.get(path.stem, (0, 1))
        return QuantizeInputs(limits=(Fraction(low), Fraction(high))).run(imported.graph), True
    return imported.graph, False


def passed(graph: Graph, *passes: Any) -> Graph:
    return PassManager(lambda name, after: None).run(graph, passes)


def emulated(graph: Graph, samples: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    golden = passed(graph, *TIDY, Integerize(), ShortenSums(), RealizeRequantize())
    (result,) = Emulator(golden)(samples).values()
    return result


def float_reference(path: Path) -> Row:
    """Against onnxruntime, or the dialect's own float32 runtime."""
    stored = np.load(path.with_name(f"{path.stem}.io.npz"))
    samples, reference = stored["input"], stored["output"]
    graph, quantized = model_graph(path)
    if not quantized:
        return _post_training(path, graph, samples, reference)
    tolerance = FLOAT32 * float(np.abs(reference).max())
    wrong = _differing(emulated(graph, samples), reference, tolerance)
    flipped: list[WeightTie] = []
    for tie in weight_ties(graph) if wrong else []:
        trial = _differing(emulated(with_weights(graph, [*flipped, tie]), samples), reference, tolerance)
        if len(trial) < len(wrong):
            flipped.append(tie)
            wrong = trial
            if not wrong:
                break
    total = _differing(emulated(graph, samples), reference, tolerance)
    notes = [_weight_note(tie) for tie in flipped]
    explained = len(total) - len(wrong)
    if wrong:
        search = TieSearch(passed(with_weights(graph, flipped), *TIDY, Integerize()))
        for sample in wrong:
            found = search.explain(samples[sample : sample + 1], reference[sample], tolerance)
            if found is None:
                notes.append(f"sample {sample}: not explained")
                continue
            explained += 1
            tie = max(found.ties, key=lambda t: t.error)
            places = sorted({name for t in found.ties for name in t.origin[-1:]})
            notes.append(
                f"sample {sample}: {len(found.ties)} code{'s' * (len(found.ties) > 1)} at {', '.join(places)}, exact "
                f"values within {max(abs(float(t.distance)) for t in found.ties):.1e} of the boundary "
                f"({tie.error:.2f} float32 resolutions of the sum)"
            )
    return Row(path.stem, len(samples), len(samples) - len(total), explained, "; ".join(notes))


def _weight_note(tie: WeightTie) -> str:
    return (
        f"one weight of {tie.node} is {tie.exact} exactly and {tie.other} after a float32 division "
        f"({tie.error:.2f} float32 resolutions from the boundary)"
    )


def _differing(found: npt.NDArray[Any], reference: npt.NDArray[Any], tolerance: float) -> list[int]:
    gaps = np.abs(found.reshape(reference.shape) - reference).reshape(len(reference), -1).max(axis=1)
    return np.flatnonzero(gaps > tolerance).tolist()


def _post_training(path: Path, graph: Graph, samples: npt.NDArray[Any], reference: npt.NDArray[Any]) -> Row:
    """A float network: its 8-bit version must be its own float64 meaning, and near the float reference."""
    from qcompile.ir.model import evaluate

    after = quantize(graph, samples, QuantizeOptions(), Collector(), PassManager(lambda name, g: None))
    source = next(node.name for node in after.nodes if node.op.mnemonic == "input")
    meaning = evaluate(after, {source: samples.astype(np.float64)})[after.outputs[0]]
    found = emulated(after, samples)
    wrong = _differing(found, meaning, FLOAT32 * float(np.abs(meaning).max()))
    error = float(np.abs(found.reshape(reference.shape) - reference).max() / np.abs(reference).max())
    note = f"float network, quantized to 8 bits: against its own meaning; {error:.1%} from the float reference"
    return Row(path.stem, len(samples), len(samples) - len(wrong), 0, note)


def integer_reference(path: Path) -> Row:
    """Against LiteRT's integer kernels, code by code."""
    stored = np.load(path.with_name(f"{path.stem}.tflite_io.npz"))
    graph, _ = model_graph(path)
    samples = (stored["input_int8"].astype(np.float64) - float(stored["in_zp"])) * float(stored["in_scale"])
    emulator = Emulator(passed(graph, *TIDY, Integerize(), ShortenSums(), RealizeRequantize()))
    (node,) = emulator.outputs
    assert isinstance(node.op, integer.Output)
    real = emulator.decode(node, emulator.run(emulator.encode(samples))[node.name])
    codes = np.rint(real / float(stored["out_scale"])).astype(np.int64) + int(stored["out_zp"])
    gaps = np.abs(codes.reshape(stored["output_int8"].shape) - stored["output_int8"]).reshape(len(samples), -1)
    equal = int((gaps.max(axis=1) == 0).sum())
    note = "LiteRT, int8 codes"
    ties = 0
    if equal < len(samples):
        ort = np.abs(real.reshape(stored["ort_output"].shape) - stored["ort_output"]).reshape(len(samples), -1)
        same = int((ort.max(axis=1) < float(stored["out_scale"]) / 2).sum())
        note += (
            f"; the others differ by at most {gaps.max()} in the softmax, which LiteRT computes in fixed point and "
            f"the host in float64 (with a float softmax {same} of {len(samples)} are equal)"
        )
        ties = same - equal if node.op.host == "softmax" and gaps.max() <= 2 else 0
    return Row(f"{path.stem} (LiteRT)", len(samples), equal, ties, note)


def accelerator_reference(path: Path) -> Row:
    """The fixed-point variant of FracBNN, against the published accelerator's own C simulation."""
    stored = np.load(path.with_name("fracbnn_cifar10_hls_fixed.io.npz"))
    compiled = qcompile.compile(fracbnn.accelerator(onnx.load(path)), **fracbnn.OPTIONS)
    found = compiled.emulate(stored["image_u8"].astype(np.float64))
    equal = int((found.reshape(stored["output"].shape) == stored["output"]).all(axis=1).sum())
    formats = ", ".join(f"{key} {fracbnn.OPTIONS[key]}" for key in ("residuals", "constants"))
    note = f"the published accelerator (`benchmarks/fracbnn.py`), bit for bit: {formats}"
    return Row("fracbnn_cifar10_hls_fixed", len(stored["output"]), equal, 0, note)


def rows(folder: Path, names: Sequence[str] = ()) -> list[Row]:
    found = []
    for path in sorted(folder.glob("*.onnx")):
        if names and path.stem not in names:
            continue
        found.append(float_reference(path))
        if path.with_name(f"{path.stem}.tflite_io.npz").exists():
            found.append(integer_reference(path))
        if path.stem == "fracbnn_cifar10_w1a1p4":
            found.append(accelerator_reference(path))
        print(found[-1], flush=True)
    return found


def page(table: Sequence[Row]) -> str:
    lines = [
        "# Conformance",
        "",
        "Every network of the collection through the importer, the integer graph and the emulator, against the outputs",
        "that its own runtime stored. `equal` counts samples whose outputs are the reference's: every code where the",
        "reference is an integer runtime, every value within 1e-5 of the largest output where it computes in float32.",
        "`ties` counts samples that differ because float32 rounded the other way at a code boundary: for each, the",
        "exact rational value before a quantizer was found to lie within float32's rounding error of the boundary, and",
        "the network with just those codes changed gives the reference (`qcompile/verify/ties.py`).",
        "",
        "Written by `python benchmarks/conformance.py`.",
        "",
        "| network | samples | equal | ties | |",
        "|---|---:|---:|---:|---|",
    ]
    lines += [f"| {row.name} | {row.samples} | {row.equal} | {row.ties} | {row.note} |" for row in table]
    ranges = ", ".join(f"{name} {low} to {high}" for name, (low, high) in INPUT_RANGES.items())
    lines += ["", f"Inputs that a file leaves real were put on 8-bit grids (`--input-format fixed:8`): {ranges}.", ""]
    return "\n".join(lines)


def main(words: Sequence[str]) -> int:
    folder = Path(words[0]) if words and Path(words[0]).is_dir() else MODELS
    names = [word for word in words if not Path(word).is_dir()]
    table = rows(folder, names)
    if not names:
        (ROOT / "docs" / "conformance.md").write_text(page(table), encoding="utf-8")
    return 0 if all(row.proved for row in table) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
