"""One vSphere and one plugin for the tests of checkpoints, each of which has ten VMs of its own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.environment.fleet import Fleet
from tests.support.client import Client, other_client
from tests.support.plugin import Plugin, plugin
from tests.support.simulator import Simulator, running

# As many tests can run in one process.
FLEETS = 32


@pytest.fixture(scope="session")
def _fleets() -> Iterator[tuple[Simulator, Iterator[str]]]:
    """A simulator with all VMs, and the prefixes of their names."""
    prefixes = [f"f{number}" for number in range(FLEETS)]
    names = [name for prefix in prefixes for name in Fleet(None, prefix).names]
    with running("--names", ",".join(names), "--task-duration", "5ms") as found:
        yield found, iter(prefixes)


@pytest.fixture
def vcenter(_fleets: tuple[Simulator, Iterator[str]]) -> Iterator[Simulator]:
    """It, without the faults that another test asked for."""
    yield _fleets[0]
    _fleets[0].clear()
    _fleets[0].release()


@pytest.fixture(scope="session")
def ready(_fleets: tuple[Simulator, Iterator[str]]) -> Iterator[Plugin]:
    """The plugin, which nobody kills."""
    with plugin(_fleets[0].settings) as found:
        yield found


@pytest.fixture
def somebody(vcenter: Simulator) -> Iterator[Client]:
    """Somebody else at the same vSphere."""
    with other_client(vcenter) as found:
        yield found


@pytest.fixture
def fleet(vcenter: Simulator, _fleets: tuple[Simulator, Iterator[str]]) -> Fleet:
    """Ten VMs that no other test uses."""
    return Fleet(vcenter, next(_fleets[1]))
