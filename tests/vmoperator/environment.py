"""Several VMs of one namespace, and the plugin as a process that works on all of them at once."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from devkit.kubernetes import ApiServer, Request, VirtualMachine, VirtualMachineSnapshot
from devkit.vmoperator import StandIn
from devkit.waiting import until
from tests.support.plugin import Plugin, plugin
from tests.support.simulator import Simulator, running
from vmsnapshot.lifecycle.requests import Resource

SNAPSHOT = "vmsnapshot:index:VirtualMachineSnapshot"
REVERT = "vmsnapshot:index:VirtualMachineRevert"


class Environment:
    """VMs, each with an object.

    Attributes:
        server: The API server.
        vcenter: Where the VMs really are.
        stand_in: Who plays the VM Operator.
        namespace: Where the VMs' objects are.
    """

    def __init__(self, server: ApiServer, vcenter: Simulator, stand_in: StandIn, namespace: str) -> None:
        self.server, self.vcenter, self.stand_in = server, vcenter, stand_in
        self.namespace = namespace

    def plugin(self) -> contextlib.AbstractContextManager[Plugin]:
        """One command's plugin, configured with a kubeconfig and a namespace."""
        return plugin({"kubeconfig": str(self.server.kubeconfig), "namespace": self.namespace})

    def machine(self, vm: str) -> Any:
        """A VM's object."""
        return self.server.client.get(VirtualMachine, vm, namespace=self.namespace)

    def snapshot(self, name: str) -> Any:
        """A snapshot's object."""
        return self.server.client.get(VirtualMachineSnapshot, name, namespace=self.namespace)

    def make(self, name: str, **spec: Any) -> None:
        """Make a snapshot's object, as kubectl would."""
        kind: Any = VirtualMachineSnapshot
        metadata = {"name": name, "namespace": self.namespace}
        self.server.client.create(kind({"metadata": metadata, "spec": spec}))

    def ready(self, name: str) -> bool:
        """Whether a snapshot is complete."""
        found = (self.snapshot(name).status or {}).get("conditions") or ()
        return any(one["type"] == "VirtualMachineSnapshotReady" and one["status"] == "True" for one in found)

    def snapshots(self) -> list[str]:
        """The names of all snapshot objects."""
        found: Any = self.server.client.list(VirtualMachineSnapshot, namespace=self.namespace)
        return sorted(item.metadata.name for item in found)

    def close(self) -> None:
        """Leave nothing that the next stand-in would take for its own, and switch its VMs accordingly."""
        self.stand_in.steering.clear()
        self.server.client.deletecollection(VirtualMachine, namespace=self.namespace)
        until(lambda: not self.snapshots())  # the stand-in deletes a VM's snapshots after it

    def requests(self, since: int) -> list[Request]:
        """What our plugin asked for since a mark, also what is for no namespace."""
        found = self.server.requests(since=since)
        return [one for one in found if one.namespace in {"", self.namespace}]


@contextlib.contextmanager
def environment(server: ApiServer, namespace: str, *vms: str, brief: bool = False) -> Iterator[Environment]:
    """VMs on a vCenter of their own, for as long as the block runs; `brief` is the stand-in's."""
    with (
        running("--names", ",".join(vms), "--task-duration", "10ms") as vcenter,
        StandIn(server.kubeconfigs["controller"], vcenter, brief=brief) as stand_in,
    ):
        for vm in vms:
            stand_in.add_machine(namespace, vm)
        here = Environment(server, vcenter, stand_in, namespace)
        try:
            yield here
        finally:
            here.close()


def urn(token: str, name: str) -> str:
    """A resource's URN."""
    return f"urn:pulumi:dev::shop::{token}::{name}"


def make(engine: Plugin, token: str, name: str, /, **inputs: Any) -> Resource:
    """Check and create a resource, as one that state doesn't hold."""
    checked = engine.check(urn(token, name), None, inputs)
    return engine.create(urn(token, name), checked, preview=False, seconds=100)


def revert(engine: Plugin, name: str, known: Resource | None, /, **inputs: Any) -> Resource:
    """Revert a VM: as a new resource, or as an update of the one that state holds."""
    if known is None:
        return make(engine, REVERT, name, **inputs)
    checked = engine.check(urn(REVERT, name), known.inputs, inputs)
    return engine.update(
        urn(REVERT, name),
        known.id,
        old_inputs=known.inputs,
        old_state=known.state,
        new_inputs=checked,
        preview=False,
        seconds=100,
    )
