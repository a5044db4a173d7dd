"""What is only shown may be of the last seconds, and is read ahead; what is done is never told by that."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator, Sequence

import pytest

from tests.support.client import other_client
from tests.support.simulator import Simulator, running
from tests.support.vsphere import find, operation, take
from tests.vsphere.conftest import Connect
from vmsnapshot.backends.vsphere import VsphereBackend, _kept
from vmsnapshot.lifecycle.errors import NotFound
from vmsnapshot.lifecycle.port import ReadMask, VMReference
from vmsnapshot.model.machine import VirtualMachine

COUNT = 60
NAMES = [f"web-{number}" for number in range(COUNT)]


@pytest.fixture(scope="module")
def many() -> Iterator[Simulator]:
    """A server with 60 VMs, whose names sort by their numbers, and each of which has a snapshot."""
    with running("--names", ",".join(NAMES), "--task-duration", "1ms") as started:
        with other_client(started) as client:
            for name in NAMES:
                client.take(name, "base")
        yield started


def shown(backend: VsphereBackend, name: str) -> VirtualMachine:
    """A VM as a check looks at it, with what its snapshot `base` holds."""
    vm = backend.find_shown(VMReference(name), operation(), ReadMask.ALL | ReadMask.CURRENT)
    assert vm.identity.name == name
    (base,) = [item for item in vm.snapshots if item.name == "base"]
    assert backend.machines_at([(vm, base)], operation())
    return vm


def reads(server: Simulator) -> int:
    """How many calls read VMs since the last reset."""
    return server.calls().get("RetrievePropertiesEx", 0)


@pytest.mark.parametrize(
    ("order", "most"),
    [
        (range(COUNT), 4),  # 1, then with 8, 16 and 32 ahead
        (range(COUNT - 1, -1, -1), 6),
        ([*range(20, COUNT), *range(20)], 10),
        (sorted(range(COUNT), key=lambda number: number + random.Random(number).uniform(0, 10)), 8),
        (random.Random(1).sample(range(COUNT), COUNT), 20),
    ],
    ids=["in order", "backwards", "from the middle", "mixed", "in any order"],
)
def test_vms_of_neighbouring_names_are_read_ahead(
    many: Simulator, connect: Connect, order: Sequence[int], most: int
) -> None:
    """60 one after another take few reads, in whatever order the engine takes them."""
    backend = connect(many)
    backend.list_machines(operation(), ReadMask.NOTHING)  # the names are known
    many.reset_calls()
    for number in order:
        shown(backend, NAMES[number])
    assert reads(many) <= most, many.calls()


def test_vms_of_other_names_are_read_alone(many: Simulator, connect: Connect) -> None:
    """Names far apart: nothing is read that nobody asks for."""
    backend = connect(many)
    for name in ("web-0", "web-20", "web-40"):
        shown(backend, name)
    assert [vm.identity.name for vm in backend._kept.waiting()] == []


def test_wrong_guesses_end_the_guessing(many: Simulator, connect: Connect) -> None:
    """Two neighbours are asked for and then others: the first few are all that is read in vain."""
    backend = connect(many)
    for name in ("web-0", "web-1", "web-20", "web-40", "web-59"):
        shown(backend, name)
    assert len(backend._kept.waiting()) == 8


def test_what_was_read_is_used_once_and_for_seconds(
    many: Simulator, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A refresh's reading stands for the VM in the check after it; then it is read anew."""
    backend = connect(many)
    vm_id = find(backend, "web-3").identity.id
    vm = backend.observe(vm_id, operation())  # as a refresh does
    many.reset_calls()
    assert shown(backend, "web-3") is vm
    assert reads(many) == 1, "its snapshot's configuration alone"
    many.reset_calls()
    shown(backend, "web-3")
    assert reads(many) == 1
    backend.observe(vm_id, operation())
    monkeypatch.setattr(_kept, "_STANDS_FOR", 0.0)
    many.reset_calls()
    shown(backend, "web-3")
    assert reads(many) == 1


def test_what_an_act_has_found_is_not_kept(simulator: Simulator, connect: Connect) -> None:
    """A check after an act shows what somebody else has done since."""
    backend = connect(simulator)
    find(backend, "web-1")
    with other_client(simulator) as client:
        client.take("web-1", "theirs")
    vm = backend.find_shown(VMReference("web-1"), operation())
    assert [item.name for item in vm.snapshots] == ["theirs"]


@pytest.mark.parametrize("forgets", ["another command", "a look for an act"])
def test_what_was_kept_is_forgotten(simulator: Simulator, connect: Connect, forgets: str) -> None:
    """A refresh's reading isn't shown after a newer one was made, nor by the next command."""
    backend = connect(simulator)
    backend.observe(find(backend, "web-1").identity.id, operation())
    if forgets == "another command":
        backend.forget_shown()
    else:
        find(backend, "web-1")
    with other_client(simulator) as client:
        client.take("web-1", "theirs")
    vm = backend.find_shown(VMReference("web-1"), operation())
    assert [item.name for item in vm.snapshots] == ["theirs"]


def test_what_an_act_looks_at_is_read_anew(simulator: Simulator, connect: Connect) -> None:
    """Somebody else's snapshot shows to whoever acts, whatever was kept."""
    backend = connect(simulator)
    find(backend, "web-1")
    with other_client(simulator) as client:
        client.take("web-1", "theirs")
    assert [item.name for item in find(backend, "web-1").snapshots] == ["theirs"]


def test_what_was_done_here_ends_what_was_read_before(simulator: Simulator, connect: Connect) -> None:
    """After a snapshot of ours, and after its removal, a look shows the VM as that left it."""
    backend = connect(simulator)
    before = find(backend, "web-1")
    made = take(backend, before, "ours")
    after = backend.find_shown(VMReference("web-1"), operation())
    assert [item.id for item in after.snapshots] == [made]
    find(backend, "web-1")
    snapshot = after.snapshot(made)
    assert snapshot is not None
    backend.remove_snapshot(after, snapshot, remove_children=False, consolidate=True, operation=operation())
    assert backend.find_shown(VMReference("web-1"), operation()).snapshots == ()


def test_a_reading_from_before_an_act_that_comes_after_it_is_not_kept(
    many: Simulator, connect: Connect
) -> None:
    """A read that was under way while something was done to the VM tells of neither before nor after."""
    kept = _kept.KeptVMs()
    vm = find(connect(many), "web-5")
    begun = time.monotonic()
    kept.forget(vm.identity.id)
    kept.keep(vm, begun)
    assert kept.take(vm.identity.id) is None
    kept.keep(vm, time.monotonic())
    assert kept.take(vm.identity.id) is vm


def test_a_vm_is_not_shown_under_a_name_that_it_had(simulator: Simulator, connect: Connect) -> None:
    """A VM that was renamed after it was kept isn't shown under its old name once that is known."""
    backend = connect(simulator)
    kept = find(backend, "web-1")
    with other_client(simulator) as client:
        client.wait(client.vm("web-1").Rename_Task("renamed"))
    find(backend, "renamed")  # which reads the inventory again, and the VM
    with pytest.raises(NotFound):
        backend.find_shown(VMReference("web-1"), operation())
    assert backend.find_shown(VMReference("renamed"), operation()).identity.id == kept.identity.id


def test_a_neighbour_that_cannot_be_read_is_nobody_elses_trouble(connect: Connect) -> None:
    """One of the VMs that are read ahead has just been removed."""
    with running("--names", ",".join(NAMES[:12]), "--task-duration", "1ms") as server:
        backend = connect(server)
        find(backend, "web-11")
        with other_client(server) as client:
            client.power("web-4", on=False)
            client.wait(client.vm("web-4").Destroy_Task())
        for name in ("web-0", "web-1", "web-2", "web-3", "web-5"):
            assert backend.find_shown(VMReference(name), operation()).identity.name == name
        with pytest.raises(NotFound):
            backend.find_shown(VMReference("web-4"), operation())
