"""The verdict: does it fit, is it exact, what accuracy is left, how fast is it. Text and page print the same."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from qcompile.report.figures import compact, duration

_RESOURCES = {"lut": "LUTs", "ff": "FFs", "bram18": "BRAM18s"}
IMPLEMENTATIONS = {"RTL": "rtl", "HLS csim": "csim"}


@dataclass(frozen=True)
class Finding:
    """One answer: ``state`` is good, bad, or open where nobody looked."""

    title: str
    answer: str
    detail: str
    state: str


def verdict(report: Mapping[str, Any]) -> list[Finding]:
    """What is known, in the order of the questions."""
    found = (_fits(report), _exact(report), _accuracy(report), _rate(report), _latency(report))
    return [finding for finding in found if finding is not None]


def shares(report: Mapping[str, Any]) -> str:
    """``19.0% of the LUTs, 5.0% of the FFs``: what is used of what the part has."""
    totals, available = report["totals"], report["available"]
    return ", ".join(
        f"{totals[key] / available[key]:.1%} of the {title}"
        for key, title in _RESOURCES.items()
        if available[key] and totals[key]
    )


def _fits(report: Mapping[str, Any]) -> Finding | None:
    if "fits" not in report or not report.get("available"):
        return None
    if report["fits"]:
        return Finding("Fits", "Yes", f"an estimated {shares(report) or 'nothing of the part'}", "good")
    return Finding("Fits", "No", "; ".join(report.get("excess", ())) or f"an estimated {shares(report)}", "bad")


def _exact(report: Mapping[str, Any]) -> Finding:
    verify = report.get("verify")
    if not verify:
        return Finding("Exact", "Not checked", "compile with --verify N", "open")
    ran = {name: key for name, key in IMPLEMENTATIONS.items() if verify.get(f"{key}_mismatches") is not None}
    if not ran:
        return Finding("Exact", "No RTL", "compile for a target", "open")
    samples = verify["samples"]
    for name, key in ran.items():
        samples = verify.get(f"{key}_samples", samples)
        if wrong := verify[f"{key}_mismatches"]:
            return Finding("Exact", "No", f"{wrong} of {samples} samples differ between {name} and emulator", "bad")
    return Finding("Exact", "Bit for bit", f"{', '.join(ran)} and emulator agree on {samples} samples", "good")


def _accuracy(report: Mapping[str, Any]) -> Finding | None:
    verify = report.get("verify", {})
    if "accuracy_emulator" in verify:
        samples = f"{verify.get('accuracy_samples', verify['samples']):,} samples"
        detail, state = f"on {samples}", "open"
        if "accuracy_float" in verify:
            change = 100 * (verify["accuracy_emulator"] - verify["accuracy_float"])
            detail = f"the ONNX model {verify['accuracy_float']:.2%} ({change:+.2f} points), {samples}"
        return Finding("Accuracy", f"{verify['accuracy_emulator']:.2%}", detail, state)
    if "reference_max_abs_error" in verify:
        error = verify["reference_max_abs_error"]
        detail = f"largest difference from the ONNX model on {verify['samples']:,} samples"
        return Finding("Error", f"{error:.4g}", detail, "open")
    return None


def _rate(report: Mapping[str, Any]) -> Finding | None:
    totals = report["totals"]
    if not report.get("target") or not totals.get("ii_cycles"):
        return None
    cycles = totals["ii_cycles"]
    every = "one sample every cycle" if cycles == 1 else f"one sample every {cycles:,} cycles"
    return Finding("Samples a second", compact(totals["fps"]), f"{every} at {totals['clock_mhz']:g} MHz", "open")


def _latency(report: Mapping[str, Any]) -> Finding | None:
    totals = report["totals"]
    if not report.get("target") or not totals.get("ii_cycles"):
        return None
    cycles = totals["latency_cycles"]
    measured = report.get("verify", {}).get("latency_cycles") == cycles
    how = "measured in simulation" if measured else "from the schedule"
    return Finding("Latency", duration(cycles / totals["clock_mhz"]), f"{cycles:,} cycles, {how}", "open")
