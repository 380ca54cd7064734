"""Datapaths as Verilog text: one module per layer, one line per adder."""

from qcompile.backends.verilog.datapath import render_datapath, render_three_input_adder

__all__ = ["render_datapath", "render_three_input_adder"]
