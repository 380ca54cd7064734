"""The verdict: does it fit, is it exact, what accuracy is left, how fast is it. For the page, and as lines of text."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from qcompile.report.figures import compact, duration

_RESOURCES = {"lut": "LUTs", "ff": "FFs", "bram18": "BRAM18s"}
_IMPLEMENTATIONS = {"RTL": "rtl", "HLS csim": "csim"}


@dataclass(frozen=True)
class Finding:
    """One answer: ``state`` is good, bad, or open where it is neither; ``text`` is its part of report.txt, if any."""

    title: str
    answer: str
    detail: str
    state: str
    text: str = ""


def verdict(report: Mapping[str, Any]) -> list[Finding]:
    """What is known, in the order of the questions."""
    found = (_fits(report), _exact(report), _rounded(report), _accuracy(report), _rate(report), _latency(report))
    return [finding for finding in found if finding is not None]


def verdict_lines(report: Mapping[str, Any]) -> list[str]:
    """One line for each question, more where a design does not fit."""
    return [finding.text for finding in verdict(report) if finding.text]


def _fits(report: Mapping[str, Any]) -> Finding | None:
    available = report.get("available")
    if "fits" not in report or not available:
        return None
    totals = report["totals"]
    shares = ", ".join(
        f"{totals[key] / available[key]:.1%} of the {title}"
        for key, title in _RESOURCES.items()
        if available[key] and totals[key]
    )
    used = f"an estimated {shares or 'nothing of the part'}"
    if report["fits"]:
        return Finding("Fits", "Yes", used, "good", f"fits      yes: {used}, no multiplier")
    excess = report.get("excess") or [used]
    return Finding("Fits", "No", "; ".join(excess), "bad", "\n          ".join(["fits      NO", *excess]))


def _exact(report: Mapping[str, Any]) -> Finding:
    verify = report.get("verify")
    if not verify:
        how = "compile with --verify N"
        return Finding("Exact", "Not checked", how, "open", f"exact     not checked: {how}")
    ran = {name: key for name, key in _IMPLEMENTATIONS.items() if verify.get(f"{key}_mismatches") is not None}
    if not ran:
        how = "compile for a target"
        return Finding("Exact", "No RTL", how, "open", f"exact     no RTL to compare: {how}")
    samples = verify["samples"]
    for name, key in ran.items():
        samples = verify.get(f"{key}_samples", samples)
        if wrong := verify[f"{key}_mismatches"]:
            differ = f"{wrong} of {samples} samples differ between {name} and emulator"
            return Finding("Exact", "No", differ, "bad", f"exact     NO: {differ}")
    who = f"{', '.join(ran)} and emulator agree"
    text = f"exact     yes: {who} bit for bit on {samples} samples"
    return Finding("Exact", "Bit for bit", f"{who} on {samples} samples", "good", text)


def _rounded(report: Mapping[str, Any]) -> Finding | None:
    """What the user had rounded that the file computes in floats."""
    residuals = report.get("residuals")
    if not residuals:
        return None
    parts = [
        f"{residuals[count]:,} {what} to {residuals[key]}"
        for key, count, what in (("format", "tensors", "tensors"), ("constants", "constant_tensors", "constants"))
        if key in residuals
    ]
    detail = ", ".join(parts)
    return Finding("Rounded", "As asked", detail, "open", f"rounded   as asked: {detail}")


def _accuracy(report: Mapping[str, Any]) -> Finding | None:
    verify = report.get("verify", {})
    if "accuracy_emulator" in verify:
        share, count = verify["accuracy_emulator"], verify.get("accuracy_samples", verify["samples"])
        detail, beside = f"on {count:,} samples", ""
        if "accuracy_float" in verify:
            change = f"{100 * (share - verify['accuracy_float']):+.2f} points"
            detail = f"the ONNX model {verify['accuracy_float']:.2%} ({change}), {count:,} samples"
            beside = f" (the ONNX model {verify['accuracy_float']:.2%}, {change})"
        return Finding("Accuracy", f"{share:.2%}", detail, "open", f"accuracy  {share:.2%}{beside} on {count} samples")
    if "reference_max_abs_error" in verify:
        error, count = f"{verify['reference_max_abs_error']:.4g}", verify["samples"]
        detail = f"largest difference from the ONNX model on {count:,} samples"
        text = f"error     at most {error} against the ONNX model on {count} samples"
        return Finding("Error", error, detail, "open", text)
    return None


def _rate(report: Mapping[str, Any]) -> Finding | None:
    totals = report["totals"]
    if not report.get("target") or not totals.get("ii_cycles"):
        return None
    latency, clock = totals["latency_cycles"], totals["clock_mhz"]
    interval = report.get("verify", {}).get("ii_cycles", totals["ii_cycles"])
    foretold = "" if interval == totals["ii_cycles"] else f" (measured; the schedule foretold {totals['ii_cycles']:,})"
    rate = clock * 1e6 / interval
    every = "one sample every cycle" if interval == 1 else f"one sample every {interval:,} cycles"
    time = duration(latency / clock).replace("µ", "u")  # for any terminal
    text = (
        f"speed     {rate:,.0f} samples/s at {clock:g} MHz; latency {latency:,} cycles ({time}), "
        f"one sample every {interval:,}{foretold}"
    )
    return Finding("Samples a second", compact(rate), f"{every} at {clock:g} MHz{foretold}", "open", text)


def _latency(report: Mapping[str, Any]) -> Finding | None:
    """Its text is part of the rate's."""
    totals = report["totals"]
    if not report.get("target") or not totals.get("ii_cycles"):
        return None
    cycles = totals["latency_cycles"]
    measured = report.get("verify", {}).get("latency_cycles") == cycles
    how = "measured in simulation" if measured else "from the schedule"
    return Finding("Latency", duration(cycles / totals["clock_mhz"]), f"{cycles:,} cycles, {how}", "open")
