"""The VM Operator behind a proxy, by what the stand-in for its controllers did and by its objects."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import yaml

from devkit.fault_matrix import VM_OPERATOR
from devkit.kubernetes import ApiServer, VirtualMachineSnapshot
from tests.faults.lives import CHECKPOINT, ON_THE_VM_OPERATOR, ROLLBACK, Life, Vms
from tests.faults.platform import Machine, Platform, Snapshot
from tests.faults.proxy import Proxy, between
from tests.faults.ways import JSON_WAYS
from tests.support.in_process import mini_stack
from tests.table.vm_operator import vm_operator
from tests.table.world import World

# Paths of the exchanges with which every run begins: what is served, and which cluster it is.
_DISCOVERY: Final = ("/api/v1/namespaces/", "/openapi/v3/")
_GROUP: Final = "/apis/vmoperator.vmware.com"
_URN: Final = "vmsnapshot/urn"


class OnVmOperator(Platform):
    """A real API server, with the stand-in.

    Args:
        server: The API server.
        world: VMs that nobody has touched.
        proxy: Before the server.
        kubeconfig: The provider's, through the proxy.
    """

    table = VM_OPERATOR
    ways = JSON_WAYS
    lives = ON_THE_VM_OPERATOR

    def __init__(self, server: ApiServer, world: World, proxy: Proxy, kubeconfig: Path) -> None:
        self.proxy = proxy
        self._server, self._world, self._kubeconfig = server, world, kubeconfig
        self._places: dict[str, str] = {}

    def begin(self, life: Life) -> Vms:
        """One VM, or two in its namespace where the resource is about both."""
        first = self._world.vm()
        places = [first, self._world.vm(beside=first)] if life.is_about_both else [first]
        vms = tuple(place.partition("/")[2] for place in places)
        self._places = dict(zip(vms, places, strict=True))
        for number, (vm, place) in enumerate(self._places.items()):
            self._world.take(place, f"{vm}-base" if number else "base")
        if life.kind == ROLLBACK:
            members = [{"vmName": vm} for vm in vms]
            checkpoint = {"virtualMachines": members, "label": "l1"}
            stack = mini_stack(self.settings(vms), stack="made-up")
            stack.write(releases={"type": f"vmsnapshot:index:{CHECKPOINT}", "properties": checkpoint})
            stack.up().check()
        return vms

    def settings(self, vms: Vms) -> dict[str, Any]:
        """With the VMs' namespace."""
        return {
            "backend": "vmoperator",
            "kubeconfig": str(self._kubeconfig),
            "namespace": self._namespace(vms[0]),
        }

    def identifier(self, vm: str, snapshot: str) -> str:
        """By the object's name."""
        return f"{self._namespace(vm)}/{snapshot}"

    def is_first(self, exchange: str) -> bool:
        """Whether it asks what the server is, and what it serves."""
        return exchange == _GROUP or exchange.startswith(_DISCOVERY)

    def done(self, vm: str) -> Counter[str]:
        """As the stand-in did it in vSphere."""
        return Counter(self._world.done(self._places[vm]))

    def there(self, vm: str) -> list[Snapshot]:
        """The objects; in vSphere are the same."""
        self._world.snapshots(self._places[vm])
        found: Any = self._server.client.list(VirtualMachineSnapshot, namespace=self._namespace(vm))
        return [
            Snapshot(
                vm,
                (item.status or {}).get("uniqueID", ""),
                item.metadata.name.removeprefix(f"{vm}-"),
                item.spec.get("description", ""),
                (item.metadata.annotations or {}).get(_URN, "").endswith("::it"),
            )
            for item in found
            if item.spec["vmName"] == vm
        ]

    def current(self, vm: str) -> str:
        """As it is in vSphere."""
        seen = self._world.snapshots(self._places[vm])
        return next((item.name.removeprefix(f"{vm}-") for item in seen if item.current), "")

    def machine(self, vm: str) -> Machine:
        """As its status says."""
        return Machine(*self._world.machine(self._places[vm]))

    def clones(self, vms: Vms) -> dict[str, Machine]:
        """There are none."""
        del vms
        return {}

    def _namespace(self, vm: str) -> str:
        return self._places[vm].partition("/")[0]


@contextlib.contextmanager
def on_vm_operator(server: ApiServer, folder: Path) -> Iterator[OnVmOperator]:
    """VMs with a stand-in, and a proxy before the API server."""
    with (
        vm_operator(server) as world,
        between(server.url.removeprefix("https://"), folder) as proxy,
    ):
        config = yaml.safe_load(Path(server.kubeconfig).read_text(encoding="utf-8"))
        for item in config["clusters"]:
            item["cluster"] = {"server": f"https://{proxy.address}", "insecure-skip-tls-verify": True}
        file = folder / "kubeconfig"
        file.write_text(yaml.safe_dump(config), encoding="utf-8")
        file.chmod(0o600)
        yield OnVmOperator(server, world, proxy, file)
