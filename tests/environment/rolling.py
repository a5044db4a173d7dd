"""Environments of ten VMs in three waves with restore points, made as a checkpoint makes them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

from pyVmomi import vim, vmodl

from tests.environment.resource import Resource
from tests.support.client import Client
from tests.support.simulator import Simulator
from vmsnapshot.lifecycle.common.marks import checkpoint_owner
from vmsnapshot.lifecycle.ownership import describe

TOKEN = "vmsnapshot:index:EnvironmentRollback"
CHECKPOINT = "urn:pulumi:dev::made-up::vmsnapshot:index:EnvironmentCheckpoint::releases"

# Reverted in descending order: the web servers first, the databases last.
_WAVES = [("web", 2, 4), ("app", 1, 4), ("db", 0, 2)]


class Ten:
    """Ten VMs of their own, and a rollback of them that isn't in any state yet.

    Attributes:
        names: All, in the order of reverting.
        web: The first wave, of four.
        app: The second wave, of four.
        db: The last wave, of two.
        resource: The rollback.
    """

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix
        self.members = [
            {"vmName": f"{prefix}-{kind}-{number}", "order": order}
            for kind, order, count in _WAVES
            for number in range(1, count + 1)
        ]
        self.names = [str(member["vmName"]) for member in self.members]
        self.web, self.app, self.db = self.names[:4], self.names[4:8], self.names[8:]
        self.resource = Resource(TOKEN, prefix)

    def program(self, to: str | None = None, **properties: Any) -> dict[str, Any]:
        """The inputs of a rollback of all."""
        return {"virtualMachines": self.members, **({"to": to} if to else {}), **properties}

    def done(self, vsphere: Simulator, *ops: str) -> dict[str, int]:
        """How often each VM really was reverted (or what `ops` says)."""
        wanted = ops or ("revert",)
        history = vsphere.history()
        return dict(
            Counter(item["vm"] for item in history if item["vm"] in self.names and item["op"] in wanted)
        )

    @property
    def told(self) -> set[str]:
        """The VMs of which state says that they are reverted."""
        return {key for key, item in self.state.get("progress", {}).items() if "revertedTo" in item}

    @property
    def state(self) -> dict[str, Any]:
        """What state holds; empty: it isn't there."""
        return self.resource.state


def label(
    client: Client, label: str, names: Iterable[str], *, by: str = CHECKPOINT, memory: bool = False
) -> None:
    """A restore point of all these VMs, as a checkpoint of release 0.1.0 made it: its mark isn't bound."""
    machines = all_vms(client)
    description = describe("", checkpoint_owner(by, label), None, label)
    tasks = [
        machines[name].CreateSnapshot_Task(name=label, description=description, memory=memory, quiesce=False)
        for name in names
    ]
    for task in tasks:
        client.wait(task)


def all_vms(client: Client) -> dict[str, Any]:
    """Every VM by its name, with one read."""
    kinds = vmodl.query.PropertyCollector
    everywhere = client.content.rootFolder
    view = client.content.viewManager.CreateContainerView(everywhere, [vim.VirtualMachine], recursive=True)
    members = kinds.TraversalSpec(name="view", path="view", skip=False, type=vim.view.ContainerView)
    found = client.content.propertyCollector.RetrieveContents(
        [
            kinds.FilterSpec(
                objectSet=[kinds.ObjectSpec(obj=view, skip=True, selectSet=[members])],
                propSet=[kinds.PropertySpec(type=vim.VirtualMachine, pathSet=["name"])],
            )
        ]
    )
    view.Destroy()
    return {item.propSet[0].val: item.obj for item in found}
