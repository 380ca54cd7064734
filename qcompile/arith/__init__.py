"""Multiplierless constant arithmetic: adder graphs and their pipelining."""

from qcompile.arith.cost import CostModel
from qcompile.arith.graph import AdderGraph, AdderNode, AdderOutput
from qcompile.arith.optimize import optimize
from qcompile.arith.pipeline import assign_stages, longest_path, register_bits
from qcompile.arith.solving import kernels_ready

__all__ = [
    "AdderGraph",
    "AdderNode",
    "AdderOutput",
    "CostModel",
    "assign_stages",
    "kernels_ready",
    "longest_path",
    "optimize",
    "register_bits",
]
