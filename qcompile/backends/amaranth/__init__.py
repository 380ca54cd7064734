"""The structure of a design in Amaranth: layers, streams and pins around the Verilog datapaths."""

from qcompile.backends.amaranth.emit import Rtl, emit

__all__ = ["Rtl", "emit"]
