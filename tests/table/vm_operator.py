"""The VM Operator as such: a real API server, and a stand-in for its controllers."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from lightkube.types import PatchType

from devkit.kubernetes import ApiServer, VirtualMachine, VirtualMachineSnapshot
from devkit.vmoperator import StandIn
from devkit.waiting import until
from tests.support.client import Client, other_client
from tests.support.simulator import Simulator, running
from tests.table.world import Seen, World, on_vsphere
from vmsnapshot.lifecycle.requests import Properties

_OPS = {"create": "create", "delete": "remove", "revert": "revert"}


class VmOperator(World):
    """VMs in namespaces, named `namespace/name` here. Somebody else has kubectl, and vSphere where needed."""

    theirs = "Managed"
    watched = True

    def __init__(
        self, server: ApiServer, stand_in: StandIn, simulator: Simulator, client: Client, names: Iterator[str]
    ) -> None:
        self.settings = {"kubeconfig": str(server.kubeconfig)}
        self._server, self._stand_in = server, stand_in
        self._simulator, self._client, self._names = simulator, client, names
        self._done: dict[str, list[str]] = {}
        self._generations: dict[str, int] = {}

    def vm(self, beside: str = "") -> str:
        """The next one, in a namespace of its own unless it is another's."""
        name = next(self._names)
        namespace = _split(beside)[0] if beside else self._server.namespace(name)
        self._simulator.set(name, tools="running")
        self._client.reconfigure(name, numCPUs=2)
        self._stand_in.add_machine(namespace, name)
        vm = f"{namespace}/{name}"
        self._done[vm] = []
        return vm

    def properties(self, vm: str) -> Properties:
        """By its namespace and name."""
        namespace, name = _split(vm)
        return {"namespace": namespace, "vmName": name}

    def snapshots(self, vm: str) -> list[Seen]:
        """Their places are vSphere's, their descriptions the objects'; there is one of each."""
        found = on_vsphere(self._client, _split(vm)[1])
        told = {item.metadata.name: item.spec.get("description", "") for item in self._objects(vm)}
        assert sorted(told) == sorted(item.name for item in found)
        return [dataclasses.replace(item, description=told[item.name]) for item in found]

    def done(self, vm: str) -> list[str]:
        """As the stand-in did it, and edits as the API server counts changes of an object's spec."""
        namespace, name = _split(vm)
        log = self._done[vm]
        events = self._stand_in.history.events(name, namespace=namespace)
        real = [_OPS[event.operation] for event in events if event.operation in _OPS]
        log += real[sum(op != "edit" for op in log) :]
        for item in self._objects(vm):
            about = item.metadata
            log += ["edit"] * (about.generation - self._generations.get(about.uid, 1))
            self._generations[about.uid] = about.generation
        return list(log)

    def machine(self, vm: str) -> tuple[bool, int]:
        """As its status says."""
        status = self._machine(vm).status
        return status["powerState"] == "PoweredOn", status["hardware"]["cpu"]["total"]

    def take(self, vm: str, name: str, *, memory: bool = False, description: str = "") -> None:
        """With an object of its own."""
        namespace, vm_name = _split(vm)
        kind: Any = VirtualMachineSnapshot
        metadata = {"name": name, "namespace": namespace}
        self._server.client.create(
            kind(
                {
                    "metadata": metadata,
                    "spec": {"vmName": vm_name, "memory": memory, "description": description},
                }
            )
        )
        until(lambda: (self._machine(vm).status.get("currentSnapshot") or {}).get("name") == name)
        until(lambda: self._ready(vm, name))

    def edit(self, vm: str, snapshot: str, **changes: str) -> None:
        """As in the interface."""
        self._change(VirtualMachineSnapshot, _split(vm)[0], snapshot, **changes)

    def remove(self, vm: str, snapshot: str) -> None:
        """As in the interface."""
        self._server.client.delete(VirtualMachineSnapshot, snapshot, namespace=_split(vm)[0])
        until(lambda: snapshot not in {item.metadata.name for item in self._objects(vm)})

    def set_cpus(self, vm: str, count: int) -> None:
        """On vSphere: here a VM's class decides."""
        self._client.reconfigure(_split(vm)[1], numCPUs=count)
        until(lambda: self.machine(vm)[1] == count)

    def power(self, vm: str, *, on: bool) -> None:
        """As in the interface."""
        self._change(VirtualMachine, *_split(vm), powerState="PoweredOn" if on else "PoweredOff")
        until(lambda: self.machine(vm)[0] == on)

    def close(self) -> None:
        """Leave nothing that another stand-in would take for its own."""
        for namespace, name in map(_split, self._done):
            self._server.client.delete(VirtualMachine, name, namespace=namespace)
        # The stand-in deletes a VM's snapshots after it.
        until(lambda: not any(self._objects(vm) or self._is_there(vm) for vm in self._done))

    def _machine(self, vm: str) -> Any:
        namespace, name = _split(vm)
        return self._server.client.get(VirtualMachine, name, namespace=namespace)

    def _is_there(self, vm: str) -> bool:
        namespace, name = _split(vm)
        machines: Any = self._server.client.list(VirtualMachine, namespace=namespace)
        return any(item.metadata.name == name for item in machines)

    def _objects(self, vm: str) -> list[Any]:
        namespace, name = _split(vm)
        found: Any = self._server.client.list(VirtualMachineSnapshot, namespace=namespace)
        return [item for item in found if item.spec["vmName"] == name]

    def _ready(self, vm: str, name: str) -> bool:
        (item,) = (item for item in self._objects(vm) if item.metadata.name == name)
        conditions = (item.status or {}).get("conditions") or ()
        return any(
            one["type"] == "VirtualMachineSnapshotReady" and one["status"] == "True" for one in conditions
        )

    def _change(self, kind: Any, namespace: str, name: str, **spec: str) -> None:
        self._server.client.patch(
            kind,
            name,
            {"spec": spec},
            namespace=namespace,
            patch_type=PatchType.MERGE,
            field_manager="kubectl",
        )


# Several worlds may be on one API server: each has names of its own.
_WORLDS = itertools.count(1)


@contextmanager
def vm_operator(server: ApiServer, count: int = 100) -> Iterator[World]:
    """VMs that nobody has touched, each with an object as soon as it is given out."""
    prefix = f"table-{next(_WORLDS)}"
    names = [f"{prefix}-{number:03}" for number in range(count)]
    with (
        running("--names", ",".join(names), "--task-duration", "1ms") as simulator,
        other_client(simulator) as client,
        StandIn(server.kubeconfigs["controller"], simulator) as stand_in,
    ):
        world = VmOperator(server, stand_in, simulator, client, iter(names))
        yield world
        world.close()


def _split(vm: str) -> tuple[str, str]:
    namespace, _, name = vm.partition("/")
    return namespace, name
