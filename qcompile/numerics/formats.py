"""Number formats as users write them: `fixed:8`, `fixed:8:4`."""

from __future__ import annotations

from dataclasses import dataclass

from qcompile.errors import fail
from qcompile.numerics.span import Span


@dataclass(frozen=True)
class Fixed:
    """Two's complement or unsigned fixed point: value = code / 2**frac. ``frac`` None: the scale is free.

    ``narrow`` leaves out the most negative code, which makes the range symmetric.
    """

    width: int
    signed: bool = True
    frac: int | None = None
    narrow: bool = False

    @property
    def span(self) -> Span:
        full = Span.of_bits(self.width, self.signed)
        return Span(full.low + 1, full.high) if self.narrow and self.signed else full

    def __str__(self) -> str:
        frac = "" if self.frac is None else f":{self.frac}"
        return f"{'' if self.signed else 'u'}fixed:{self.width}{frac}"


def parse_format(text: str, where: str) -> Fixed:
    """The format that ``text`` spells, or a QC203 diagnostic naming ``where``."""
    kind, *parts = text.strip().split(":")
    wrong = fail(
        "QC203",
        where,
        f"format {text!r} is not understood",
        "write fixed:W with 2 <= W <= 16 (signed where the data are signed), or fixed:W:F with F fractional bits",
    )
    if kind not in ("fixed", "ufixed") or len(parts) not in (1, 2):
        raise wrong
    try:
        numbers = [int(part) for part in parts]
    except ValueError:
        raise wrong from None
    if not 2 <= numbers[0] <= 16:
        raise wrong
    return Fixed(numbers[0], kind == "fixed", numbers[1] if len(numbers) == 2 else None)
