"""A bitstream as report.json has it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from qcompile.bitstream.build import BAUD, Bitstream


def bitstream_report(made: Bitstream, layers: Mapping[str, tuple[str, ...]]) -> dict[str, Any]:
    """`report.schema.Bitstream`; ``layers`` are the ONNX nodes of each layer."""
    measured, slowest = made.measured, made.measured.slowest
    return {
        "image": made.image,
        "tool": made.tool,
        "clock_mhz": made.clock_mhz,
        "fmax_mhz": measured.fmax_mhz,
        "baud": BAUD,
        "cells": {
            name: {"used": used, "available": measured.available[name]} for name, used in sorted(measured.used.items())
        },
        "slowest": {
            "place": slowest.place,
            "onnx_nodes": list(layers.get(slowest.layer, ())),
            "start": slowest.start,
            "end": slowest.end,
            "logic_ns": slowest.logic_ns,
            "routing_ns": slowest.routing_ns,
        },
    }
