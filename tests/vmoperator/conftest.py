from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest

from devkit.kubernetes import ApiServer
from devkit.vmoperator import StandIn
from tests.support.client import Client, other_client
from tests.support.plugin import plugin
from tests.support.simulator import Simulator
from tests.support.simulator import running as simulator_running
from tests.vmoperator.desk import Desk
from tests.vmoperator.harness import Harness, give_back

_NUMBERS = itertools.count(1)


@pytest.fixture
def namespace(api_server: ApiServer, request: pytest.FixtureRequest) -> str:
    """A namespace that no other test has; its parameter: what the provider may do there."""
    return api_server.namespace(f"test-{next(_NUMBERS)}", getattr(request, "param", None))


@pytest.fixture(scope="module")
def vcenter() -> Iterator[Simulator]:
    """A vCenter with the VM web-1; tasks take 10 ms."""
    with simulator_running("--names", "web-1", "--task-duration", "10ms") as started:
        yield started


@pytest.fixture(scope="module")
def stand_in(api_server: ApiServer, vcenter: Simulator) -> Iterator[StandIn]:
    """One stand-in for all tests of a module."""
    with StandIn(api_server.kubeconfigs["controller"], vcenter) as started:
        yield started


@pytest.fixture(scope="module")
def other_user(vcenter: Simulator) -> Iterator[Client]:
    """Somebody who works on vSphere directly."""
    with other_client(vcenter) as client:
        yield client


@pytest.fixture
def harness(
    api_server: ApiServer, stand_in: StandIn, other_user: Client, namespace: str
) -> Iterator[Harness]:
    """The VM web-1 without snapshots, switched on, in a namespace of its own."""
    stand_in.add_machine(namespace, "web-1")
    made = Harness(api_server, stand_in, other_user, namespace)
    yield made
    made.close()
    give_back(api_server, stand_in, other_user, namespace)


@pytest.fixture
def desk(harness: Harness) -> Iterator[Desk]:
    """The plugin, configured as a program would."""
    with plugin({"kubeconfig": str(harness.server.kubeconfig), "namespace": harness.namespace}) as engine:
        yield Desk(harness, engine)
