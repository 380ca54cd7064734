"""What a compile found out: the documented dict behind report.json, and its text for reading."""

from qcompile.report.schema import SCHEMA_VERSION, Report, check, to_json
from qcompile.report.text import render_text

__all__ = ["SCHEMA_VERSION", "Report", "check", "render_text", "to_json"]
