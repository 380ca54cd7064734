"""The network behind a serial line: a module around the one with the AXI4-Stream pins."""

from __future__ import annotations

import qcompile_hdl as hdl
from qcompile.backends.amaranth.emit import Rtl
from qcompile.ir.hardware import Stream


def emit_host(rtl: Rtl, sink: Stream, divisor: int, pause: int, *, classifies: bool) -> str:
    """Verilog of module ``<top>_uart`` with pins ``clk``, ``rst``, ``rx`` and ``tx``, which instantiates the top.

    ``divisor`` is clock cycles per bit of the line, ``pause`` those after which an unfinished sample is forgotten.
    ``classifies``: the number of the largest value of the stream ``sink`` follows each result.
    """
    host = hdl.UartHost(
        rtl.top,
        in_beats=rtl.in_beats,
        in_width=rtl.in_width,
        out_beats=rtl.out_beats,
        out_width=rtl.out_width,
        lanes=[(lane.width, lane.signed) for lane in sink.lanes] if classifies else [],
        divisor=divisor,
        pause=pause,
    )
    return hdl.to_verilog(host, f"{rtl.top}_uart")
