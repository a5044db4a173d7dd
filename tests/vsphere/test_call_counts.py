"""The number of SOAP calls, as the simulator counts them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import pytest

from tests.support.simulator import Simulator, running
from tests.support.vsphere import find, operation, take
from tests.vsphere.conftest import Connect
from vmsnapshot.model.machine import VirtualMachine

T = TypeVar("T")

COUNT = 200


@pytest.fixture
def many() -> Iterator[Simulator]:
    """A server with 200 VMs."""
    with running("--vms", str(COUNT), "--task-duration", "50ms") as started:
        yield started


def each(names: list[str], work: Callable[[str], T]) -> list[T]:
    """Do some work for each name, 8 at once: that is what the engine does on a small machine."""
    with ThreadPoolExecutor(8) as pool:
        return list(pool.map(work, names))


def test_the_calls_of_200_vms(many: Simulator, connect: Connect) -> None:
    """200 creates take at most 2 calls each with everything in all; 200 reads at most 40 in all.

    Login and inventory are included, and the calls that make up the creates are named.
    """
    backend = connect(many)
    names = [vm.identity.name for vm in backend.list_machines(operation())]
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
    assert calls["CreateSnapshot_Task"] == COUNT
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
    assert len(backend.list_machines(operation())) == COUNT
    calls = many.calls()
    assert calls.pop("RetrievePropertiesEx") <= 2
    assert calls == {"CreateContainerView": 1, "DestroyView": 1}


def test_a_vm_is_read_with_its_hardware_when_somebody_asks_for_that(
    many: Simulator, connect: Connect
) -> None:
    """Without its hardware it is unknown; reads with and without, at once, don't mix them up."""
    backend = connect(many)
    known = [vm.identity.id for vm in backend.list_machines(operation())][:8]
    lean = backend.observe(known[0], operation(), hardware=False)
    assert lean.machine.disks is None
    assert lean.identity == backend.observe(known[0], operation()).identity
    asked = [(vm_id, hardware) for vm_id in known for hardware in (True, False)]
    with ThreadPoolExecutor(len(asked)) as pool:
        read = list(pool.map(lambda item: backend.observe(item[0], operation(), hardware=item[1]), asked))
    assert [vm.identity.id for vm in read] == [vm_id for vm_id, _ in asked]
    assert all(vm.machine.disks for vm, (_, hardware) in zip(read, asked, strict=True) if hardware)
