"""vSphere behind a proxy, by a client of its own and by the server's own history of tasks."""

from __future__ import annotations

import contextlib
import itertools
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from pyVmomi import vim

from devkit.fault_matrix import VSPHERE
from tests.environment.rolling import label
from tests.faults.lives import LIVES, REHEARSAL, ROLLBACK, Life, Vms, clone_of
from tests.faults.platform import Looks, Machine, Platform, Snapshot
from tests.faults.proxy import Proxy, between
from tests.faults.ways import SOAP_WAYS
from tests.support.client import Client, other_client
from tests.support.simulator import Simulator, running

# Pairs of VMs, used in turn.
PAIRS: Final = tuple((f"a-{number}", f"b-{number}") for number in range(4))
# The exchanges with which every run begins.
_LOGGING_IN: Final = {"/sdk/vimServiceVersions.xml", "RetrieveServiceContent", "Login"}
# What the tasks that count are called in a server's history (govmomi's simulator/vpx and esx lists).
_TASKS: Final = {"createSnapshot": "create", "Snapshot.revert": "revert", "VirtualMachine.clone": "clone"}


class LooksAtVSphere(Looks):
    """By pyVmomi.

    Args:
        client: Somebody else at the server.
    """

    def __init__(self, client: Client) -> None:
        self._client = client

    def done(self, vm: str) -> Counter[str]:
        """By the tasks that succeeded."""
        spec = vim.TaskFilterSpec()
        spec.entity = vim.TaskFilterSpec.ByEntity(entity=self._client.vm(vm), recursion="self")
        collector: Any = self._client.content.taskManager.CreateCollectorForTasks(spec)
        try:
            collector.SetCollectorPageSize(1000)
            infos = [info for info in collector.latestPage or () if str(info.state) == "success"]
        finally:
            collector.DestroyCollector()
        return Counter(
            kind for info in infos for words, kind in _TASKS.items() if words in (info.descriptionId or "")
        )

    def there(self, vm: str) -> list[Snapshot]:
        """By the VM's tree."""
        return [
            Snapshot(
                vm,
                item.snapshot._moId,
                item.name,
                item.description,
                "Managed by Pulumi: resource it," in item.description,
            )
            for item in self._client.snapshots(vm)
        ]

    def current(self, vm: str) -> str:
        """By the VM's tree."""
        tree = getattr(self._client.vm(vm), "snapshot", None)
        names = {item.id: item.name for item in self.there(vm)}
        return names[tree.currentSnapshot._moId] if tree is not None and tree.currentSnapshot else ""

    def machine(self, vm: str) -> Machine:
        """By its summary."""
        return _machine(self._client.vm(vm))

    def clones(self, vms: Vms) -> dict[str, Machine]:
        """By their names."""
        return {str(vm.config.instanceUuid): _machine(vm) for vm in clones(self._client, vms)}


class OnVSphere(LooksAtVSphere, Platform):
    """The simulator."""

    table = VSPHERE
    ways = SOAP_WAYS
    lives = LIVES

    def __init__(self, vsphere: Simulator, client: Client, proxy: Proxy) -> None:
        super().__init__(client)
        self.proxy = proxy
        self._settings = {**vsphere.settings, "vsphereServer": proxy.address, "thumbprint": proxy.thumbprint}
        self._pairs = itertools.cycle(PAIRS)

    def begin(self, life: Life) -> Vms:
        """The next pair, cleaned."""
        vms = next(self._pairs)
        clean(self._client, life, vms)
        return vms

    def settings(self, vms: Vms) -> dict[str, Any]:
        """The same for all."""
        del vms
        return self._settings

    def identifier(self, vm: str, snapshot: str) -> str:
        """By both names."""
        return f"{vm}@{snapshot}"

    def is_first(self, exchange: str) -> bool:
        """Whether it belongs to the login."""
        return exchange in _LOGGING_IN


@contextlib.contextmanager
def on_vsphere(folder: Path) -> Iterator[OnVSphere]:
    """A simulator, a proxy before it, and a client that goes past the proxy."""
    names = ",".join(vm for pair in PAIRS for vm in pair)
    with (
        running("--names", names, "--task-duration", "5ms") as vsphere,
        other_client(vsphere) as client,
        between(vsphere.server, folder) as proxy,
    ):
        yield OnVSphere(vsphere, client, proxy)


def clones(client: Client, vms: Vms) -> list[Any]:
    """The clones of the VMs."""
    siblings = client.vm(vms[0]).parent.childEntity
    rehearsed = tuple(f"{vm}-rehearsal-" for vm in vms)
    return [vm for vm in siblings if vm.name == clone_of(vms[0]) or vm.name.startswith(rehearsed)]


def clean(client: Client, life: Life, vms: Vms) -> None:
    """Give both VMs what a life begins with."""
    for clone in clones(client, vms):
        if str(clone.runtime.powerState) != "poweredOff":
            client.wait(clone.PowerOffVM_Task())
        client.wait(clone.Destroy_Task())
    for vm in vms:
        machine = client.vm(vm)
        if getattr(machine, "snapshot", None):
            client.wait(machine.RemoveAllSnapshots_Task())
        if str(machine.runtime.powerState) != "poweredOn":
            client.wait(machine.PowerOnVM_Task())
        client.take(vm, "base")
    if life.kind in {ROLLBACK, REHEARSAL}:
        label(client, "l1", vms)


def _machine(vm: Any) -> Machine:
    summary = vm.summary
    return Machine(str(summary.runtime.powerState) == "poweredOn", summary.config.numCpu)
