"""Formats as users write them."""

from __future__ import annotations

import pytest

from qcompile.errors import CompileError
from qcompile.numerics.formats import Fixed, parse_format
from qcompile.numerics.span import Span


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("fixed:8", Fixed(8)),
        ("ufixed:4", Fixed(4, signed=False)),
        ("fixed:8:4", Fixed(8, frac=4)),
        (" fixed:16:-2 ", Fixed(16, frac=-2)),
    ],
)
def test_a_format_is_read(text: str, wanted: Fixed) -> None:
    assert parse_format(text, "weights") == wanted


@pytest.mark.parametrize("format_", [Fixed(8), Fixed(4, signed=False), Fixed(8, frac=3), Fixed(16, False, -2)])
def test_a_format_prints_as_it_is_written(format_: Fixed) -> None:
    assert parse_format(str(format_), "") == format_


@pytest.mark.parametrize("text", ["", "fixed", "int8", "fixed:", "fixed:x", "fixed:1", "fixed:17", "fixed:8:4:2"])
def test_anything_else_is_refused_with_the_way_to_write_it(text: str) -> None:
    with pytest.raises(CompileError) as error:
        parse_format(text, "--weights")
    (diagnostic,) = error.value.diagnostics
    assert (diagnostic.code, diagnostic.where) == ("QC203", "--weights")
    assert diagnostic.found == f"format {text!r} is not understood"
    assert "fixed:W" in diagnostic.help


def test_the_span_of_a_narrow_format_is_symmetric() -> None:
    assert Fixed(8).span == Span(-128, 127)
    assert Fixed(8, narrow=True).span == Span(-127, 127)
    assert Fixed(8, signed=False, narrow=True).span == Span(0, 255)
