"""What a compile found out: the documented dict behind report.json, and what people read of it."""

from qcompile.report.page import render_html
from qcompile.report.schema import SCHEMA_VERSION, Report, check, to_json
from qcompile.report.text import render_text

__all__ = ["SCHEMA_VERSION", "Report", "check", "render_html", "render_text", "to_json"]
