"""What a verification measured, line by line."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_TITLES = {
    "samples": "samples",
    "accuracy_samples": "samples with labels",
    "rtl_samples": "simulated",
    "rtl_mismatches": "RTL against emulator, differing samples",
    "csim_mismatches": "HLS csim against emulator, differing samples",
    "native_mismatches": "native emulator against emulator, differing samples",
    "reference_max_abs_error": "ONNX model against emulator, largest error",
    "reference_code_differences": "ONNX model against emulator, differing codes",
    "product": "products, not exact",
    "product_values": "results of both kinds of products",
    "product_differences": "of these different from those of exact products",
    "product_largest_difference": "largest difference to exact products",
    "accuracy_float": "accuracy of the ONNX model",
    "accuracy_emulator": "accuracy of emulator and RTL",
    "latency_cycles": "latency in cycles, measured",
    "ii_cycles": "cycles between samples, measured",
}


def verification_rows(report: Mapping[str, Any]) -> list[tuple[str, str]]:
    """``(what, figure)``, in a fixed order; none where nothing was verified."""
    verify = report.get("verify", {})
    return [(title, _shown(key, verify[key])) for key, title in _TITLES.items() if verify.get(key) is not None]


def _shown(key: str, value: float | str) -> str:
    if isinstance(value, str):
        return value
    if key in ("accuracy_float", "accuracy_emulator"):
        return f"{value:.2%}"
    return f"{value:.6g}" if isinstance(value, float) else f"{value:,}"
