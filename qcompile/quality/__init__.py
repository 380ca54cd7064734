"""What quantization does to a network: how its layers use their grids, and the error that each leaves behind."""

from qcompile.quality.assess import Networks, assess
from qcompile.quality.histogram import weight_histogram

__all__ = ["Networks", "assess", "weight_histogram"]
