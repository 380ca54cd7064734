"""`qcompile.toml`: the same choices as on the command line, and formats layer by layer.

```
[quantize]
weights = "fixed:4"
activations = "fixed:6"
formats = "auto"                     # or "as-is"
scales = "pow2"                      # or "free", "dyadic"
weight_range = "output"              # or "minmax", "absmean", "mse"
activation_range = "percentile:99.9" # or "minmax", "mse", "kl"
multiply = "exact"                   # or "l-mul", "l-mul-formula", "pam": approximate products of minifloats
weight_rounding = "gptq+comq"        # or "auto", "nearest", "gptq", "comq", "adaround"
adder_slack = 0.1                    # a tenth more error where that saves adders
equalize = true                      # weight ranges alike between layers
smooth = 0.5                         # channels of activations get ranges alike
propagate = 0.5                      # weights make up for their rounded operands
bias_correction = true
output = "accumulator"               # or a format
rounding = "half_up"
synthetic = "statistics"             # samples that batch normalizations expect; or "uniform"
input_range = [0, 255]               # of synthetic calibration samples, and of input_format
input_format = "fixed:8"             # grid of an input that a quantized file leaves real

[residuals]                          # what a quantized file computes in floats between its quantizers
format = "fixed:16:7"                # ap_fixed<16,9,RND,SAT>
constants = "fixed:12:8"             # of batch norms, activations and comparisons
rounding = "half_up"

[residuals.layers]                   # other formats, by ONNX node
"Add_26" = "fixed:12:4"

[layers."Convolution28"]             # any ONNX node of the layer, or the input
weights = "fixed:8"
activations = "fixed:8"

[target]
name = "ultra96"
clock_mhz = 200
fps = 1000
```
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from difflib import get_close_matches
from pathlib import Path
from types import MappingProxyType
from typing import Any

from qcompile.errors import Collector, CompileError, fail
from qcompile.numerics.formats import Fixed, Format, parse_format
from qcompile.numerics.rounding import Rounding
from qcompile.passes.round_residuals import ResidualFormat, RoundResiduals
from qcompile.quantize import LayerFormats, QuantizeOptions


@dataclass(frozen=True)
class Config:
    """Every choice of a compile that a file may hold; None: not chosen."""

    quantize: QuantizeOptions = QuantizeOptions()  # noqa: RUF009
    target: str | None = None
    clock_mhz: float | None = None
    fps: float | None = None
    residuals: RoundResiduals | None = None


def load_config(
    path: Path | None, given: Mapping[str, Any] = MappingProxyType({}), diagnostics: Collector | None = None
) -> Config:
    """The choices of the file at ``path`` (None: no file), overruled by those ``given`` on the command line.

    ``given`` has the keys of `[quantize]`, and target, clock_mhz, fps; entries that are None were not given.
    Unknown keys are QC204, impossible values QC203 or QC505; all are reported together.
    """
    found = diagnostics or Collector()
    file = _Reader(str(path or "qcompile.toml"), found)
    tables = _tables(path)
    file.known(tables, (*_SECTIONS, "residuals", "layers"), "table", "")
    chosen: dict[str, Any] = {}
    for section, rules in _SECTIONS.items():
        chosen |= file.table(tables.get(section, {}), rules, f"[{section}]")
    overrides = file.layers(tables.get("layers", {}))
    rounded = file.residuals(tables.get("residuals", {}))
    line = _Reader("", found)
    flat = {key: value for key, value in given.items() if value is not None}
    rounded |= line.table({_RESIDUALS_CLI[k]: flat.pop(k) for k in _RESIDUALS_CLI if k in flat}, _RESIDUALS, "")
    chosen |= line.table(flat, {_CLI_NAMES.get(k, k): v for rules in _SECTIONS.values() for k, v in rules.items()}, "")
    found.check()
    target = chosen.pop("name", None)
    target = chosen.pop("target", target)
    options = {field.name for field in fields(QuantizeOptions)}
    with found.collecting():
        quantize = QuantizeOptions(
            **{key: value for key, value in chosen.items() if key in options}, overrides=MappingProxyType(overrides)
        )
    found.check()
    others = {key: value for key, value in chosen.items() if key not in options}
    return Config(quantize, target, residuals=_round_residuals(rounded), **others)


def _round_residuals(rounded: Mapping[str, Any]) -> RoundResiduals | None:
    rounding = rounded.get("rounding", Rounding.HALF_UP)
    formats = {key: ResidualFormat(rounded[key], rounding) for key in ("format", "constants") if key in rounded}
    layers = {name: ResidualFormat(chosen, rounding) for name, chosen in rounded.get("layers", {}).items()}
    if not formats and not layers:
        return None
    return RoundResiduals(formats.get("format"), formats.get("constants"), MappingProxyType(layers))


def _tables(path: Path | None) -> dict[str, Any]:
    if path is None:
        return {}
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise fail("QC505", str(path), f"cannot be read: {error.strerror}", "check the path after --config") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise fail("QC505", str(path), f"is not TOML: {error}", "correct the line, see https://toml.io") from None


_Rule = Callable[[Any, str], Any]


def _wrong(where: str, value: Any, needed: str) -> CompileError:
    return fail("QC505", where, f"{value!r} is not understood", f"write {needed}")


def _format(value: Any, where: str) -> Format:
    return value if isinstance(value, Format) else parse_format(str(value), where)


def _exact(value: Any, where: str) -> Fixed:
    chosen = _format(value, where)
    if not isinstance(chosen, Fixed) or chosen.frac is None:
        way_out = "give the fractional bits too, as in fixed:16:7"
        raise fail("QC203", where, f"format {value!r} does not say where the point is", way_out)
    return chosen


def _output(value: Any, where: str) -> str | Format:
    return "accumulator" if value == "accumulator" else _format(value, where)


def _word(value: Any, where: str) -> str:
    if not isinstance(value, str):
        raise _wrong(where, value, "a word in quotes")
    return value


def _flag(value: Any, where: str) -> bool:
    if not isinstance(value, bool):
        raise _wrong(where, value, "true or false")
    return value


def _positive(value: Any, where: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < float("inf"):
        raise _wrong(where, value, "a number above 0")
    return float(value)


def _share(value: Any, where: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise _wrong(where, value, "a number from 0 to 1")
    return float(value)


def _rounding(value: Any, where: str) -> Rounding:
    try:
        return Rounding(value)
    except ValueError:
        raise _wrong(where, value, f"one of {', '.join(Rounding)}") from None


def _range(value: Any, where: str) -> tuple[float, float]:
    numbers = isinstance(value, list | tuple) and all(
        isinstance(end, int | float) and not isinstance(end, bool) for end in value
    )
    if not numbers or len(value) != 2:
        raise _wrong(where, value, "[low, high]")
    return float(value[0]), float(value[1])


_LAYER: dict[str, _Rule] = {"weights": _format, "activations": _format}
_SECTIONS: dict[str, dict[str, _Rule]] = {
    "quantize": {
        **_LAYER,
        "formats": _word,
        "scales": _word,
        "weight_range": _word,
        "activation_range": _word,
        "weight_rounding": _word,
        "multiply": _word,
        "adder_slack": _share,
        "equalize": _flag,
        "smooth": _share,
        "propagate": _share,
        "bias_correction": _flag,
        "output": _output,
        "rounding": _rounding,
        "synthetic": _word,
        "input_range": _range,
        "input_format": _format,
    },
    "target": {"name": _word, "clock_mhz": _positive, "fps": _positive},
}
_RESIDUALS: dict[str, _Rule] = {"format": _exact, "constants": _exact, "rounding": _rounding}
_RESIDUALS_CLI = {"residuals": "format", "constants": "constants"}
_CLI_NAMES = {"name": "target"}


@dataclass(frozen=True)
class _Reader:
    """Checks tables key by key; ``file`` is empty for the command line."""

    file: str
    found: Collector

    def where(self, table: str, key: str) -> str:
        return f"{self.file}: {table} {key}" if self.file else key

    def known(self, table: Mapping[str, Any], keys: tuple[str, ...], kind: str, where: str) -> list[str]:
        """The keys of ``table`` that exist; the others are reported with the nearest that does."""
        for key in table:
            if key in keys:
                continue
            close = get_close_matches(key, keys, 1)
            self.found.error(
                "QC204",
                ": ".join(part for part in (self.file, where) if part),
                f'there is no {kind} "{key}"',
                f'did you mean "{close[0]}"?' if close else f"there are {', '.join(keys)}",
            )
        return [key for key in table if key in keys]

    def table(self, table: Any, rules: dict[str, _Rule], name: str) -> dict[str, Any]:
        if not isinstance(table, Mapping):
            self.found.include(_wrong(self.where(name, "").strip(), table, f"a table, {name}"))
            return {}
        chosen: dict[str, Any] = {}
        for key in self.known(table, tuple(rules), "key", name):
            with self.found.collecting():
                chosen[key] = rules[key](table[key], self.where(name, key))
        return chosen

    def residuals(self, table: Any) -> dict[str, Any]:
        layers = table.get("layers", {}) if isinstance(table, Mapping) else {}
        own = {key: value for key, value in table.items() if key != "layers"} if layers else table
        rules: dict[str, _Rule] = dict.fromkeys(layers, _exact) if isinstance(layers, Mapping) else {}
        chosen = self.table(own, _RESIDUALS, "[residuals]")
        held = self.table(layers, rules, "[residuals.layers]")
        return {**chosen, "layers": held} if held else chosen

    def layers(self, tables: Any) -> dict[str, LayerFormats]:
        if not isinstance(tables, Mapping):
            self.found.include(_wrong(f"{self.file}: layers", tables, 'tables, [layers."NodeName"]'))
            return {}
        return {
            layer: LayerFormats(**self.table(table, _LAYER, f'[layers."{layer}"]')) for layer, table in tables.items()
        }
