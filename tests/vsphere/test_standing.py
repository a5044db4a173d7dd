"""Which VMs stand on a snapshot's files: each look tells what is so now, and reads only what has changed."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from pyVmomi import vim

from tests.support.client import Client, other_client
from tests.support.simulator import Simulator, running
from tests.support.vsphere import find, operation, take
from tests.vsphere.conftest import Connect
from vmsnapshot.backends.vsphere import VsphereBackend, _standing
from vmsnapshot.lifecycle.cloning import Dependents

COUNT = 200
TOGETHER = 8


@pytest.fixture
def many() -> Iterator[Simulator]:
    """A server with 200 VMs on one datastore."""
    with running("--vms", str(COUNT), "--task-duration", "1ms") as started:
        yield started


@pytest.fixture
def client(many: Simulator) -> Iterator[Client]:
    """Somebody else on that server."""
    with other_client(many) as found:
        yield found


def linked_clone(client: Client, vm: str, snapshot: str, name: str) -> None:
    """Make a linked clone of a snapshot, as a client of vSphere does."""
    location = vim.vm.RelocateSpec(diskMoveType="createNewChildDiskBacking")
    spec = vim.vm.CloneSpec(location=location, snapshot=client.snapshot(vm, snapshot).snapshot, powerOn=False)
    source = client.vm(vm)
    client.wait(source.CloneVM_Task(source.parent, name, spec))


def standing(backend: VsphereBackend, vm_id: str, snapshot_id: str) -> list[str]:
    """The names of the VMs that stand on a snapshot now."""
    found = backend.clones.dependents({vm_id: [snapshot_id]}, operation())[vm_id]
    assert isinstance(found, Dependents)
    return [vm.name for vm in found.by_snapshot.get(snapshot_id, ())]


def names(client: Client) -> list[str]:
    """The names of some VMs."""
    folder = client.content.rootFolder.childEntity[0].vmFolder
    return [vm.name for vm in folder.childEntity[: TOGETHER + 1]]


def test_each_look_tells_what_is_so_now(many: Simulator, client: Client, connect: Connect) -> None:
    """A clone that somebody makes, renames, changes or deletes between two looks is told as it is by then.

    It stands on the snapshot as long as its disks do, or those of a snapshot of its own.
    """
    backend, vm = connect(many), names(client)[0]
    client.take(vm, "base")
    found = find(backend, vm)
    asked = found.identity.id, found.snapshots[0].id
    assert standing(backend, *asked) == []
    linked_clone(client, vm, "base", "copy")
    assert standing(backend, *asked) == ["copy"]
    client.wait(client.vm("copy").Rename_Task("kept"))
    assert standing(backend, *asked) == ["kept"]
    client.take("kept", "its own")
    client.remove_disks("kept")
    assert standing(backend, *asked) == ["kept"]
    client.remove("kept", "its own")
    assert standing(backend, *asked) == []
    linked_clone(client, vm, "base", "another")
    assert standing(backend, *asked) == ["another"]
    client.wait(client.vm("another").Destroy_Task())
    assert standing(backend, *asked) == []


def test_a_further_look_reads_only_what_has_changed(
    many: Simulator, client: Client, connect: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    """Of VMs that are as they were, it reads less than a quarter of what the first look read of them."""
    backend, (first, *others) = connect(many), names(client)
    machines = [find(backend, name) for name in (first, *others)]
    made = [take(backend, vm) for vm in machines]

    def look(index: int) -> int:
        with caplog.at_level(logging.DEBUG, "vmsnapshot.calls"):
            caplog.clear()
            assert standing(backend, machines[index].identity.id, made[index]) == []
        return sum(int(size[1]) for size in re.finditer(r"(\d+) bytes", caplog.text))

    whole = look(0)
    assert look(1) < whole / 4
    client.take(others[5], "changed")
    assert look(2) < whole / 4


def test_looks_that_come_together_share_their_reads(
    many: Simulator, client: Client, connect: Connect
) -> None:
    """Eight at once take two reads at most, one of them for those that came while it ran; pages apart."""
    backend, asked = connect(many), names(client)[:TOGETHER]
    machines = [find(backend, name) for name in asked]
    made = [take(backend, vm) for vm in machines]
    many.reset_calls()
    with ThreadPoolExecutor(TOGETHER) as pool:
        looks = [
            pool.submit(standing, backend, vm.identity.id, snapshot)
            for vm, snapshot in zip(machines, made, strict=True)
        ]
        assert [look.result() for look in looks] == [[]] * TOGETHER
    calls = many.calls()
    # The second finds what has changed since the first, which takes another call.
    assert calls.pop("RetrievePropertiesEx") <= 3
    calls.pop("ContinueRetrievePropertiesEx")
    assert calls == {}


def test_what_has_changed_is_unknown_until_it_is_read() -> None:
    """A read that fails after it was told of the change leaves nothing of before for the next one."""
    known = _standing._Known()
    known.layouts["vm-1"] = _standing._Layout("web-1", ("now",), None, "[ds] web-1", frozenset())
    known.changes("vm-1")
    assert known.take_changed() == ["vm-1"]
    assert known.layouts == {}
