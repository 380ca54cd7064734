"""The fast emulator: the integer graph on NumPy, bit-equal to the operations' definitions."""

from qcompile.emulator.run import Emulator

__all__ = ["Emulator"]
