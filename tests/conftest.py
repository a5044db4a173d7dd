"""What the whole run says at its end."""

from __future__ import annotations

import pytest

# Under this name, tests of fidelity record how many reverts they compared.
COUNT = "reverts compared"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print how many reverts were compared with their previews."""
    counts = [
        value
        for report in terminalreporter.getreports("passed") + terminalreporter.getreports("failed")
        for name, value in report.user_properties
        if name == COUNT and report.when == "call"
    ]
    if counts:
        terminalreporter.write_sep("-", f"fidelity: {sum(counts)} reverts compared with their previews")
