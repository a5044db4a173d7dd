"""One vSphere and one plugin for the tests of checkpoints, each of which has ten VMs of its own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.environment.checkpoint_environment import Environment
from tests.support.client import Client, other_client
from tests.support.hurried import HURRIED
from tests.support.plugin import Plugin, plugin
from tests.support.simulator import Simulator, running

# As many tests can run in one process.
ENVIRONMENTS = 40


@pytest.fixture(scope="session")
def _environments() -> Iterator[tuple[Simulator, Iterator[str]]]:
    """A simulator with all VMs, and the prefixes of their names."""
    prefixes = [f"f{number}" for number in range(ENVIRONMENTS)]
    names = [name for prefix in prefixes for name in Environment(None, prefix).names]
    with running("--names", ",".join(names), "--task-duration", "5ms") as found:
        yield found, iter(prefixes)


@pytest.fixture
def vcenter(_environments: tuple[Simulator, Iterator[str]]) -> Iterator[Simulator]:
    """It, without the faults that another test asked for."""
    yield _environments[0]
    _environments[0].clear()
    _environments[0].release()


@pytest.fixture(scope="session")
def ready(_environments: tuple[Simulator, Iterator[str]]) -> Iterator[Plugin]:
    """The plugin, which nobody kills."""
    with plugin(_environments[0].settings) as found:
        yield found


@pytest.fixture(scope="session")
def hurried(_environments: tuple[Simulator, Iterator[str]]) -> Iterator[Plugin]:
    """One that doesn't wait for half a minute."""
    with plugin(_environments[0].settings, environment=HURRIED) as found:
        yield found


@pytest.fixture
def somebody(vcenter: Simulator) -> Iterator[Client]:
    """Somebody else at the same vSphere."""
    with other_client(vcenter) as found:
        yield found


@pytest.fixture
def environment(vcenter: Simulator, _environments: tuple[Simulator, Iterator[str]]) -> Environment:
    """Ten VMs that no other test uses."""
    return Environment(vcenter, next(_environments[1]))
