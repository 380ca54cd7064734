"""ap_fixed's overflow modes: words of the standard, and the open headers of ap_fixed themselves."""

from __future__ import annotations

import subprocess
from fractions import Fraction
from itertools import product
from pathlib import Path

import numpy as np
import pytest

from qcompile.errors import CompileError
from qcompile.numerics.overflow import QUANTIZATION, Overflow, overflow_array, overflow_exact
from qcompile.numerics.rounding import round_exact
from qcompile.numerics.span import Span
from qcompile.verify.compiler import find_compiler
from qcompile.verify.csim import ap_types

MODES = [(mode, 0) for mode in Overflow] + [(mode, n) for mode in (Overflow.WRAP, Overflow.WRAP_SM) for n in (1, 2, 3)]


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize(("mode", "saturated"), MODES)
def test_integers_that_have_a_code_keep_it_and_others_get_one(mode: Overflow, saturated: int, signed: bool) -> None:
    span = Span.of_bits(5, signed)
    for value in range(-100, 101):
        code = overflow_exact(value, 5, signed, mode, saturated)
        assert code in span
        if value in span and not (mode is Overflow.SAT_SYM and value == -16):
            assert code == value
        match mode:
            case Overflow.SAT:
                assert code == sorted((span.low, value, span.high))[1]
            case Overflow.SAT_SYM if signed:
                assert code == sorted((-15, value, 15))[1]
            case Overflow.SAT_ZERO:
                assert code == (value if value in span else 0)
            case Overflow.WRAP if not saturated:
                assert (code - value) % 32 == 0


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize(("mode", "saturated"), MODES)
def test_arrays_overflow_as_their_elements_do(mode: Overflow, saturated: int, signed: bool) -> None:
    values = np.arange(-80, 81).reshape(7, 23)
    wanted = [[overflow_exact(v, 4, signed, mode, saturated) for v in row] for row in values.tolist()]
    assert overflow_array(values, 4, signed, mode, saturated).tolist() == wanted


PROGRAM = """
#include <ap_fixed.h>
#include <cstdio>
template <class T> void all() {
    for (int bits = -400; bits <= 400; ++bits) {
        ap_fixed<16, 13> x;
        x.range(15, 0) = bits;
        std::printf("%d\\n", int(T(x).to_double()));
    }
}
int main() {
LINES
}
"""


def test_every_mode_is_that_of_ap_fixed(tmp_path: Path) -> None:
    headers = ap_types()
    try:
        compiler = find_compiler()
    except CompileError as error:
        pytest.skip(str(error))
    if headers is None:
        pytest.skip("ap_types headers are not installed: pip install qcompile[hls]")
    overflows = [(s, "TRN", m, n) for s, (m, n) in product((True, False), MODES) if s or m is not Overflow.WRAP_SM]
    cases = [*overflows, *((True, q, Overflow.SAT, 0) for q in QUANTIZATION)]
    lines = [f"all<ap_{'' if s else 'u'}fixed<5, 5, AP_{q}, AP_{m}, {n}>>();" for s, q, m, n in cases]
    (tmp_path / "modes.cpp").write_text(PROGRAM.replace("LINES", "\n".join(lines)))
    program = tmp_path / "modes"
    command = [*compiler, "-std=c++14", f"-I{headers}", "-o", str(program), str(tmp_path / "modes.cpp")]
    built = subprocess.run(command, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr
    printed = iter(map(int, subprocess.run([program], check=True, capture_output=True, text=True).stdout.split()))
    for signed, quantization, mode, saturated in cases:
        for bits in range(-400, 401):
            rounded = round_exact(Fraction(bits, 8), QUANTIZATION[quantization])
            assert next(printed) == overflow_exact(rounded, 5, signed, mode, saturated), (quantization, mode, bits)
