"""A namespace with the VM web-1, our backend, and somebody else who works there too."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

from lightkube.types import PatchType

from devkit.kubernetes import ApiServer, Request, VirtualMachine, VirtualMachineSnapshot
from devkit.vmoperator import StandIn
from devkit.waiting import until
from tests.support.client import Client
from tests.support.vsphere import operation
from vmsnapshot.backends.vmoperator import VmOperatorBackend
from vmsnapshot.lifecycle.operation import Operation
from vmsnapshot.lifecycle.ownership import Owner, owner_by
from vmsnapshot.lifecycle.port import SnapshotRequest, VMReference
from vmsnapshot.model.configuration import Configuration
from vmsnapshot.model.machine import Snapshot
from vmsnapshot.model.machine import VirtualMachine as Observed

URN = "urn:pulumi:dev::shop::vmsnapshot:index:VirtualMachineSnapshot::before release"


def owner(making: str = "once", urn: str = URN) -> Owner:
    """A resource, in one making of its snapshot."""
    return owner_by(urn, making)


def connect(kubeconfig: Path | str, **settings: Any) -> VmOperatorBackend:
    """A backend of a kubeconfig."""
    given: dict[str, Any] = {"backend": "vmoperator", "kubeconfig": str(kubeconfig)}
    return VmOperatorBackend.of(Configuration(**(given | settings)))


class Harness:
    """What a test works with.

    Attributes:
        server: The API server.
        stand_in: Who plays the VM Operator.
        other_user: Somebody at the same vCenter.
        namespace: Where web-1 is.
        backend: Ours, logged in as the user `provider`.
    """

    def __init__(self, server: ApiServer, stand_in: StandIn, other_user: Client, namespace: str) -> None:
        self.server, self.stand_in, self.other_user = server, stand_in, other_user
        self.namespace = namespace
        self._backends: list[VmOperatorBackend] = []
        self.backend = self.connect()
        self._began = server.mark()

    def connect(self, user: str = "provider") -> VmOperatorBackend:
        """Another process of ours."""
        made = connect(self.server.kubeconfigs[user], namespace=self.namespace)
        self._backends.append(made)
        return made

    def close(self) -> None:
        """Log out."""
        for backend in self._backends:
            backend.close()

    # What we do

    def vm(self, backend: VmOperatorBackend | None = None) -> Observed:
        """The VM web-1."""
        return (backend or self.backend).find(VMReference("web-1"), operation('looking for VM "web-1"'))

    def snapshot(self, name: str) -> Snapshot:
        """A snapshot of web-1."""
        found = self.vm().snapshot(name)
        assert found is not None, name
        return found

    def ready(self, name: str) -> bool:
        """Whether web-1 has a snapshot of that name, and it is complete."""
        found = self.vm().snapshot(name)
        return found is not None and found.ready

    def create(self, name: str, doing: Operation | None = None, **changes: Any) -> str:
        """Ask for a snapshot."""
        asked: dict[str, Any] = {
            "name": name,
            "description": f"about {name}",
            "owner": owner(name),
            "memory": False,
            "quiesce": None,
        }
        doing = doing or operation(f'taking snapshot "{name}"')
        return self.backend.create_snapshot(self.vm(), SnapshotRequest(**(asked | changes)), doing)

    def take(self, name: str, **changes: Any) -> Snapshot:
        """Take a snapshot, and wait until it is complete."""
        made = self.create(name, **changes)
        self.backend.wait_until_complete(self.vm(), made, operation(f'taking snapshot "{name}"'))
        return self.snapshot(name)

    def remove(self, name: str, doing: Operation | None = None, **how: bool) -> None:
        """Remove a snapshot."""
        how = {"remove_children": False, "consolidate": True} | how
        doing = doing or operation(f'removing snapshot "{name}"')
        self.backend.remove_snapshot(
            self.vm(),
            self.snapshot(name),
            remove_children=how["remove_children"],
            consolidate=how["consolidate"],
            operation=doing,
        )

    def revert(
        self,
        name: str,
        request: str = "request-1",
        doing: Operation | None = None,
        *,
        backend: VmOperatorBackend | None = None,
    ) -> None:
        """Revert web-1."""
        doing = doing or operation(f'reverting VM "web-1" to "{name}"')
        (backend or self.backend).revert(self.vm(backend), self.snapshot(name), request, doing)

    def requests(self) -> list[Request]:
        """What this namespace was asked for by us since the test began, without looking at what is there."""
        found = self.server.requests(namespace=self.namespace, since=self._began)
        looks = {("get", "namespaces")}
        return [
            one
            for one in found
            if one.verb not in {"watch", "list"} and (one.verb, one.resource) not in looks
        ]

    # What is there, as somebody else sees and changes it

    def machine(self) -> Any:
        """The VM's object."""
        return self.server.client.get(VirtualMachine, "web-1", namespace=self.namespace)

    def object(self, name: str) -> Any:
        """A snapshot's object."""
        return self.server.client.get(VirtualMachineSnapshot, name, namespace=self.namespace)

    def objects(self) -> list[Any]:
        """All snapshots' objects."""
        return list(self.server.client.list(VirtualMachineSnapshot, namespace=self.namespace))

    def change(self, kind: Any = VirtualMachine, name: str = "web-1", **members: Any) -> Any:
        """Change an object."""
        return self.server.client.patch(
            kind,
            name,
            members,
            namespace=self.namespace,
            patch_type=PatchType.MERGE,
            field_manager="somebody",
        )

    def make(self, name: str, *, annotations: dict[str, str] | None = None, **spec: Any) -> Any:
        """Make a snapshot's object, as kubectl would."""
        kind: Any = VirtualMachineSnapshot
        metadata = {"name": name, "namespace": self.namespace, "annotations": annotations or {}}
        return self.server.client.create(
            kind({"metadata": metadata, "spec": {"vmName": "web-1", **spec}}), field_manager="kubectl-create"
        )

    def delete(self, name: str) -> None:
        """Delete a snapshot's object."""
        self.server.client.delete(VirtualMachineSnapshot, name, namespace=self.namespace)

    def seen_by_stand_in(self) -> dict[str, Any]:
        """The VM's object as the stand-in has it; it may be older than the server's."""
        return self.stand_in._cluster.machine((self.namespace, "web-1")) or {}

    def reverts(self) -> list[str]:
        """The snapshots that the VM was really reverted to."""
        return self.stand_in.history.reverts(namespace=self.namespace)

    def creates(self) -> list[str]:
        """The snapshots that were really taken."""
        return self.stand_in.history.creates(namespace=self.namespace)


class Listener:
    """What was told while something went on."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def heard(self, words: str) -> bool:
        """Whether something with these words was said."""
        return any(words in text for text in self.said)

    def doing(self, what: str, *, seconds: float = 60, **settings: Any) -> Operation:
        """An operation that is listened to."""
        progress: Callable[[str], None] = self.said.append
        return Operation(what, timeout=timedelta(seconds=seconds), progress=progress, **settings)


def give_back(server: ApiServer, stand_in: StandIn, other_user: Client, namespace: str) -> None:
    """Leave web-1 as the next test wants it: in no namespace, without snapshots, switched on."""
    stand_in.steering.clear()
    server.client.deletecollection(VirtualMachineSnapshot, namespace=namespace)
    until(lambda: not list(server.client.list(VirtualMachineSnapshot, namespace=namespace)))
    server.client.deletecollection(VirtualMachine, namespace=namespace)
    # As long as it knows the object, it switches the VM as that says.
    until(lambda: not any(known[0] == namespace for known in stand_in._cluster.known("web-1")))
    other_user.wait(other_user.vm("web-1").RemoveAllSnapshots_Task())
    if other_user.vm("web-1").runtime.powerState != "poweredOn":
        other_user.power("web-1", on=True)
