"""A design as HLS C++: a function per layer, streams between them, one source per datapath."""

from qcompile.backends.hls.emit import Hls, emit
from qcompile.backends.hls.lint import lint_no_runtime_multiplication

__all__ = ["Hls", "emit", "lint_no_runtime_multiplication"]
