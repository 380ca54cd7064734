"""What Yosys counts for a design, layer by layer, each kept on disk by the hash of its Verilog.

A network whose counts are there need not be synthesized again, and of one that changed only the layers that did.
What is outside of layers (forks between them, the pins' register slices) is the module "".
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import qcompile
from qcompile.synth import synth
from qcompile.targets import Target

KEPT = Path(__file__).resolve().parents[1] / "build" / "counted"
COUNTS = ("lut", "ff", "bram18", "dsp")

Counts = dict[str, int]


def count(compiled: qcompile.Compiled) -> dict[str, Counts]:
    """LUTs, flip-flops, block RAM and DSP blocks by layer, and of what is around them."""
    hardware = compiled.hardware
    assert hardware is not None and hardware.rtl is not None
    modules = dict(_modules("".join(hardware.rtl.files.values())))
    top = hardware.rtl.top
    names = {layer["name"]: layer["module"] for layer in compiled.report["layers"]}
    stubs = {module: _stub(modules[module]) for module in names.values()}
    below = {name: _below(modules, module) for name, module in names.items()}
    below[""] = _below(modules | stubs, top)
    places = {name: _place(part, hardware.target) for name, part in below.items()}
    missing = [name for name in below if not places[name].exists()]
    if missing:
        # What is known stands for itself as a black box; the others are counted in one run, each kept apart.
        known = {names[name]: stubs[names[name]] for name in names if name not in missing}
        sources = _below(modules | known, top)
        keep = [names[name] for name in missing if name]
        measured = synth({f"{name}.v": text for name, text in sources.items()}, top, hardware.target, keep)
        parts = {name: measured["modules"][names[name]] for name in missing if name}
        rest = {kind: measured[kind] - sum(part[kind] for part in parts.values()) for kind in COUNTS}
        KEPT.mkdir(parents=True, exist_ok=True)
        for name in missing:
            own = parts.get(name, rest)
            places[name].write_text(json.dumps({kind: own[kind] for kind in COUNTS}), encoding="utf-8")
    return {name: json.loads(place.read_text(encoding="utf-8")) for name, place in places.items()}


def total(counted: Mapping[str, Counts]) -> Counts:
    return {kind: sum(part[kind] for part in counted.values()) for kind in COUNTS}


def _modules(text: str) -> Iterator[tuple[str, str]]:
    """Name and text of every module, in order; what stands before one belongs to it."""
    for match in re.finditer(r"(?s)(.*?\nendmodule\b)", "\n" + text):
        named = re.search(r"(?m)^module (\S+?)\s*[(;#]", match[0])
        assert named is not None, match[0][:200]
        yield named[1].removeprefix("\\"), match[0]


def _below(modules: Mapping[str, str], top: str) -> dict[str, str]:
    """Module ``top`` and what it instantiates, however deep."""
    chosen: dict[str, str] = {}
    waiting = [top]
    while waiting:
        name = waiting.pop()
        if name not in chosen:
            chosen[name] = modules[name]
            body = modules[name].replace(f"module {name}", "")
            waiting += sorted(set(re.findall(r"[\w\\.$]+", body)) & modules.keys() - chosen.keys())
    return chosen


def _stub(text: str) -> str:
    """The module's ports alone: a black box."""
    head = re.search(r"(?ms)^module .*?\);", text)
    assert head is not None
    return f"(* blackbox *)\n{head[0]}\nendmodule\n"


def _place(modules: Mapping[str, str], target: Target) -> Path:
    """Where the counts of these modules on a target are kept."""
    digest = hashlib.sha256(json.dumps([modules, target.name]).encode()).hexdigest()
    return KEPT / f"{digest[:20]}.json"
