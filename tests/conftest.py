"""In CI (``CI=true``) a skipped test is a failure: a tool that is missing must not look like a pass.

ALLOWED_SKIPS holds words of the reasons that are fine everywhere.
"""

import os

import pytest

# The public models and data sets are too large for the repository; QCOMPILE_SHARED names the folder that has them.
# A browser is no Python package; what the page holds is tested without one, too.
# Nor is Icarus Verilog: .ci/run installs it where it can, and Verilator runs the same testbench.
ALLOWED_SKIPS = ("QCOMPILE_SHARED", "Chromium", "iverilog is not installed")


def _unexpected_skips(config: pytest.Config) -> list[str]:
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    skipped = reporter.stats.get("skipped", []) if reporter else []
    reasons = ((report.nodeid, report.longrepr[2].removeprefix("Skipped: ")) for report in skipped)
    return [f"{test}: {reason}" for test, reason in reasons if not any(word in reason for word in ALLOWED_SKIPS)]


def pytest_sessionfinish(session: pytest.Session) -> None:
    if os.environ.get("CI") == "true" and _unexpected_skips(session.config):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if os.environ.get("CI") == "true":
        for line in _unexpected_skips(config):
            terminalreporter.write_line(f"FAILED in CI, skipped: {line}", red=True)
