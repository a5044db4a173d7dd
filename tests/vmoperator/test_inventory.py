"""The inventory of a namespace: who made each snapshot, and what the API doesn't tell."""

from __future__ import annotations

from typing import Any

import pytest

from devkit.waiting import until
from tests.support.plugin import plugin
from tests.support.vsphere import operation
from tests.vmoperator.harness import Harness
from vmsnapshot.backends.vmoperator._informer import NamespaceCache
from vmsnapshot.lifecycle.errors import Denied
from vmsnapshot.lifecycle.operation import Operation
from vmsnapshot.lifecycle.port import InventoryEntry, InventoryScope, NotRead

NAMESPACE = InventoryScope()
# Neither VMs nor snapshots may be listed.
PODS_ONLY = [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}]


def read(harness: Harness) -> dict[str, InventoryEntry]:
    """Each VM by its name."""
    entries = list(harness.backend.inventory(NAMESPACE, operation("reading the inventory")))
    found = [item for item in entries if isinstance(item, InventoryEntry)]
    assert len(found) == len(entries)
    return {item.vm.identity.name: item for item in found}


def test_every_vm_of_the_namespace(harness: Harness) -> None:
    """Each with its snapshots, as `find` observes it; whether disks need consolidation isn't told."""
    assert read(harness)["web-1"].vm.snapshots == ()
    harness.take("ours")
    harness.make("theirs")
    until(lambda: harness.ready("theirs"))
    found = read(harness)["web-1"]
    assert found.consolidation_needed is None
    assert found.vm.snapshots == harness.vm().snapshots
    assert [(item.name, item.mark_proof, item.mark is None) for item in found.vm.snapshots] == [
        ("ours", "exact", False),
        ("theirs", "none", True),
    ]


def test_snapshots_of_a_vm_that_is_gone(harness: Harness) -> None:
    """They take cache, so they are told."""
    harness.make("orphan", vmName="never-there")
    until(lambda: "never-there" in read(harness))
    assert [item.name for item in read(harness)["never-there"].vm.snapshots] == ["orphan"]


def test_a_server_without_the_kind(harness: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    """What snapshots its VMs have isn't known: each VM is told as not read."""
    ready = NamespaceCache.ready

    def without_snapshots(cache: NamespaceCache, doing: Operation) -> bool:
        ready(cache, doing)
        return False

    monkeypatch.setattr(NamespaceCache, "ready", without_snapshots)
    (found,) = harness.backend.inventory(NAMESPACE, operation("reading the inventory"))
    assert isinstance(found, NotRead)
    assert (found.name, found.vm_id) == ("web-1", f"{harness.namespace}/web-1")
    assert "has no kind VirtualMachineSnapshot" in found.reason.message


@pytest.mark.parametrize("namespace", [PODS_ONLY], indirect=True)
def test_a_login_that_may_not_list(harness: Harness) -> None:
    """The inventory is denied, not empty."""
    with pytest.raises(Denied):
        read(harness)


def test_by_the_plugin(harness: Harness) -> None:
    """The function over the plugin: marks, filters, and what only vSphere has."""
    harness.take("ours")
    harness.make("theirs")
    until(lambda: harness.ready("theirs"))
    settings = {
        "backend": "vmoperator",
        "kubeconfig": str(harness.server.kubeconfigs["provider"]),
        "namespace": harness.namespace,
    }

    with plugin(settings) as running:

        def ask(**args: Any) -> dict[str, Any]:
            answer: dict[str, Any] = running.invoke("vmsnapshot:index:getSnapshotInventory", args)
            return answer

        whole = ask(sortBy="vm")
        assert [item["name"] for item in whole["snapshots"]] == ["ours", "theirs"]
        assert (whole["vmCount"], whole["consolidationNotKnown"], whole["notRead"]) == (1, 1, [])
        assert [item["name"] for item in ask(unmanagedOnly=True)["snapshots"]] == ["theirs"]
        assert ask(namespace=harness.namespace)["snapshotCount"] == 2
        with pytest.raises(Exception, match="the VM Operator has no folders; use `namespace`"):
            ask(folder="/dc/vm")
