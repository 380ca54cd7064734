"""The structure of a design in Amaranth: layers, streams and pins around the Verilog datapaths."""

from qcompile.backends.amaranth.emit import Rtl, emit
from qcompile.backends.amaranth.pins import Pins

__all__ = ["Pins", "Rtl", "emit"]
