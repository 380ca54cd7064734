"""Machine code on disk belongs to one state of the whole package, not of one file."""

from __future__ import annotations

from typing import Any

import pytest

from qcompile.arith import compiled
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
