"""What a lifecycle case needs of a platform, and vSphere as such."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

from tests.support.client import Client, other_client
from tests.support.simulator import Simulator, running
from vmsnapshot.lifecycle.requests import Properties


@dataclasses.dataclass(frozen=True)
class Seen:
    """One snapshot, as somebody else sees it.

    Attributes:
        name: Its name.
        description: Its whole description, with what the provider puts there.
        path: Its name with those of all its parents before it.
        current: Whether the VM runs on it.
    """

    name: str
    description: str
    path: str
    current: bool


class World(Protocol):
    """A platform with VMs, and somebody else at it who looks at them without the provider.

    Attributes:
        settings: The provider's, for this platform.
        theirs: What a snapshot that somebody else took is: `Managed` or `Unmanaged`.
        watched: Whether a provider that runs learns of what others do a moment later, by watching.
    """

    settings: dict[str, Any]
    theirs: str
    watched: bool

    def vm(self, beside: str = "") -> str:
        """A VM that no other case has: running, with Tools, without snapshots, 2 CPUs.

        Args:
            beside: A VM in whose namespace it is, where there are namespaces.
        """
        ...

    def properties(self, vm: str) -> Properties:
        """How a program names it."""
        ...

    def snapshots(self, vm: str) -> list[Seen]:
        """A VM's snapshots, each parent before its children."""
        ...

    def done(self, vm: str) -> list[str]:
        """What was done to a VM since it was given out, in order: `create`, `edit`, `remove`, `revert`.

        An `edit` changes a snapshot's name or description, or both.
        """
        ...

    def machine(self, vm: str) -> tuple[bool, int]:
        """Whether a VM is on, and its CPUs."""
        ...

    def take(self, vm: str, name: str, *, memory: bool = False, description: str = "") -> None:
        """Somebody takes a snapshot."""
        ...

    def edit(self, vm: str, snapshot: str, **changes: str) -> None:
        """Somebody changes a snapshot's `description`, or its `name` where that can be."""
        ...

    def remove(self, vm: str, snapshot: str) -> None:
        """Somebody removes a snapshot; those below it stay."""
        ...

    def set_cpus(self, vm: str, count: int) -> None:
        """Somebody changes a VM's CPUs, whether it runs or not."""
        ...

    def power(self, vm: str, *, on: bool) -> None:
        """Somebody switches a VM on or off."""
        ...


class VSphere(World):
    """vCenter, as our simulator plays it."""

    theirs = "Unmanaged"
    watched = False

    def __init__(self, simulator: Simulator, client: Client, names: Iterator[str]) -> None:
        self.settings = simulator.settings
        self._simulator = simulator
        self._client = client
        self._names = names

    def vm(self, beside: str = "") -> str:
        """The next one."""
        del beside
        name = next(self._names)
        self._simulator.set(name, tools="running")
        self.set_cpus(name, 2)
        return name

    def properties(self, vm: str) -> Properties:
        """By its name."""
        return {"vmName": vm}

    def snapshots(self, vm: str) -> list[Seen]:
        """Through pyVmomi."""
        return on_vsphere(self._client, vm)

    def done(self, vm: str) -> list[str]:
        """As the simulator counts it."""
        return [item["op"].replace("rename", "edit") for item in self._simulator.history(vm)]

    def machine(self, vm: str) -> tuple[bool, int]:
        """Through pyVmomi."""
        summary = self._client.vm(vm).summary
        return str(summary.runtime.powerState) == "poweredOn", summary.config.numCpu

    def take(self, vm: str, name: str, *, memory: bool = False, description: str = "") -> None:
        """As in the interface."""
        self._client.take(vm, name, memory=memory, description=description)

    def edit(self, vm: str, snapshot: str, **changes: str) -> None:
        """As in the interface."""
        self._client.edit(vm, snapshot, **changes)

    def remove(self, vm: str, snapshot: str) -> None:
        """As in the interface."""
        self._client.remove(vm, snapshot)

    def set_cpus(self, vm: str, count: int) -> None:
        """As in the interface."""
        self._client.reconfigure(vm, numCPUs=count)

    def power(self, vm: str, *, on: bool) -> None:
        """As in the interface."""
        self._client.power(vm, on=on)


def on_vsphere(client: Client, vm: str) -> list[Seen]:
    """The snapshots of a VM there, each parent before its children."""
    tree: Any = getattr(client.vm(vm), "snapshot", None)

    def walk(items: Any, above: str) -> Iterator[Seen]:
        for item in items or ():
            path = f"{above}{item.name}"
            yield Seen(item.name, item.description, path, item.snapshot == tree.currentSnapshot)
            yield from walk(item.childSnapshotList, f"{path}/")

    return list(walk(tree.rootSnapshotList if tree else (), ""))


@contextmanager
def vsphere(count: int = 100) -> Iterator[World]:
    """A vCenter with VMs that nobody has touched."""
    names = [f"vm-{number:03}" for number in range(count)]
    with (
        running("--names", ",".join(names), "--task-duration", "1ms") as simulator,
        other_client(simulator) as client,
    ):
        yield VSphere(simulator, client, iter(names))
