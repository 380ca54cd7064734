"""Machine code on disk belongs to one state of the whole package, not of one file."""

from __future__ import annotations

from typing import Any

import pytest

from qcompile.arith import compiled, kernels_ready, optimize
from qcompile.arith.retiming import earliest_stages
from qcompile.arith.solving import propagate, solve


class _Codegen:
    def magic_tuple(self) -> tuple[str]:
        return ("machine",)


@pytest.mark.parametrize("kernel", [solve, propagate, earliest_stages])
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
    assert solve._cache.ready()
    monkeypatch.setattr(compiled, "kernel_digest", lambda: "another state")
    assert not solve._cache.ready()
