"""A clock enable for everything below, Verilog modules included."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import EnableInserter, Fragment, Instance


def clock_enabled(elaboratable: Any, enable: Any, platform: Any = None) -> Any:
    """``elaboratable`` with registers and memories that move only while ``enable`` is 1; reset works always.

    Instances are gated at their port ``enable``, which every Verilog module of a network has that holds state.
    """
    fragment = Fragment.get(elaboratable, platform)
    waiting = [fragment]
    while waiting:
        for part, *_ in waiting.pop().subfragments:
            if isinstance(part, Instance) and "enable" in part.ports:
                value, direction = part.ports["enable"]
                part.ports["enable"] = (value & enable, direction)
            waiting.append(part)
    return EnableInserter(enable)(fragment)
