"""A vSphere and a stack in memory for the tests of clones."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.client import Client, other_client
from tests.support.in_process import mini_stack
from tests.support.ministack import MiniStack
from tests.support.simulator import Simulator, running

CLONE = "vmsnapshot:index:VirtualMachineClone"
SNAPSHOT = "vmsnapshot:index:VirtualMachineSnapshot"


@pytest.fixture
def vsphere() -> Iterator[Simulator]:
    """A vCenter with two running VMs; tasks take 5 ms."""
    with running("--names", "web-1,db-1", "--task-duration", "5ms") as found:
        yield found


@pytest.fixture
def client(vsphere: Simulator) -> Iterator[Client]:
    """Somebody else at the same vCenter; web-1 has a snapshot `base`."""
    with other_client(vsphere) as found:
        found.take("web-1", "base")
        yield found


@pytest.fixture
def stack(vsphere: Simulator, client: Client) -> MiniStack:
    """An empty stack in memory; each command is a process of its own."""
    del client
    return mini_stack(vsphere.settings)


def clone(**properties: Any) -> dict[str, Any]:
    """A clone of web-1's snapshot `base`."""
    return {"type": CLONE, "properties": {"vmName": "web-1", "snapshot": "base", **properties}}


def snapshot(vm: str = "web-1", **properties: Any) -> dict[str, Any]:
    """A snapshot of a VM."""
    return {"type": SNAPSHOT, "properties": {"vmName": vm, **properties}}


def effects(vsphere: Simulator, *vms: str) -> list[tuple[str, str]]:
    """What was done to VMs: the VM and the deed, in order."""
    return [(item["vm"], item["op"]) for vm in vms for item in vsphere.history(vm)]


def names(client: Client) -> list[str]:
    """The names of all VMs."""
    folder = client.vm("web-1").parent
    return sorted(item.name for item in folder.childEntity)
