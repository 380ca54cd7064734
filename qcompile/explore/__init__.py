"""Many compiles of one network: sweeps over formats, and the cheapest formats layer by layer."""

from qcompile.explore.allocate import Allocation, Budget, Search, allocate
from qcompile.explore.point import Point, Subject, measure
from qcompile.explore.sweep import format_pairs, pareto, sweep

__all__ = [
    "Allocation",
    "Budget",
    "Point",
    "Search",
    "Subject",
    "allocate",
    "format_pairs",
    "measure",
    "pareto",
    "sweep",
]
