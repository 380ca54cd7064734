"""One comparison of everything that computes a network: ONNX reference, emulator, RTL, HLS C++."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from qcompile.emulator import Emulator
from qcompile.errors import fail
from qcompile.implementations import Implementations
from qcompile.ir import integer

Floats = npt.NDArray[np.float64]

_STALL = 0.25  # chance that either stream pauses in a cycle of the comparison
_TIMED = 8  # frames, without stalls, that latency and interval are measured on


@dataclass(frozen=True)
class Approximation:
    """Approximate products: their name, and the network with exact ones."""

    product: str
    exact: Emulator


@dataclass(frozen=True)
class Verifier:
    """What is compared: hardware None where there is no target; ``native``: the emulator compiled from C++ too."""

    model: Any
    emulator: Emulator
    hardware: Implementations | None
    native: bool
    approximation: Approximation | None

    def run(self, x: Floats, labels: npt.NDArray[Any] | None, count: int, seed: int) -> dict[str, Any]:
        """The report's ``verify``: bits of the first ``count`` samples, accuracy on all that have labels."""
        # Here, because it loads onnxruntime, which nothing else of a compile needs.
        from qcompile.verify.reference import reference_outputs

        node = self.emulator.outputs[0]
        everything = x[:count] if labels is None else x
        codes = self.emulator.encode(everything)
        emulated = self.emulator.run(codes)[node.name]
        real = self.emulator.decode(node, emulated)
        reference, engine = reference_outputs(self.model, everything)
        result: dict[str, Any] = {
            "samples": int(min(count, len(x))),
            "rtl_mismatches": None,
            "reference_max_abs_error": float(np.abs(real - reference).max()),
            "reference": engine,
        }
        if self.approximation is not None:
            result |= _against_exact(self.approximation, everything, real)
        if self.hardware is not None and self.hardware.hardware.rtl is not None:
            result |= self._rtl(self.hardware, codes[:count], emulated, seed)
        if self.hardware is not None and self.hardware.hardware.writes_hls:
            result |= _compared("csim", self.hardware.run_csim(codes[:count]), emulated)
        if self.hardware is not None and self.native:
            result |= _compared("native", self.hardware.run_native(codes), emulated)
        if labels is not None:
            result["accuracy_samples"] = len(labels)
            result["accuracy_float"] = _accuracy(reference, labels)
            result["accuracy_emulator"] = _accuracy(real, labels)
        return result

    def _rtl(
        self, hardware: Implementations, codes: npt.NDArray[Any], emulated: npt.NDArray[Any], seed: int
    ) -> dict[str, Any]:
        found, _ = hardware.run_rtl(codes, seed, _STALL)
        _, run = hardware.run_rtl(codes[: max(2, min(len(codes), _TIMED))], seed, 0.0)
        interval = {} if run.ii_cycles is None else {"ii_cycles": int(run.ii_cycles)}
        latency = int(run.frame_latency_cycles)
        return {**_compared("rtl", found, emulated), "latency_cycles": latency, "seed": seed, **interval}


def random_samples(emulator: Emulator, count: int) -> Floats:
    """Samples ``[count, *ONNX shape]`` whose input codes are uniform, the same every time."""
    op = emulator.inputs[0].op
    assert isinstance(op, integer.Input) and op.quantizer.low is not None and op.quantizer.high is not None
    shape = (count, *op.order.shape)
    codes = np.random.default_rng(0).integers(op.quantizer.low, op.quantizer.high + 1, shape)
    arranged = op.quantizer.values(codes)
    scale, offset = float(op.affine.scale[0]), float(op.affine.offset[0])
    flat = np.empty((count, arranged[0].size))
    flat[:, op.order.values.ravel()] = ((arranged - offset) / scale).reshape(count, -1)
    return flat.reshape(count, *op.onnx_shape)


def checked_labels(labels: npt.ArrayLike | None, x: Floats) -> npt.NDArray[Any] | None:
    """Labels as an array; QC205 where they are not one per sample."""
    if labels is None:
        return None
    found = np.asarray(labels)
    if len(found) != len(x):
        raise fail("QC205", "labels", f"{len(found)} labels for {len(x)} samples", "give one per sample")
    return found


def _against_exact(approximation: Approximation, x: Floats, real: Floats) -> dict[str, Any]:
    """How far the results of approximate products are from those of exact ones."""
    emulator = approximation.exact
    node = emulator.outputs[0]
    exact = emulator.decode(node, emulator.run(emulator.encode(x))[node.name])
    return {
        "product": approximation.product,
        "product_values": int(real.size),
        "product_differences": int((real != exact).sum()),
        "product_largest_difference": float(np.abs(real - exact).max()),
    }


def _compared(what: str, outputs: npt.NDArray[Any], emulated: npt.NDArray[Any]) -> dict[str, int]:
    """Samples of ``outputs``, and how many of them have other bits than the emulator's first ones."""
    wrong = (outputs != emulated[: len(outputs)]).reshape(len(outputs), -1).any(axis=1)
    return {f"{what}_mismatches": int(wrong.sum()), f"{what}_samples": len(outputs)}


def _accuracy(outputs: Floats, labels: npt.NDArray[Any]) -> float:
    """Share of samples whose largest output (or, with a single one, the output itself) is the label."""
    flat = outputs.reshape(len(outputs), -1)
    classes = flat[:, 0] if flat.shape[1] == 1 else flat.argmax(axis=1)
    return float((classes == labels).mean())
