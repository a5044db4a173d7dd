"""The inventory of a whole vCenter: scopes, calls, and what a server doesn't tell."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from tests.support.client import other_client
from tests.support.simulator import Simulator, running
from tests.support.vsphere import find, operation, take
from tests.vsphere.conftest import Connect
from vmsnapshot.backends.vsphere import VsphereBackend
from vmsnapshot.lifecycle.errors import Ambiguous, NotFound
from vmsnapshot.lifecycle.port import InventoryEntry, InventoryScope, NotRead

ALL = InventoryScope()


def read(backend: VsphereBackend, scope: InventoryScope = ALL) -> list[InventoryEntry | NotRead]:
    """All of an inventory."""
    return list(backend.inventory(scope, operation("reading the inventory")))


def by_name(entries: Sequence[InventoryEntry | NotRead]) -> dict[str, InventoryEntry]:
    """The VMs that were read, by their names."""
    return {item.vm.identity.name: item for item in entries if isinstance(item, InventoryEntry)}


def not_read(entries: Sequence[InventoryEntry | NotRead]) -> list[NotRead]:
    """The others."""
    return [item for item in entries if isinstance(item, NotRead)]


def test_every_vm_with_its_snapshots(simulator: Simulator, backend: VsphereBackend) -> None:
    """Each VM once, with path, tree, sizes and marks; a VM without snapshots is there, too."""
    take(backend, find(backend, "web-1"))
    with other_client(simulator) as client:
        client.take("web-1", "theirs")
    entries = by_name(read(backend))
    assert set(entries) == {"web-1", "web-2", "db-1"}
    vm = entries["web-1"].vm
    assert vm.identity == find(backend, "web-1").identity
    ours, theirs = vm.snapshots
    assert (ours.name, ours.mark_proof, theirs.name, theirs.mark) == ("base", "exact", "theirs", None)
    assert (theirs.parent_id, vm.current_snapshot_id) == (ours.id, theirs.id)
    assert ours.storage == find(backend, "web-1").snapshots[0].storage
    assert ours.storage is not None
    assert entries["web-2"].vm.snapshots == ()


@pytest.mark.parametrize("written", ["/DC0/vm", "/DC0/vm/", "vm"])
@pytest.mark.parametrize("kind", ["folder", "datacenter", "cluster"])
def test_a_place(backend: VsphereBackend, kind: str, written: str) -> None:
    """A folder, datacenter or cluster is named by its path, its name or its id."""
    names = {"folder": written, "datacenter": "/DC0", "cluster": "DC0_C0"}
    scope = InventoryScope(kind, names[kind])  # type: ignore[arg-type]
    # Upstream's simulator puts VMs into the cluster's resource pool.
    assert set(by_name(read(backend, scope))) == {"web-1", "web-2", "db-1"}


def test_a_single_host(connect: Connect) -> None:
    """On ESXi the one datacenter and the one compute resource are places, too."""
    with running("--host-mode", "esx", "--task-duration", "1ms") as host:
        backend = connect(host)
        everything = by_name(read(backend))
        assert len(everything) == 3
        take(backend, find(backend, min(everything)))
        for kind, place in (
            ("folder", "/ha-datacenter/vm"),
            ("datacenter", "ha-datacenter"),
            ("cluster", "localhost.localdomain"),
        ):
            found = by_name(read(backend, InventoryScope(kind, place)))  # type: ignore[arg-type]
            assert found.keys() == everything.keys()
            assert len(found[min(everything)].vm.snapshots) == 1


def test_a_place_that_is_not_there(backend: VsphereBackend) -> None:
    """Close names are suggested, of places of that kind."""
    with pytest.raises(NotFound, match=r"there is no datacenter \"DC1\" .* Did you mean 'DC0'\?"):
        read(backend, InventoryScope("datacenter", "DC1"))
    with pytest.raises(NotFound, match=r"there is no folder \"DC0_C0\" visible to this user\.$"):
        read(backend, InventoryScope("folder", "DC0_C0"))


def test_a_place_that_several_may_be(backend: VsphereBackend, other_user: object) -> None:
    """Their paths and ids are listed."""
    root = other_user.rootFolder.childEntity[0].vmFolder  # type: ignore[attr-defined]
    for name in ("a", "b"):
        root.CreateFolder(name).CreateFolder("shop")
    with pytest.raises(Ambiguous, match=r"2 folders are meant by .*/DC0/vm/a/shop \(group-\d+\); /DC0/vm/b"):
        read(backend, InventoryScope("folder", "shop"))
    assert read(backend, InventoryScope("folder", "/DC0/vm/a")) == []


def test_what_cannot_be_read_is_listed(simulator: Simulator, backend: VsphereBackend) -> None:
    """Denied, left out or without a readable snapshot tree: not read, with the reason, and the others are."""
    simulator.unreadable("web-1")
    (denied,) = not_read(read(backend))
    assert denied.name is None
    assert "NoPermission" in denied.reason.message or "permission" in denied.reason.message.lower()
    simulator.clear()

    simulator.leave_out("web-1", times=1)
    assert not not_read(read(backend))
    simulator.leave_out("web-1")
    found = read(backend)
    (left_out,) = not_read(found)
    assert "left it out of its answer twice" in left_out.reason.message
    assert set(by_name(found)) == {"web-2", "db-1"}
    simulator.clear()

    simulator.withhold("web-1", "snapshot", "NoPermission")
    (without,) = not_read(read(backend))
    assert (without.name, without.path) == ("web-1", "/DC0/vm/web-1")


def test_what_a_server_does_not_tell_is_unknown(simulator: Simulator, backend: VsphereBackend) -> None:
    """Sizes, consolidation and the binding of a mark: unknown, and the VM is read all the same."""
    take(backend, find(backend, "web-1"))
    assert by_name(read(backend))["web-1"].consolidation_needed is False
    simulator.withhold("web-1", "runtime.consolidationNeeded")
    assert by_name(read(backend))["web-1"].consolidation_needed is None
    simulator.clear()
    simulator.withhold("web-1", "layoutEx", "NoPermission")
    assert by_name(read(backend))["web-1"].vm.snapshots[0].storage is None
    simulator.clear()
    simulator.withhold("web-1", "config.instanceUuid")
    assert by_name(read(backend))["web-1"].vm.snapshots[0].mark_proof == "none"


def test_a_lost_connection_loses_no_vm(simulator: Simulator, backend: VsphereBackend) -> None:
    """A page whose answer is lost, or whose session has ended, is read again; no VM is told twice."""
    entries = backend.inventory(ALL, operation())
    simulator.drop("after", method="RetrievePropertiesEx")
    names = [item.vm.identity.name for item in entries if isinstance(item, InventoryEntry)]
    assert sorted(names) == ["db-1", "web-1", "web-2"]
    simulator.expire_sessions()
    assert len(read(backend)) == 3


@pytest.mark.timeout(300)
def test_the_calls_of_a_page(connect: Connect) -> None:
    """Six calls for the names, then one for each 100 VMs, and one more where some have snapshots."""
    with running("--vms", "230", "--task-duration", "1ms") as many:
        backend = connect(many)
        many.reset_calls()
        first = read(backend)
        calls = many.calls()
        assert len(first) == 230
        assert calls.pop("RetrievePropertiesEx") == 2 + 3
        assert calls == {"CreateContainerView": 2, "DestroyView": 1, "Login": 1, "RetrieveServiceContent": 1}
        ids = [item.vm for item in first if isinstance(item, InventoryEntry)]
        for vm in (*ids[:5], ids[-1]):
            take(backend, vm)
        many.reset_calls()
        again = by_name(read(backend))
        assert sum(len(item.vm.snapshots) for item in again.values()) == 6
        assert many.calls()["RetrievePropertiesEx"] == 2 + 3 + 2
