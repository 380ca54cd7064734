"""Templates are found, opened with a comment that says what they render, and refuse unknown names."""

from __future__ import annotations

import jinja2
import pytest

from qcompile import templates

ALL = sorted(templates.path().rglob("*.j2"))


def test_the_checkout_has_templates():
    assert templates.path() / "sim" / "harness.cpp.j2" in ALL


@pytest.mark.parametrize("file", ALL, ids=lambda file: file.name)
def test_a_template_opens_with_what_it_renders_and_receives(file):
    opening = file.read_text().split("#}")[0]
    assert opening.startswith("{#")
    assert "renders" in opening.lower()
    assert "receives" in opening.lower()


def test_a_missing_name_raises():
    with pytest.raises(jinja2.UndefinedError, match="model"):
        templates.render("sim/harness.cpp.j2", in_bytes=1, out_bytes=1, trace=False)


def test_an_installed_package_has_its_templates_inside(tmp_path, monkeypatch):
    (tmp_path / "_templates").mkdir()
    monkeypatch.setattr(templates, "__file__", str(tmp_path / "templates.py"))
    assert templates.path.__wrapped__() == tmp_path / "_templates"
