"""One vSphere for all examples; each takes VMs of its own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from devkit.places import BINARIES
from tests.support.simulator import Simulator, running

# What the examples beside other packages run in, and the policy pack.
ENVIRONMENT = BINARIES.parent / "examples"

NAMES = ("adopted", "db-1", "web-1", "ruled", "busy", "old")


@pytest.fixture(scope="session")
def vsphere() -> Iterator[Simulator]:
    """The VMs that the examples name."""
    with running("--names", ",".join(NAMES), "--task-duration", "5ms") as found:
        yield found
