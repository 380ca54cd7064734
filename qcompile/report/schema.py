"""The structure of report.json, its version, and a checker. `docs/report.md` documents every key.

Keys may be added within a version; a key that changes its meaning or goes away raises ``SCHEMA_VERSION``.
"""

import json
import re
import types
from collections.abc import Iterator, Mapping
from typing import Any, NotRequired, TypedDict, Union, get_args, get_origin, get_type_hints, is_typeddict

SCHEMA_VERSION = 2
INPUT = "input"
"""Among a layer's ``inputs``: the network's own."""

_NUMBERS = re.compile(r"\[\s*(-?\d[-\d.,e+\s]*?)\s*\](?=,?\n)")


class Resources(TypedDict):
    """``bram18`` counts blocks of 18 Kibit."""

    lut: int
    ff: int
    bram18: int
    dsp: int


class Histogram(TypedDict):
    """How many values have each code of a grid; bin k of ``counts`` holds ``step`` codes from ``low + k * step`` on.

    The last bin ends at ``high``, the grid's highest code, or beyond it.
    """

    low: int
    high: int
    step: int
    counts: list[int]
    real_low: NotRequired[float]
    real_high: NotRequired[float]
    clipped: NotRequired[float]


class Schedule(TypedDict):
    """Cycles from a frame's first input beat on, nothing stalling; ``busy`` is how many of them a frame takes."""

    start: int
    first: int
    last: int
    busy: int


class Layer(TypedDict):
    """One block of the hardware, estimated."""

    name: str
    onnx_nodes: list[str]
    inputs: list[str]
    shape: list[int]
    engine: str
    input_format: str
    weight_format: str | None
    output_format: str
    adders: int
    lut: int
    ff: int
    bram18: int
    dsp: int
    latency_cycles: int
    schedule: NotRequired[Schedule]
    lanes: NotRequired[list[int]]
    macs: NotRequired[int]
    weights: NotRequired[Histogram]
    activations: NotRequired[Histogram]
    sqnr_db: NotRequired[float | None]
    module: NotRequired[str]
    reason: NotRequired[str]


class Totals(TypedDict):
    """Sums over the layers; ``latency_cycles`` and ``ii_cycles`` are those of the whole network."""

    adders: int
    lut: int
    ff: int
    bram18: int
    dsp: int
    latency_cycles: int
    ii_cycles: int
    fps: float
    clock_mhz: float


class Quality(TypedDict):
    """What the layers' ``activations`` and ``sqnr_db`` were measured on, and against what."""

    samples: int
    source: str
    reference: str


class Notice(TypedDict):
    code: str
    where: str
    found: str
    help: str


class Verify(TypedDict):
    """``rtl_mismatches`` is None where no RTL was simulated (no target, or HLS alone)."""

    samples: int
    rtl_mismatches: int | None
    reference_max_abs_error: float
    rtl_samples: NotRequired[int]
    csim_mismatches: NotRequired[int]
    csim_samples: NotRequired[int]
    native_mismatches: NotRequired[int]
    native_samples: NotRequired[int]
    reference: NotRequired[str]
    reference_code_differences: NotRequired[int]
    product: NotRequired[str]
    product_values: NotRequired[int]
    product_differences: NotRequired[int]
    product_largest_difference: NotRequired[float]
    latency_cycles: NotRequired[int]
    ii_cycles: NotRequired[int]
    seed: NotRequired[int]
    accuracy_samples: NotRequired[int]
    accuracy_float: NotRequired[float]
    accuracy_emulator: NotRequired[float]


class Measured(TypedDict):
    """Counted cells of one module and everything in it; ``carry`` counts carry bits."""

    lut: int
    ff: int
    carry: int
    bram18: int
    dsp: int


class Synth(Measured):
    """Counts after mapping to the target's cells; ``lut`` holds logic, LUT memories and carries outside LUTs."""

    tool: str
    command: str
    cells: dict[str, int]
    modules: dict[str, Measured]


class Cells(TypedDict):
    used: int
    available: int


class SlowestPath(TypedDict):
    """``place``: the layer that most of the path is in, or what else it is; ``start`` and ``end`` are registers."""

    place: str
    onnx_nodes: list[str]
    start: str
    end: str
    logic_ns: float
    routing_ns: float


class Bitstream(TypedDict):
    """What place and route measured; ``image`` is the file to program, ``clock_mhz`` what its PLL makes."""

    image: str
    tool: str
    clock_mhz: float
    fmax_mhz: float
    baud: int
    cells: dict[str, Cells]
    slowest: SlowestPath


class Residuals(TypedDict):
    """What was asked to be rounded between the quantizers of a quantized file: formats, and how many tensors."""

    tensors: int
    constant_tensors: int
    format: NotRequired[str]
    constants: NotRequired[str]


class FormatPoint(TypedDict):
    """The network in other formats, from a sweep; shares of the labels and of the float network's classes."""

    weights: str
    activations: str
    lut: int
    agreement: float
    accuracy: NotRequired[float]


class Report(TypedDict):
    schema_version: int
    qcompile: str
    model: str
    target: str | None
    layers: list[Layer]
    totals: Totals
    part: NotRequired[str]
    available: NotRequired[Resources]
    fits: NotRequired[bool]
    excess: NotRequired[list[str]]
    asked: NotRequired[dict[str, str]]
    residuals: NotRequired[Residuals]
    quality: NotRequired[Quality]
    formats: NotRequired[list[FormatPoint]]
    warnings: NotRequired[list[Notice]]
    verify: NotRequired[Verify]
    synth: NotRequired[Synth]
    bitstream: NotRequired[Bitstream]


def check(report: Any) -> list[str]:
    """What is wrong with ``report``, one sentence each, with the path of the key; empty for a good one."""
    problems = list(_check(report, Report, "report"))
    if isinstance(report, dict) and isinstance(report.get("schema_version"), int):
        version = report["schema_version"]
        if version != SCHEMA_VERSION:
            problems.insert(0, f"report.schema_version is {version}, this qcompile reads {SCHEMA_VERSION}")
    return problems


def to_json(report: Mapping[str, Any]) -> str:
    """The bytes of report.json, as text: keys in the report's own order, lists of numbers on one line."""
    text = json.dumps(report, indent=2, ensure_ascii=False, allow_nan=False)
    return _NUMBERS.sub(lambda found: "[" + ", ".join(found[1].replace(",", " ").split()) + "]", text) + "\n"


def _check(value: Any, expected: Any, path: str) -> Iterator[str]:
    origin = get_origin(expected)
    if is_typeddict(expected):
        yield from _check_keys(value, expected, path)
    elif origin in (types.UnionType, Union):
        options = [list(_check(value, option, path)) for option in get_args(expected)]
        if all(options):
            yield f"{path} is {_named(value)}, not {' or '.join(map(_type_name, get_args(expected)))}"
    elif origin is list:
        if not isinstance(value, list):
            yield f"{path} is {_named(value)}, not a list"
            return
        for index, item in enumerate(value):
            yield from _check(item, get_args(expected)[0], f"{path}[{index}]")
    elif origin is dict:
        if not isinstance(value, dict):
            yield f"{path} is {_named(value)}, not an object"
            return
        for key, item in value.items():
            yield from _check(item, get_args(expected)[1], f"{path}.{key}")
    elif not _is(value, expected):
        yield f"{path} is {_named(value)}, not {_type_name(expected)}"


def _check_keys(value: Any, expected: Any, path: str) -> Iterator[str]:
    if not isinstance(value, dict):
        yield f"{path} is {_named(value)}, not an object"
        return
    hints = get_type_hints(expected)
    for key, kind in hints.items():
        if key in value:
            yield from _check(value[key], kind, f"{path}.{key}")
        elif key in expected.__required_keys__:
            yield f"{path}.{key} is missing"
    for key in value:
        if key not in hints:
            yield f"{path}.{key} is not documented"


def _is(value: Any, expected: Any) -> bool:
    if expected is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if expected is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, expected)


def _named(value: Any) -> str:
    return "null" if value is None else f"{type(value).__name__} {value!r:.40}"


def _type_name(kind: Any) -> str:
    return {type(None): "null", str: "text", int: "an integer", float: "a number", bool: "true or false"}.get(
        kind, str(kind)
    )
