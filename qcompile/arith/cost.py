"""What an adder costs on a target, in the unit the optimizer minimises."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class CostModel:
    """Area of a carry-chain adder: ``per_adder + per_bit * full_adder_bits``, in LUTs.

    The default is a LUT6 or LUT4 family with one carry bit per LUT.
    """

    per_adder: float = 0.0
    per_bit: float = 1.0

    def __post_init__(self) -> None:
        if self.per_adder < 0 or self.per_bit < 0:
            raise ValueError(f"negative cost: {self.per_adder} per adder, {self.per_bit} per bit")
