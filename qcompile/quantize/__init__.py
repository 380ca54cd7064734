"""Post-training quantization: calibration samples, ranges, formats, and where quantizers go."""

from qcompile.quantize.options import LayerFormats, QuantizeOptions
from qcompile.quantize.post_training import PREPARE, TIDY, quantize
from qcompile.quantize.samples import as_samples, checked_samples, load_samples, synthetic_samples

__all__ = [
    "PREPARE",
    "TIDY",
    "LayerFormats",
    "QuantizeOptions",
    "as_samples",
    "checked_samples",
    "load_samples",
    "quantize",
    "synthetic_samples",
]
