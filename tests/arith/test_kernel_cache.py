"""Machine code on disk belongs to one state of the whole package, not of one file."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import pytest

from qcompile.arith import compiled, kernels_ready, optimize
from qcompile.arith.retiming import earliest_stages
from qcompile.arith.search import search
from qcompile.arith.solving import propagate


class _Codegen:
    def magic_tuple(self) -> tuple[str]:
        return ("machine",)


@pytest.mark.parametrize("kernel", [search, propagate, earliest_stages])
def test_machine_code_on_disk_is_not_used_once_any_kernel_source_has_changed(
    kernel: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = kernel._cache._index_key("signature", _Codegen())
    assert before == kernel._cache._index_key("signature", _Codegen())
    monkeypatch.setattr(compiled, "kernel_digest", lambda: "another state")
    assert kernel._cache._index_key("signature", _Codegen()) != before


def test_the_optimizer_is_known_to_be_compiled_once_it_has_run(monkeypatch: pytest.MonkeyPatch) -> None:
    optimize([[3, 5], [7, 9]], [(0, 1)] * 2)
    assert kernels_ready()
    assert search._cache.ready()
    monkeypatch.setattr(compiled, "kernel_digest", lambda: "another state")
    assert not search._cache.ready()


def test_without_the_compiler_everything_is_ready_and_results_are_the_same() -> None:
    program = """if True:
        from qcompile.arith import assign_stages, kernels_ready, optimize
        assert kernels_ready()
        graph = optimize([[3, 5, -7], [7, 9, 21]], [(-8, 7)] * 2, budget=2_000)
        print(graph.nodes, assign_stages([[], [], [0, 1], [2, 0]], [8, 8, 9, 10], [0.0, 0.0, 1.0, 1.0], stages=2))
    """
    printed = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "NUMBA_DISABLE_JIT": disabled},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for disabled in ("0", "1")
    }
    assert len(printed) == 1
