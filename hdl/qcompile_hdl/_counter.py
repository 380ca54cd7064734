"""The counter that most components need."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Const, Module, Mux, Signal


def counter(m: Module, name: str, count: int, step: Any) -> tuple[Any, Any]:
    """Counts steps from 0 to ``count - 1`` and again; the value, and whether it is the last one."""
    if count == 1:
        return Const(0), Const(1)
    value = Signal(range(count), name=name)
    last = Signal(name=f"last_{name}")
    m.d.comb += last.eq(value == count - 1)
    with m.If(step):
        m.d.sync += value.eq(Mux(last, 0, value + 1))
    return value, last
