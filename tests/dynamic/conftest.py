from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.dynamic import Dynamic, dynamic_providers
from tests.support.simulator import Simulator, running

PASSWORD = "open sesame 41"


@pytest.fixture(scope="session")
def vsphere() -> Iterator[Simulator]:
    """A vSphere with VMs enough for each test to have its own."""
    names = ",".join(f"web-{number}" for number in range(12))
    with running("--names", names, "--task-duration", "10ms", "--password", PASSWORD) as found:
        yield found


@pytest.fixture(scope="session")
def dynamic(vsphere: Simulator) -> Iterator[Dynamic]:
    """One process of dynamic providers for all tests that don't end it."""
    with dynamic_providers(vsphere.settings) as found:
        yield found
