"""Holding the RTL to the emulator: Verilator builds and runs."""
