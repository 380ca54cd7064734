"""A schedule as a file: what was chosen for every layer, to be edited and fed back."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from qcompile.errors import Collector, fail
from qcompile.schedule.design import Design


@dataclass(frozen=True)
class Choice:
    """``simd`` operand and ``pe`` result lanes of a folded layer; both None: unrolled."""

    simd: int | None = None
    pe: int | None = None


def schedule_text(design: Design) -> str:
    """schedule.json: per layer its lanes (none where it is unrolled), the engine and the reason."""
    layers: dict[str, dict[str, Any]] = {}
    for layer in design.layers:
        lanes = {} if layer.lanes is None else {"simd": layer.lanes[0], "pe": layer.lanes[1]}
        layers[layer.name] = {**lanes, "engine": layer.engine, "why": layer.reason}
    return json.dumps({"clock_mhz": design.clock_mhz, "layers": layers}, indent=2) + "\n"


def read_schedule(path: str | os.PathLike[str]) -> dict[str, Choice]:
    """The choices of a file that `schedule_text` wrote; QC505 for what cannot be read."""
    where = f"schedule {path}"
    try:
        held = json.loads(Path(path).read_text())
        layers = held["layers"].items()
        return {name: Choice(entry.get("simd"), entry.get("pe")) for name, entry in layers}
    except OSError as error:
        raise fail("QC505", where, f"cannot be read: {error.strerror}", "give a schedule.json that exists") from None
    except (ValueError, KeyError, AttributeError, TypeError):
        raise fail("QC505", where, "is not a schedule", "edit the schedule.json of an output folder") from None


def check_choices(choices: Mapping[str, Choice], known: Mapping[str, tuple[int, int, bool]]) -> None:
    """QC505 for layers that do not exist and lanes that do not divide; ``known``: (ins, outs, separate) by layer."""
    found = Collector()
    for name, choice in choices.items():
        if name not in known:
            near = get_close_matches(name, list(known), n=1)
            way_out = f"did you mean {near[0]}?" if near else f"the layers are {', '.join(known)}"
            found.error("QC505", "schedule", f"there is no layer {name!r} to fold", way_out)
            continue
        ins, outs, separate = known[name]
        if choice.simd is None or choice.pe is None:
            continue
        whole = isinstance(choice.simd, int) and isinstance(choice.pe, int) and choice.simd > 0 and choice.pe > 0
        if not whole or ins % choice.simd or outs % choice.pe or (separate and choice.simd != choice.pe):
            rule = f"simd must divide {ins} and pe {outs}" + (", and both must be the same" if separate else "")
            found.error("QC505", "schedule", f"layer {name}: simd {choice.simd}, pe {choice.pe}", rule)
    found.check()
