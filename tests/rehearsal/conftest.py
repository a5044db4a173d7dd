"""A vSphere with an environment that has a checkpoint, and a stack in memory, for the tests of rehearsals."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from pyVmomi import vim

from tests.environment.rolling import label
from tests.support.client import Client, other_client
from tests.support.in_process import mini_stack
from tests.support.ministack import MiniStack
from tests.support.simulator import Simulator, running

REHEARSAL = "vmsnapshot:index:EnvironmentRehearsal"
VMS = ("db-1", "web-1", "web-2")


@pytest.fixture
def vsphere() -> Iterator[Simulator]:
    """A vCenter with three running VMs; tasks take 5 ms."""
    with running("--names", ",".join(VMS), "--task-duration", "5ms") as found:
        yield found


@pytest.fixture
def client(vsphere: Simulator) -> Iterator[Client]:
    """Somebody else at the same vCenter; all VMs have the checkpoint `nightly`."""
    with other_client(vsphere) as found:
        label(found, "nightly", VMS)
        yield found


@pytest.fixture
def stack(vsphere: Simulator, client: Client) -> MiniStack:
    """An empty stack in memory; each command is a process of its own."""
    del client
    return mini_stack(vsphere.settings)


def rehearsal(**properties: Any) -> dict[str, Any]:
    """A rehearsal of all VMs from `nightly`: the databases first, as a rollback has them."""
    members = [{"vmName": "db-1", "order": 1}, {"vmName": "web-1"}, {"vmName": "web-2"}]
    given = {"virtualMachines": members, "to": "nightly", **properties}
    return {"type": REHEARSAL, "properties": {name: item for name, item in given.items() if item is not None}}


def names(client: Client) -> list[str]:
    """The names of all VMs."""
    return sorted(item.name for item in client.vm("web-1").parent.childEntity)


def deeds(vsphere: Simulator, op: str) -> list[str]:
    """The VMs to which something was done, in order."""
    return [item["vm"] for item in vsphere.history() if item["op"] == op]


def started(client: Client) -> list[str]:
    """The VMs whose clones were switched on, in order, by the server's own history of tasks."""
    collector: Any = client.content.taskManager.CreateCollectorForTasks(vim.TaskFilterSpec())
    try:
        collector.SetCollectorPageSize(1000)
        infos = [item for item in collector.latestPage or () if "powerOn" in (item.descriptionId or "")]
    finally:
        collector.DestroyCollector()
    infos = [item for item in infos if str(item.state) == "success"]
    names = [item.entityName for item in sorted(infos, key=lambda item: item.startTime)]
    return [name.partition("-rehearsal-")[0] for name in names]


def option(key: str, value: str) -> Any:
    """A configuration parameter."""
    return vim.option.OptionValue(key=key, value=value)


def copy_spec() -> Any:
    """How somebody copies a VM."""
    return vim.vm.CloneSpec(location=vim.vm.RelocateSpec(), template=False, powerOn=False)
