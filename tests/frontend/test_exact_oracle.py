"""Quantized convolutions and products against an oracle in plain loops and rationals.

The oracle knows the operators' definitions only; it shares no code with the compiler. Scales are powers of two
or thirds in many cases, so that sums fall on ties. Held to it are the model graph and the integer emulator.
"""

from __future__ import annotations

from fractions import Fraction
from itertools import product

import numpy as np
import pytest
from graphs import evaluated, make, node
from onnx import TensorProto, helper

import qcompile
from qcompile.frontend import read

LIMITS = {"INT8": (-128, 127), "UINT8": (0, 255), "INT4": (-8, 7), "UINT4": (0, 15), "INT16": (-32768, 32767)}


def half_even(value):
    floor = value.numerator // value.denominator
    rest = value - floor
    if rest == Fraction(1, 2):
        return floor + floor % 2
    return floor + (rest > Fraction(1, 2))


def saturated(real, scale, zero, limits):
    code = half_even(real / scale) + zero
    return min(max(code, limits[0]), limits[1])


def convolution(x, w, bias, case):
    """Reals [out][row][column] from nested lists of reals; x [c][h][w], w [out][c/groups][kh][kw]."""
    top, left, bottom, right = case["pads"]
    (down, across), (row_step, column_step) = case["strides"], case["dilations"]
    height, width = len(x[0]), len(x[0][0])
    kernel_h, kernel_w = len(w[0][0]), len(w[0][0][0])
    rows = (height + top + bottom - (kernel_h - 1) * row_step - 1) // down + 1
    columns = (width + left + right - (kernel_w - 1) * column_step - 1) // across + 1
    per_group = len(w) // case["group"]
    result = []
    for out, kernel in enumerate(w):
        first = out // per_group * len(kernel)
        plane = [[bias[out]] * columns for _ in range(rows)]
        for r, c in product(range(rows), range(columns)):
            for channel, i, j in product(range(len(kernel)), range(kernel_h), range(kernel_w)):
                y, z = r * down + i * row_step - top, c * across + j * column_step - left
                if 0 <= y < height and 0 <= z < width:
                    plane[r][c] += x[first + channel][y][z] * kernel[channel][i][j]
        result.append(plane)
    return result


def real_list(codes, scale, zero):
    """Nested lists of exact reals; ``scale`` per first axis where it is a list."""
    if isinstance(scale, list):
        return [real_list(part, s, z) for part, s, z in zip(codes, scale, zero, strict=True)]
    if np.ndim(codes) == 0:
        return (int(codes) - zero) * scale
    return [real_list(part, scale, zero) for part in codes]


GEOMETRIES = [
    {"kernel": (1, 1)},
    {"kernel": (3, 3), "pads": (1, 1, 1, 1)},
    {"kernel": (2, 3), "strides": (2, 1), "pads": (0, 2, 1, 0)},
    {"kernel": (2, 2), "dilations": (2, 1), "pads": (1, 0, 1, 1)},
    {"kernel": (3, 1), "group": 2, "strides": (1, 2)},
    {"kernel": (2, 2), "group": 4, "pads": (1, 1, 0, 0)},
]
NUMBERS = [
    {"x": "UINT8", "w": "INT8", "y": "UINT8", "scales": (1 / 4, 1 / 8, 1.0), "zeros": (128, 0, 100)},
    {"x": "INT8", "w": "INT8", "y": "INT8", "scales": (0.1, 0.02, 0.3), "zeros": (-5, 3, 7)},
    {"x": "UINT8", "w": "UINT8", "y": "INT8", "scales": (1 / 2, 1 / 2, 16.0), "zeros": (0, 128, 0)},
    {"x": "INT8", "w": "INT8", "y": "INT8", "scales": (1 / 3, 3.0, 1.5), "zeros": (1, 0, -1), "per_channel": True},
    {"x": "UINT4", "w": "INT4", "y": "UINT4", "scales": (1 / 2, 1 / 4, 0.5), "zeros": (8, 0, 3), "per_channel": True},
    {"x": "INT16", "w": "INT8", "y": "INT16", "scales": (1 / 64, 1 / 32, 1 / 16), "zeros": (0, 0, 0)},
]
FULL = {"pads": (0, 0, 0, 0), "strides": (1, 1), "dilations": (1, 1), "group": 1}


def emulated(built, x):
    """The integer emulator's output for one sample, behind all passes, in row-major order."""
    return qcompile.compile(built).emulate(x.astype(np.float64)).ravel().tolist()


def tensor(name, kind, values):
    array = np.asarray(values)
    return helper.make_tensor(name, getattr(TensorProto, kind), array.shape, array.ravel().tolist())


def drawn(rng, kind, shape):
    low, high = LIMITS[kind]
    return rng.integers(low, high + 1, shape) if kind != "INT16" else rng.integers(-400, 401, shape)


def parameters(numbers, outs):
    """File constants and exact (scale, zero) of x, w, y; those of w are lists when per channel."""
    factors = [1, 2, 3, 1 / 4][:outs] if numbers.get("per_channel") else None
    file, exact = {}, {}
    for name, scale, zero in zip("xwy", numbers["scales"], numbers["zeros"], strict=True):
        stored = np.float32(scale)
        if name == "w" and factors:
            stored = np.float32(np.array(factors) * scale)
            exact[name] = [Fraction(float(s)) for s in stored], [zero] * outs
            zero = [zero] * outs
        else:
            exact[name] = Fraction(float(stored)), zero
        file[f"{name}s"] = stored
        file[f"{name}z"] = tensor(f"{name}z", numbers[name], zero)
    return file, exact


def named(value):
    return value if isinstance(value, str) else f"{value['x']} {value['w']} {value['y']} {value['scales']}"


# QLinearConv has 8-bit codes only.
DIALECTS = [("qdq", n) for n in NUMBERS] + [("qoperator", n) for n in NUMBERS if n["x"] in ("INT8", "UINT8")]


@pytest.mark.parametrize("dialect, numbers", DIALECTS, ids=named)
@pytest.mark.parametrize("geometry", GEOMETRIES, ids=str)
def test_a_quantized_convolution_is_exact(geometry, numbers, dialect):
    case = FULL | {k: v for k, v in geometry.items() if k != "kernel"}
    rng = np.random.default_rng(len(str(geometry)) + len(str(numbers)))
    outs = 4
    x = drawn(rng, numbers["x"], (1, 4, 5, 4))
    w = drawn(rng, numbers["w"], (outs, 4 // case["group"], *geometry["kernel"]))
    bias = rng.integers(-500, 500, outs)
    constants, exact = parameters(numbers, outs)
    attributes = {k: list(v) if isinstance(v, tuple) else v for k, v in case.items()}
    w_scales = exact["w"][0] if isinstance(exact["w"][0], list) else [exact["w"][0]] * outs
    bias_scales = [exact["x"][0] * s for s in w_scales]
    constants["w"] = tensor("w", numbers["w"], w)
    constants["b"] = bias.astype(np.int32)
    if dialect == "qoperator":
        nodes = [node("QLinearConv", "x xs xz w ws wz ys yz b", **attributes)]
    else:
        # The bias scale of QDQ files is a float32 of its own.
        stored = np.float32([float(s) for s in bias_scales])
        bias_scales = [Fraction(float(s)) for s in stored]
        constants["bs"] = stored
        nodes = [
            node("DequantizeLinear", "x xs xz", "xf"),
            node("DequantizeLinear", "w ws wz", "wf", axis=0),
            node("DequantizeLinear", "b bs", "bf", axis=0),
            node("Conv", "xf wf bf", "yf", **attributes),
            node("QuantizeLinear", "yf ys yz", "y"),
        ]
    x_type, y_type = getattr(TensorProto, numbers["x"]), getattr(TensorProto, numbers["y"])
    built = make(nodes, {"x": (list(x.shape), x_type)}, ("y", y_type), constants, opset=21)
    found = evaluated(read(built), x)[0]

    reals = convolution(
        real_list(x[0], *exact["x"]),
        real_list(w, *exact["w"]),
        [int(b) * s for b, s in zip(bias, bias_scales, strict=True)],
        case,
    )
    wanted = [[[saturated(v, *exact["y"], LIMITS[numbers["y"]]) for v in row] for row in plane] for plane in reals]
    assert found[0].tolist() == wanted
    assert emulated(built, x) == np.ravel(wanted).tolist()


@pytest.mark.parametrize("numbers", NUMBERS, ids=named)
@pytest.mark.parametrize("transposed", [False, True])
def test_a_quantized_gemm_is_exact(numbers, transposed):
    rng = np.random.default_rng(3)
    x, w = drawn(rng, numbers["x"], (1, 6)), drawn(rng, numbers["w"], (4, 6))
    constants, exact = parameters(numbers, 4)
    constants["w"] = tensor("w", numbers["w"], w if transposed else w.T)
    nodes = [
        node("DequantizeLinear", "x xs xz", "xf"),
        node("DequantizeLinear", "w ws wz", "wf", axis=0 if transposed else 1),
        node("Gemm", "xf wf", "yf", transB=int(transposed)),
        node("QuantizeLinear", "yf ys yz", "y"),
    ]
    x_type, y_type = getattr(TensorProto, numbers["x"]), getattr(TensorProto, numbers["y"])
    built = make(nodes, {"x": ([1, 6], x_type)}, ("y", y_type), constants, opset=21)
    row = real_list(x[0], *exact["x"])
    columns = real_list(w, *exact["w"])
    sums = [sum(a * b for a, b in zip(row, column, strict=True)) for column in columns]
    wanted = [saturated(v, *exact["y"], LIMITS[numbers["y"]]) for v in sums]
    assert evaluated(read(built), x)[0].tolist() == [wanted]
    assert emulated(built, x) == wanted


def test_the_matrix_holds_ties():
    """Quarters times eighths over a scale of one: sums land on halves."""
    numbers = NUMBERS[0]
    rng = np.random.default_rng(0)
    ties = 0
    for _ in range(200):
        terms = rng.integers(-128, 128, (4, 2))
        value = sum(int(a) * int(b) for a, b in terms) * Fraction(1, 32)
        ties += (value - value.numerator // value.denominator) == Fraction(1, 2)
    assert numbers["scales"][:2] == (1 / 4, 1 / 8)
    assert ties > 0
