"""What goes wrong with one VM of an environment, and what mends it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from tests.support.client import Client
from tests.support.simulator import Simulator

# At a vSphere, by somebody else there, to the VM of that name.
Fault = Callable[[Simulator, Client, str], None]


def renamed(_vsphere: Simulator, client: Client, vm: str) -> None:
    """The VM has another name."""
    client.wait(client.vm(vm).Rename_Task("gone"))


def named_again(_vsphere: Simulator, client: Client, vm: str) -> None:
    """It has its name again."""
    client.wait(client.vm("gone").Rename_Task(vm))


def switched_off(vsphere: Simulator, _client: Client, vm: str) -> None:
    """Snapshots of the VM are disabled."""
    vsphere.set(vm, snapshotDisabled=True)


def switched_on(vsphere: Simulator, _client: Client, vm: str) -> None:
    """They no longer are."""
    vsphere.set(vm, snapshotDisabled=False)


def faulty(method: str, where: Literal["call", "task"]) -> Fault:
    """The task of that method can't be started (`call`), or ends badly (`task`)."""

    def fault(vsphere: Simulator, _client: Client, vm: str) -> None:
        vsphere.fault("FileLocked", method=method, vm=vm, where=where)

    return fault


def over(vsphere: Simulator, _client: Client, _vm: str) -> None:
    """Whatever was asked for is over."""
    vsphere.clear()
