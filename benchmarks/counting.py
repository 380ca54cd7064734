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
    design = _Design(compiled)
    for name, place in design.places.items():
        if not place.exists():
            design.synthesize(name)
    return {name: json.loads(place.read_text(encoding="utf-8")) for name, place in design.places.items()}


def kept(compiled: qcompile.Compiled) -> dict[str, Counts] | None:
    """What `count` says where it has nothing to run, None where a part is missing."""
    places = _Design(compiled).places
    return count(compiled) if all(place.exists() for place in places.values()) else None


class _Design:
    """The Verilog of a design, part by part: its layers, and "" for what is around them."""

    def __init__(self, compiled: qcompile.Compiled) -> None:
        hardware = compiled.hardware
        assert hardware is not None and hardware.rtl is not None
        self.top, self.target = hardware.rtl.top, hardware.target
        self.modules = dict(_modules("".join(hardware.rtl.files.values())))
        self.module_of = {layer["name"]: layer["module"] for layer in compiled.report["layers"]}
        stubs = {module: _stub(self.modules[module]) for module in self.module_of.values()}
        self.parts = {name: _below(self.modules, module) for name, module in self.module_of.items()}
        self.parts[""] = _below(self.modules | stubs, self.top)
        self.places = {name: _place(part, self.target) for name, part in self.parts.items()}

    def synthesize(self, name: str) -> None:
        """Counts one part in a run of its own, kept at once: a stopped count goes on with the next part."""
        sources = {f"{module}.v": text for module, text in self.parts[name].items()}
        measured = synth(sources, self.module_of.get(name, self.top), self.target)
        place = self.places[name]
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(json.dumps({kind: measured[kind] for kind in COUNTS}), encoding="utf-8")


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
