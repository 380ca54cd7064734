"""Commands in the documentation exist, and every option is documented."""

import re
import shlex
from pathlib import Path

import pytest

from qcompile.cli.compiling import parser
from qcompile.cli.entry import COMMANDS
from qcompile.rules import RULES

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def _commands(page: Path) -> list[list[str]]:
    blocks = re.findall(r"^```(?:sh|console)\n(.*?)^```", page.read_text(), re.M | re.S)
    lines = "\n".join(blocks).replace("\\\n", " ").splitlines()
    return [shlex.split(line.removeprefix("$ "), comments=True) for line in lines if line.strip()]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_in_the_documentation_exists(page: Path) -> None:
    makefile = (ROOT / "Makefile").read_text()
    for words in _commands(page):
        match words:
            case ["make", target]:
                assert re.search(rf"^{target}:", makefile, re.M), words
            case ["qcompile", command, *_] if command in COMMANDS:
                pass
            case ["qcompile", *options]:
                parsed = parser().parse_args(options)
                assert not parsed.model.startswith("examples/") or (ROOT / parsed.model).exists(), words


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text())
    assert [link for link in links if not (page.parent / link).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_code_that_is_named_is_a_rule(page: Path) -> None:
    assert set(re.findall(r"QC\d{3}", page.read_text())) <= set(RULES)


def test_every_option_and_command_is_documented() -> None:
    text = (ROOT / "docs" / "cli.md").read_text()
    options = {name for action in parser()._actions for name in action.option_strings}
    assert sorted(name for name in options if f"`{name}" not in text) == []
    assert sorted(name for name in COMMANDS if f"`qcompile {name}" not in text) == []


def test_the_readme_names_both_commands_that_do_everything() -> None:
    assert _commands(ROOT / "README.md")[:2] == [["make", "demo"], ["make", "test"]]
