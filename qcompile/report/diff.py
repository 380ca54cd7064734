"""What changed between two builds: totals, verification, and layers, which are matched by their names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from qcompile.report.table import Column, table

WIDTH = 100
_HEAD = ("model", "target", "part", "qcompile")
_TOTALS = ("adders", "lut", "ff", "bram18", "dsp", "latency_cycles", "ii_cycles", "fps", "clock_mhz")
_VERIFIED = ("rtl_mismatches", "csim_mismatches", "accuracy_float", "accuracy_emulator", "reference_max_abs_error")
_CHOICES = ("engine", "input_format", "weight_format", "output_format", "lanes", "shape")
_FIGURES = ("adders", "lut", "ff", "bram18", "sqnr_db")
_TITLES = {"lut": "LUT", "ff": "FF", "bram18": "BRAM18", "dsp": "DSP", "latency_cycles": "latency", "fps": "samples/s"}
_TITLES |= {"ii_cycles": "interval", "clock_mhz": "clock, MHz", "rtl_mismatches": "RTL mismatches"}
_TITLES |= {"csim_mismatches": "csim mismatches", "accuracy_float": "accuracy, ONNX", "sqnr_db": "SQNR"}
_TITLES |= {"accuracy_emulator": "accuracy", "reference_max_abs_error": "largest error", "busy": "busy"}


def compare(a: Mapping[str, Any], b: Mapping[str, Any]) -> dict[str, Any]:
    """Pairs ``[in a, in b]``: of everything that differs, and of all totals. None stands for what is not there.

    ``layers`` holds for each layer of either its name and ``change`` (``same``, ``changed``, ``added``,
    ``removed``), in the order of ``b``, those that were removed last.
    """
    old, new = ({layer["name"]: layer for layer in report["layers"]} for report in (a, b))
    layers = [_layer(name, old.get(name), new.get(name)) for name in (*new, *(name for name in old if name not in new))]
    return {
        **{key: [a.get(key), b.get(key)] for key in (*_HEAD, "fits") if a.get(key) != b.get(key)},
        "totals": {key: [a["totals"][key], b["totals"][key]] for key in _TOTALS},
        "verify": _pairs(a.get("verify", {}), b.get("verify", {}), _VERIFIED),
        "layers": layers,
    }


def render_diff(found: Mapping[str, Any], a: str, b: str) -> str:
    """The comparison for reading, within 100 columns; ``a`` and ``b`` are what the builds are called."""
    parts = [f"{a} -> {b}", _head(found), _totals(found), _layers(found)]
    return "\n\n".join(part for part in parts if part) + "\n"


def _layer(name: str, a: Mapping[str, Any] | None, b: Mapping[str, Any] | None) -> dict[str, Any]:
    change = "added" if a is None else "removed" if b is None else ""
    old, new = a or {}, b or {}
    pairs = _pairs(old, new, (*_CHOICES, *_FIGURES)) | _pairs(
        old.get("schedule", {}), new.get("schedule", {}), ("busy",)
    )
    return {"name": name, "change": change or ("changed" if pairs else "same"), "pairs": pairs}


def _pairs(a: Mapping[str, Any], b: Mapping[str, Any], keys: tuple[str, ...]) -> dict[str, list[Any]]:
    return {key: [a.get(key), b.get(key)] for key in keys if a.get(key) != b.get(key)}


def _head(found: Mapping[str, Any]) -> str:
    lines = [f"{key:<10}{_shown(found[key][0])} -> {_shown(found[key][1])}" for key in _HEAD if key in found]
    if "fits" in found:
        yes = {True: "yes", False: "NO", None: "unknown"}
        lines.append(f"{'fits':<10}{yes[found['fits'][0]]} -> {yes[found['fits'][1]]}")
    return "\n".join(lines)


def _totals(found: Mapping[str, Any]) -> str:
    rows = [_row(key, *pair) for key, pair in (found["totals"] | found["verify"]).items()]
    columns = [Column("whole"), Column("before", right=True), Column("after", right=True)]
    columns += [Column("change", right=True), Column("", right=True)]
    return table(columns, rows, WIDTH)


_SHOWN = ("lut", "ff", "bram18", "busy", "sqnr_db")


def _layers(found: Mapping[str, Any]) -> str:
    """A row of figures for each layer that changed, then what else changed in it."""
    changed = [layer for layer in found["layers"] if layer["change"] != "same"]
    same = len(found["layers"]) - len(changed)
    parts = []
    shown = [key for key in _SHOWN if any(key in layer["pairs"] for layer in changed)]
    if shown:
        columns = [Column("layer", 26)]
        columns += [Column(title, right=True) for key in shown for title in (_TITLES[key], "->")]
        rows = [[_named(layer), *(cell for key in shown for cell in _cells(layer["pairs"], key))] for layer in changed]
        parts.append(table(columns, rows, WIDTH))
    lines = [
        f"{layer['name']}: {_TITLES.get(key, key.replace('_', ' '))} {_shown(before)} -> {_shown(after)}"
        for layer in changed
        if layer["change"] == "changed"
        for key, (before, after) in layer["pairs"].items()
        if key in _CHOICES and not (key == "lanes" and None in (before, after))  # the engine says so already
    ]
    parts.append("\n".join(lines))
    parts.append(f"{same} of {len(found['layers'])} layers are the same")
    return "\n\n".join(part for part in parts if part)


def _named(layer: Mapping[str, Any]) -> str:
    return layer["name"] if layer["change"] == "changed" else f"{layer['name']} ({layer['change']})"


def _cells(pairs: Mapping[str, Any], key: str) -> tuple[str, str]:
    """Before and after; empty where nothing changed."""
    return (_shown(pairs[key][0], key), _shown(pairs[key][1], key)) if key in pairs else ("", "")


def _row(key: str, before: Any, after: Any) -> list[str]:
    title = _TITLES.get(key, key.replace("_", " "))
    change = share = ""
    if _is_number(before) and _is_number(after) and before != after:
        if key.startswith("accuracy"):
            change = f"{100 * (after - before):+.2f} points"
        else:
            change = f"{after - before:+,.6g}" if abs(after - before) < 1000 else f"{after - before:+,.0f}"
            share = f"{(after - before) / before:+.1%}" if before else ""
    return [title, _shown(before, key), _shown(after, key), change, share]


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _shown(value: Any, key: str = "") -> str:
    match value:
        case None:
            return "-"
        case float() if key.startswith("accuracy"):
            return f"{value:.2%}"
        case float():
            return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.6g}"
        case int():
            return f"{value:,}"
        case list():
            return " x ".join(map(str, value))
    return str(value)
