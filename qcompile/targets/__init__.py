"""The boards and parts that a network can be compiled for, and whether it fits them."""

from qcompile.targets.catalogue import get, names
from qcompile.targets.fit import Excess, fit
from qcompile.targets.target import BRAM18_BITS, DelayModel, Family, Pins, Target

__all__ = ["BRAM18_BITS", "DelayModel", "Excess", "Family", "Pins", "Target", "fit", "get", "names"]
