"""The structure of a design in Amaranth: layers, streams and pins around the Verilog datapaths."""

from qcompile.backends.amaranth.emit import Rtl, emit
from qcompile.backends.amaranth.pins import INTERFACES, Pins

__all__ = ["INTERFACES", "Pins", "Rtl", "emit"]
