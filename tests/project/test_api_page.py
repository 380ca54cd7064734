"""The Python on docs/api.md runs as it stands, and names what is there."""

import inspect
import json
import re
from pathlib import Path
from typing import Any

import pytest

import qcompile
from qcompile.arith import AdderGraph, optimize
from qcompile.report import check

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "api.md").read_text()


def test_the_example_runs_from_top_to_bottom(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"^```python\n(.*?)^```", PAGE, re.M | re.S)
    assert len(blocks) == 3
    names: dict[str, Any] = {}
    exec("\n".join(blocks), names)
    written = json.loads((tmp_path / "build" / "report.json").read_text())
    assert written == names["compiled"].report
    assert check(written) == []


def test_every_argument_of_compile_is_documented() -> None:
    arguments = set(inspect.signature(qcompile.compile).parameters) - {"options"}
    documented = re.findall(r"`(\w+)`", PAGE.split("## The result")[0])
    assert sorted(arguments - set(documented)) == []


def test_every_public_member_of_the_result_is_documented() -> None:
    source = inspect.getsource(qcompile.Compiled)
    members = {name for name in dir(qcompile.Compiled) if not name.startswith("_")}
    members |= set(re.findall(r"^        self\.([a-z]\w*)(?:: [^=]+)? = ", source, re.M))
    documented = set(re.findall(r"^\| `(\w+)", PAGE.split("## ")[2], re.M))
    assert (sorted(members - documented), sorted(documented - members)) == ([], [])


def test_every_argument_and_member_of_the_optimizer_is_documented() -> None:
    section = PAGE.split("## ")[3]
    documented = set(re.findall(r"`(\w+)", "\n".join(re.findall(r"^\| (`.*?) \|", section, re.M))))
    members = {name for name in dir(AdderGraph) if not name.startswith("_")} - {"build", "input_ranges", "inputs"}
    members |= set(AdderGraph.__dataclass_fields__) - {"input_ranges", "inputs"}
    assert (set(inspect.signature(optimize).parameters) | members) - documented == set()
