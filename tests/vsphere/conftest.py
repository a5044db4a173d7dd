from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from pyVim.connect import Disconnect, SmartConnect

from tests.support.simulator import Simulator, running
from tests.support.spoiling import Spoiler, spoiling
from vmsnapshot.backends.vsphere import VsphereBackend
from vmsnapshot.model.configuration import Configuration

Connect = Callable[..., VsphereBackend]


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    """A vCenter with the VMs web-1, web-2 and db-1; tasks take 20 ms."""
    with running("--vms", "3", "--names", "web-1,web-2,db-1", "--task-duration", "20ms") as started:
        yield started


@pytest.fixture
def connect() -> Iterator[Connect]:
    """Makes backends of a simulator, and closes them."""
    made: list[VsphereBackend] = []

    def make(simulator: Simulator, **settings: Any) -> VsphereBackend:
        configuration: dict[str, Any] = {
            "vsphere_server": simulator.server,
            "user": simulator.user,
            "password": simulator.password,
            "thumbprint": simulator.thumbprint,
        }
        made.append(VsphereBackend.of(Configuration(**(configuration | settings))))
        return made[-1]

    yield make
    for backend in made:
        backend.close()


@pytest.fixture
def backend(simulator: Simulator, connect: Connect) -> VsphereBackend:
    """Our backend, logged in at its first call."""
    return connect(simulator)


@pytest.fixture
def other_user(simulator: Simulator) -> Iterator[Any]:
    """Another client of the same server: plain pyVmomi, nothing of ours; its service content."""
    host, _, port = simulator.server.partition(":")
    instance = SmartConnect(
        host=host,
        port=int(port),
        user=simulator.user,
        pwd=simulator.password,
        disableSslCertValidation=True,
    )
    yield instance.RetrieveContent()
    Disconnect(instance)


@pytest.fixture
def spoiler() -> Iterator[Spoiler]:
    """Spoils the answers to all connections of this process."""
    with spoiling() as it:
        yield it
