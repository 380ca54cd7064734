"""Entry point: picks the command, and turns every outcome into an exit code.

0 done, 1 diagnostics, 2 wrong usage (argparse), 3 a bug in qcompile, 130 interrupted.
"""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable, Sequence
from io import TextIOWrapper

from qcompile.cli import compiling, estimating, listing, reports
from qcompile.cli.terminal import print_diagnostics
from qcompile.errors import CompileError
from qcompile.version import VERSION

BUG, INTERRUPTED = 3, 130


def _sweep(words: Sequence[str]) -> int:
    # Loaded on use: it brings onnx and numba, seconds that `qcompile targets` should not take.
    from qcompile.cli import exploring

    return exploring.run_sweep(words)


def _allocate(words: Sequence[str]) -> int:
    from qcompile.cli import exploring

    return exploring.run_allocate(words)


COMMANDS: dict[str, Callable[[Sequence[str]], int]] = {
    "targets": listing.targets,
    "formats": listing.formats,
    "passes": listing.passes,
    "explain": listing.explain,
    "report": reports.report,
    "diff": reports.diff,
    "estimate": estimating.estimate,
    "sweep": _sweep,
    "allocate": _allocate,
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; the exit code. Wrong usage leaves by SystemExit, as argparse does."""
    words = list(sys.argv[1:] if argv is None else argv)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            # A tensor's name that the terminal's encoding lacks must not stop a compile.
            stream.reconfigure(errors="backslashreplace")
    try:
        if words and words[0] in COMMANDS:
            return COMMANDS[words[0]](words[1:])
        return compiling.run(words, tuple(COMMANDS))
    except CompileError as error:
        print_diagnostics(error.diagnostics)
        return 1
    except KeyboardInterrupt:
        print("\nqcompile: interrupted; the output folder is as it was before", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        # The reader, `head` for instance, has seen enough; what Python still holds must not reach the pipe.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception:
        traceback.print_exc()
        print(
            f"\nThis is a bug in qcompile {VERSION}, not in your model or your command. Please report it "
            "with the command, the model if you can, and the text above.",
            file=sys.stderr,
        )
        return BUG
