"""The number of SOAP calls, as the simulator counts them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import pytest

from tests.support.simulator import Simulator, running
from tests.support.vsphere import Doing, find, operation, take
from tests.vsphere.conftest import Connect
from vmsnapshot.lifecycle.errors import Denied
from vmsnapshot.lifecycle.port import ReadMask, values
from vmsnapshot.model.machine import VirtualMachine

T = TypeVar("T")

COUNT = 200
# Further pages of a read of all VMs and what belongs to them (tasks, networks).
PAGES = COUNT // 100 + 1


@pytest.fixture
def many() -> Iterator[Simulator]:
    """A server with 200 VMs."""
    with running("--vms", str(COUNT), "--task-duration", "50ms") as started:
        yield started


def each(names: list[str], work: Callable[[str], T]) -> list[T]:
    """Do some work for each name, 8 at once: that is what the engine does on a small machine."""
    with ThreadPoolExecutor(8) as pool:
        return list(pool.map(work, names))


@pytest.mark.timeout(300)  # hundreds of calls to one server
def test_the_calls_of_200_vms(many: Simulator, connect: Connect) -> None:
    """200 creates take at most 2 calls each with everything in all; 200 reads at most 40 in all.

    Login and inventory are included, and the calls that make up the creates are named.
    """
    backend = connect(many)
    names = [vm.identity.name for vm in values(backend.list_machines(operation()))]
    backend.close()

    def create(name: str) -> VirtualMachine:
        vm = find(backend, name)
        made = take(backend, vm)
        vm = backend.observe(vm.identity.id, operation())
        assert vm.snapshot(made) is not None
        return vm

    backend = connect(many)
    many.reset_calls()
    vms = each(names, create)
    calls = many.calls()
    assert calls["CreateSnapshotEx_Task"] == COUNT
    assert sum(calls.values()) <= 2 * COUNT + 10, calls
    assert calls["Login"] == 1

    backend = connect(many)
    many.reset_calls()
    ids = [vm.identity.id for vm in vms]
    each(ids, lambda vm_id: backend.observe(vm_id, operation()))
    calls = many.calls()
    assert sum(calls.values()) <= 40, calls


def test_one_read_does_not_grow_with_what_is_read(many: Simulator, connect: Connect) -> None:
    """All VMs observed at once take one call for the names and one for the VMs, pages apart."""
    backend = connect(many)
    backend.list_machines(operation())
    many.reset_calls()
    assert len(values(backend.list_machines(operation()))) == COUNT
    calls = many.calls()
    assert calls.pop("RetrievePropertiesEx") <= 2
    # Of each read 100 objects come in one answer, as a vCenter has it (vmware/govmomi issue 3455).
    assert calls.pop("ContinueRetrievePropertiesEx") <= 2 * (PAGES + 1)
    assert calls == {}


def test_a_vm_is_read_with_its_hardware_when_somebody_asks_for_that(
    many: Simulator, connect: Connect
) -> None:
    """Without its hardware it is unknown; reads with and without, at once, don't mix them up."""
    backend = connect(many)
    known = [vm.identity.id for vm in values(backend.list_machines(operation()))][:8]
    lean = backend.observe(known[0], operation(), ReadMask.SIZES)
    assert lean.machine.disks is None
    assert lean.identity == backend.observe(known[0], operation()).identity
    asked = [(vm_id, mask) for vm_id in known for mask in (ReadMask.ALL, ReadMask.SIZES)]
    with ThreadPoolExecutor(len(asked)) as pool:
        read = list(pool.map(lambda item: backend.observe(item[0], operation(), item[1]), asked))
    assert [vm.identity.id for vm in read] == [vm_id for vm_id, _ in asked]
    assert all(vm.machine.disks for vm, (_, mask) in zip(read, asked, strict=True) if mask is ReadMask.ALL)


def test_tasks_that_have_ended_are_read_once(many: Simulator, connect: Connect) -> None:
    """Of many VMs, only tasks that are new or were still running are read again, with one more call."""
    backend = connect(many)
    one, other, *_ = values(backend.list_machines(operation()))
    revert = f"vmsnapshot-revert-{1:024x}"
    made = take(backend, one)
    snapshot = backend.observe(one.identity.id, operation()).snapshot(made)
    assert snapshot is not None
    backend.revert(one, snapshot, revert, operation())

    def look(calls: int) -> dict[str, VirtualMachine]:
        many.reset_calls()
        read = {vm.identity.id: vm for vm in values(backend.list_machines(operation()))}
        assert many.calls()["RetrievePropertiesEx"] == 1 + calls
        return read

    for calls in (2, 1):  # the names and the VMs; the first time also the new tasks
        assert look(calls)[one.identity.id].remembered[revert].succeeded
    many.hold(other.identity.name)
    doing = Doing(lambda: take(backend, other))
    doing.until(lambda: backend.observe(other.identity.id, operation()).running_tasks)
    for _ in range(2):
        assert look(2)[other.identity.id].running_tasks
    many.release(other.identity.name)
    doing.result()
    for calls in (2, 1):
        assert look(calls)[other.identity.id].running_tasks == ()
    (found,) = backend.find_tasks([(look(1)[one.identity.id], revert)], operation(), ReadMask.NOTHING)
    assert found is not None
    assert (found.succeeded, found.latest) == (True, True)


def test_a_login_that_may_not_read_further_pages_is_told_what_to_grant(
    many: Simulator, connect: Connect
) -> None:
    """Releases 7.0.3.2 to 8.0.2 refuse the second page to logins without rights on the root: govmomi 3455."""
    backend = connect(many)
    many.fault("NoPermission", method="ContinueRetrievePropertiesEx", times=1)
    with pytest.raises(Denied, match="Read-only on the root folder"):
        backend.list_machines(operation())
