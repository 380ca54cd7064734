"""What the top module's pins are like."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Pins:
    """``interface``: AXI4-Stream ("axis"), or a port per value ("parallel"). ``status`` adds an AXI4-Lite slave with
    read-only registers, ``clock_enable`` the pin ``aclken``.
    """

    interface: str = "axis"
    status: bool = False
    clock_enable: bool = False


INTERFACES = ("axis", "parallel")
