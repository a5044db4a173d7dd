"""The demo's other platform: a real Kubernetes API server, and a stand-in for the VM Operator.

What the tests run on: kube-apiserver with etcd, the VM Operator's own CRDs, and in place of the VM
Operator's controllers a stand-in that takes real snapshots on the vSphere simulator.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml
from lightkube.models.meta_v1 import ObjectMeta
from lightkube.types import PatchType

from devkit import kubernetes
from devkit.simulator import Simulator
from devkit.vmoperator import admission
from devkit.waiting import until
from tools.scenario import VMS, other_environment, process, run, simulator

NAMESPACE = "demo"


class VmOperator:
    """A namespace of the API server, and somebody else who works there and on the vSphere below it."""

    def __init__(self, folder: Path, vsphere: Simulator, server: kubernetes.ApiServer) -> None:
        self._server = server
        self.environment = {**other_environment(folder, vsphere), "KUBECONFIG": str(server.kubeconfig)}
        self.config = {"namespace": NAMESPACE}

    def introduce(self) -> None:
        """Say what runs here, and what is not the VM Operator; web-2 has somebody else's snapshot."""
        print(f"A Kubernetes API server (the real one, with etcd) runs at {self._server.url}.")
        print(f"Its namespace {NAMESPACE} has the VirtualMachines {', '.join(VMS)}; their kinds are the")
        print("VM Operator's own. The VM Operator's controllers are not here: a STAND-IN of this project")
        print("plays their part, and takes the snapshots on a vSphere simulator.")
        name = ObjectMeta(name="golden-image", namespace=NAMESPACE)
        self._server.client.create(kubernetes.VirtualMachineSnapshot(metadata=name, spec={"vmName": "web-2"}))
        until(lambda: "currentSnapshot" in self._machine("web-2").get("status", {}))

    def go_wrong(self) -> None:
        """Let others change the VMs: their objects, and what is below them."""
        self._edit("web-1", {"spec": {"powerState": "PoweredOff"}})
        until(lambda: self._machine("web-1")["status"]["powerState"] == "PoweredOff")
        run("govc vm.change -vm web-1 -c 8 -m 4096", self.environment)
        self._edit(
            "web-1",
            {
                "metadata": {"labels": {"release": "42"}},
                "spec": {"className": "best-effort-large", "powerState": "PoweredOn"},
            },
        )
        run("govc snapshot.create -vm web-2 before-hotfix", self.environment)
        until(lambda: self._machine("web-1")["status"]["powerState"] == "PoweredOn")
        until(lambda: self._machine("web-1")["status"]["hardware"]["cpu"]["total"] == 8)  # noqa: PLR2004
        until(lambda: self._machine("web-2")["status"]["currentSnapshot"]["type"] == "Unmanaged")

    def look(self) -> None:
        """Show objects as the server has them."""
        machine = self._machine("web-1")
        self._show("VirtualMachine", machine, "currentSnapshot", "rootSnapshots", "powerState")
        found = self._server.client.get(
            kubernetes.VirtualMachineSnapshot, "web-1-before-release", namespace=NAMESPACE
        )
        self._show("VirtualMachineSnapshot", found, "conditions", "powerState", "storage", "uniqueID")

    def _machine(self, name: str) -> Any:
        return self._server.client.get(kubernetes.VirtualMachine, name, namespace=NAMESPACE)

    def _edit(self, name: str, change: dict[str, Any]) -> None:
        print(f"\nSomebody edits the VirtualMachine {name}:\n{_indented(change)}", flush=True)
        self._server.client.patch(
            kubernetes.VirtualMachine,
            name,
            change,
            namespace=NAMESPACE,
            patch_type=PatchType.MERGE,
            field_manager="somebody",
        )

    def _show(self, kind: str, item: Any, *status: str) -> None:
        found = dict(item)
        shown = {
            "metadata": {"name": found["metadata"]["name"], "labels": found["metadata"].get("labels", {})},
            "spec": {
                name: value
                for name, value in found["spec"].items()
                if name in {"className", "powerState", "currentSnapshotName", "vmName", "description"}
            },
            "status": {name: found["status"][name] for name in status if name in found["status"]},
        }
        print(f"\n{kind}, some of its fields:\n{_indented(shown)}", flush=True)


def _indented(value: Any) -> str:
    lines = yaml.safe_dump(value, sort_keys=False).splitlines()
    return "\n".join(f"    {line}" for line in lines)


@contextmanager
def started(folder: Path) -> Iterator[VmOperator]:
    """Everything, for as long as the block runs."""
    stand_in = [sys.executable, "-m", "devkit.vmoperator"]
    with simulator(folder) as vsphere, kubernetes.running() as server:
        admission.install(server)
        server.namespace(NAMESPACE)
        arguments = ["--kubeconfig", str(server.kubeconfigs["controller"]), "--simulator-url", vsphere.url]
        for name in VMS:
            arguments += ["--machine", f"{NAMESPACE}/{name}"]
        platform = VmOperator(folder, vsphere, server)
        login = {"VSPHERE_USER": vsphere.user, "VSPHERE_PASSWORD": vsphere.password}
        with process([*stand_in, *arguments], {**platform.environment, **login}):
            yield platform
