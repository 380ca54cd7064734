"""The command line: `qcompile model.onnx --target ultra96`, and the subcommands that explain and list."""

from qcompile.cli.entry import main

__all__ = ["main"]
