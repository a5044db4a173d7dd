"""What tests of several folders share, and what the whole run says at its end."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

from devkit.kubernetes import ApiServer, running
from devkit.vmoperator import admission
from tests.support.client import Client, other_client
from tests.support.simulator import Simulator

# Under this name, tests of fidelity record how many reverts they compared.
COUNT = "reverts compared"

# How long an example takes says how busy the machine is.
settings.register_profile("vmsnapshot", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("vmsnapshot")


def pytest_xdist_auto_num_workers() -> int:
    """One more than there are processors: most tests wait for other processes much of their time."""
    return (os.cpu_count() or 1) + 1


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


@pytest.fixture(scope="session")
def api_server() -> Iterator[ApiServer]:
    """A real API server with the VM Operator's CRDs, and the stand-in for its admission webhooks."""
    with running() as server:
        admission.install(server)
        yield server


@pytest.fixture
def client(vsphere: Simulator) -> Iterator[Client]:
    """Somebody else at the vSphere of the test's folder or module."""
    with other_client(vsphere) as found:
        yield found
