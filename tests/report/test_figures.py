"""Numbers as people read them."""

import pytest

from qcompile.report.figures import bars, compact, duration, grid


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (1356.3, "1,356"), (64.25, "64.2"), (9999.9, "10.0 k"), (999_990, "1.00 M"), (12.5e6, "12.5 M")],
)
def test_large_numbers_get_three_digits_and_a_prefix(value: float, text: str) -> None:
    assert compact(value) == text


@pytest.mark.parametrize(
    ("microseconds", "text"), [(0.51, "510 ns"), (3.09, "3.09 µs"), (1105.475, "1.11 ms"), (2.5e6, "2.50 s")]
)
def test_times_come_in_the_unit_that_reads_best(microseconds: float, text: str) -> None:
    assert duration(microseconds) == text


def test_powers_of_two_are_written_as_such() -> None:
    assert grid("uint8 x 2^-12") == "uint8 × 2⁻¹²"
    assert grid("uint5 x 2^0") == "uint5"
    assert grid("bipolar x 1") == "bipolar"
    assert grid("int8 x 0.0394, zero 3") == "int8 × 0.0394, zero 3"
    assert grid("int8 x 2^0, zero -128") == "int8, zero -128"


def test_a_bar_per_code_that_occurs_and_rare_ones_can_be_seen() -> None:
    assert bars([0, 4, 1, 0, 1000], 10) == "M1 10v-0.632h1v0.632M2 10v-0.6h1v0.6M4 10v-10h1v10"
    assert bars([0, 0], 10) == bars([], 10) == ""
