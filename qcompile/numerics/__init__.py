"""Exact arithmetic: intervals, rounding, number formats, quantizers, scalar functions."""
